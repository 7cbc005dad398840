from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from personalize_spark.errors import JobFailed
from personalize_spark.job.inputs import (
    Input,
    check_records,
    find_inputs,
    mean_line_bytes,
    note_of_litter,
    note_of_old_answers,
)
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.store import Access

AMBIENT = Access()


def write(folder: Path, *names: str) -> str:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"userId":"u1"}\n')
    return f"file://{folder}/"


def outputs(root: str, input_path: str, output_path: str) -> dict[str, str]:
    return {each.source.name: each.output for each in find_inputs(root + input_path, root + output_path, AMBIENT)}


def test_the_input_path_is_a_prefix(tmp_path: Path) -> None:
    root = write(tmp_path, "in/a.json", "in_test/b.json", "other/c.json")
    assert outputs(root, "in", "out/") == {"in/a.json": "in/a.json.out", "in_test/b.json": "in_test/b.json.out"}


def test_a_slash_confines_the_input_to_one_folder(tmp_path: Path) -> None:
    root = write(tmp_path, "in/a.json", "in_test/b.json")
    assert outputs(root, "in/", "out/") == {"a.json": "a.json.out"}


def test_hidden_files_and_markers_are_no_input(tmp_path: Path) -> None:
    litter = ["in/.part-0.json.crc", "in/.DS_Store", "in/x/.y.json", "in/.git/z.json", "in/_SUCCESS", "in/Thumbs.db"]
    root = write(tmp_path, "in/part-0.json", "in/_users.json", "in/a_SUCCESS", *litter)
    assert set(outputs(root, "in/", "out/")) == {"part-0.json", "_users.json", "a_SUCCESS"}
    assert set(outputs(root, "in", "out/")) == {"in/part-0.json", "in/_users.json", "in/a_SUCCESS"}
    assert note_of_litter(f"{root}in/", AMBIENT) == ["6 hidden files and markers are no input, such as '.DS_Store'."]
    assert note_of_litter(f"{root}in/part", AMBIENT) == []


def test_old_answers_are_inputs_and_told() -> None:
    assert note_of_old_answers(["a.json", "b.json.out", "c.out", "d.parquet"]) == []
    for name in ("a.json.errors", "a.json.parquet"):
        assert "such as 'a.json." in note_of_old_answers(["a.json", name])[0]
    [note] = note_of_old_answers(["in/a.json", "in/a.json.out", "in/b.json", "in/b.json.out"])
    assert note.startswith("2 inputs are outputs of an earlier job, such as 'in/a.json.out'. What lies")


def test_what_is_hidden_is_an_input_if_it_is_spelled_out(tmp_path: Path) -> None:
    root = write(tmp_path, "in/.a/b.json", "in/.c.json")
    assert set(outputs(root, "in/.a/", "out/")) == {"b.json"}
    assert set(outputs(root, "in/.c", "out/")) == {".c.json"}
    assert note_of_litter(f"{root}in/", AMBIENT) == ["2 hidden files and markers are no input, such as '.a/b.json'."]


def test_outputs_are_named_below_the_longest_common_folder(tmp_path: Path) -> None:
    root = write(tmp_path, "in/x/a.json", "in/x/y/b.json")
    assert outputs(root, "in", "out/") == {"in/x/a.json": "a.json.out", "in/x/y/b.json": "y/b.json.out"}


def test_a_single_object_is_named_like_itself(tmp_path: Path) -> None:
    root = write(tmp_path, "in/x.json")
    assert outputs(root, "in", "out/") == {"in/x.json": "x.json.out"}


def test_what_a_job_left_under_the_output_path_is_no_input(tmp_path: Path) -> None:
    root = write(tmp_path, "json_input.json", "json_input.json.out", "_CHECK", "_staging/job/plan.json")
    assert outputs(root, "", "") == {"json_input.json": "json_input.json.out"}


def test_the_same_folder_in_another_spelling_is_the_same(tmp_path: Path) -> None:
    write(tmp_path, "a.json", "a.json.out")
    found = find_inputs(f"file://{tmp_path}//", f"file://{tmp_path}/", AMBIENT)
    assert [each.source.name for each in found] == ["a.json"]


def test_an_output_elsewhere_may_be_the_input_of_another_job(tmp_path: Path) -> None:
    root = write(tmp_path, "in/a.json.out")
    assert outputs(root, "in/", "out/") == {"a.json.out": "a.json.out.out"}


def test_an_output_that_is_named_in_full_is_an_input(tmp_path: Path) -> None:
    root = write(tmp_path, "a.json.out")
    assert outputs(root, "a.json.out", "") == {"a.json.out": "a.json.out.out"}


def test_no_match_is_the_services_error(tmp_path: Path) -> None:
    root = write(tmp_path, "in/a.json")
    with pytest.raises(JobFailed, match="^Invalid S3 input path"):
        find_inputs(root + "nothing", root + "out/", AMBIENT)


def test_the_mean_line_is_judged_by_the_largest_plain_input(tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text("x" * 999)
    (tmp_path / "large.json").write_text("123456789\n" * 1_000)
    (tmp_path / "larger.json.gz").write_bytes(b"\0" * 100_000)
    store = FileStore(str(tmp_path))
    assert mean_line_bytes(store, [Input(each, "") for each in store.list()]) == 10


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("a.json.gz", gzip.compress(b"123456789\n" * 1_000, mtime=0), 10),
        ("a.json.gz", b"none", 32),
        ("a.json", b"", 32),
        ("a.json", gzip.compress(b"123456789\n" * 1_000, mtime=0), 10),
    ],
)
def test_the_mean_line_of_packed_inputs(tmp_path: Path, name: str, data: bytes, line: float) -> None:
    store = FileStore(str(tmp_path))
    store.write(name, data)
    assert mean_line_bytes(store, [Input(each, "") for each in store.list()]) == line


LINE = b'{"itemId":"a"}\n'


@pytest.mark.parametrize("text", [b"", LINE * 3, LINE * 3 + b"\n \r\n\t\n", b"broken\n" * 2 + LINE[:-1]])
def test_blank_lines_are_no_records(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.json").write_bytes(text)
    root = f"file://{tmp_path}/"
    check_records(FileStore(str(tmp_path)), find_inputs(root, f"{root}out/", AMBIENT), 3)


def test_every_input_keeps_the_limit_of_records(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(LINE * 3)
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(LINE * 4))
    (tmp_path / "c.json").write_bytes(b"broken\n\n" * 4)
    root = f"file://{tmp_path}/"
    with pytest.raises(JobFailed, match=r"may have 3 records; .*/b\.json\.gz has more, and 1 more"):
        check_records(FileStore(str(tmp_path)), find_inputs(root, f"{root}out/", AMBIENT), 3)


def test_a_link_to_nothing_is_an_input_that_cannot_be_read(tmp_path: Path) -> None:
    root = write(tmp_path, "in/a.json")
    (tmp_path / "in/gone.json").symlink_to(tmp_path / "in/nothing.json")
    (tmp_path / "in/self.json").symlink_to(tmp_path / "in/self.json")
    (tmp_path / "in/.gone").symlink_to(tmp_path / "in/nothing")
    refused = {each.source.name: each.refused for each in find_inputs(f"{root}in/", f"{root}out/", AMBIENT)}
    told = "is a link to nothing: mend it, or remove it."
    assert refused == {
        "a.json": "",
        "gone.json": f"{root}in/gone.json {told}",
        "self.json": f"{root}in/self.json {told}",
    }
