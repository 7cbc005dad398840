from __future__ import annotations

import gzip
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.errors import ArtifactError, JobFailed
from personalize_spark.job.job import Job
from personalize_spark.job.plan import (
    MAX_PIECE,
    MAX_PIECES,
    MAX_TASK,
    Input,
    Plan,
    Split,
    bytes_per_line,
    find_inputs,
    read_inputs,
    read_task,
    splits_of,
    tasks_of,
    write_inputs,
    write_tasks,
)
from personalize_spark.job.task import Piece
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.store import Access, Object
from personalize_spark.testing.toy import request
from tests.job.test_job import JOBS, SIMPLE, VERSION

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


def test_checksums_beside_their_files_are_no_input(tmp_path: Path) -> None:
    root = write(tmp_path, "in/part-0.json", "in/.part-0.json.crc", "in/.alone.crc", "in/x/.y.crc")
    assert set(outputs(root, "in/", "out/")) == {"part-0.json", ".alone.crc", "x/.y.crc"}


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


def test_a_plan_and_its_lists_survive_the_staging_folder(tmp_path: Path) -> None:
    plan = Plan.of(replace(SIMPLE, request=request(VERSION, "file:///in/", f"file://{tmp_path}")))
    plan.write()
    staging = plan.staging()
    assert Plan.read(staging) == plan
    inputs = [Input(Object("a.json", 100, "e"), "a.json.out")]
    write_inputs(staging, inputs)
    assert read_inputs(staging) == inputs
    splits = list(splits_of([[Object("a.json", 100, "e")]], [False], 10, 500, 2))
    write_tasks(staging, 3, [splits])
    assert read_task(staging, 3, 0) == splits


st.register_type_strategy(int, st.integers(-(1 << 63), (1 << 63) - 1))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(Job, JOBS)


@pytest.mark.parametrize("kind", [Plan, list[Input], list[Split], list[Piece], list[Object]], ids=str)
@given(data=st.data())
def test_what_is_stored_is_read_back_as_it_was(kind: type[object], data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    with tempfile.TemporaryDirectory() as folder:
        store = FileStore(folder)
        write_document(store, "value.json", value)
        assert read_document(store, "value.json", kind) == value


def test_a_damaged_plan_is_an_error_that_says_where(tmp_path: Path) -> None:
    staging = FileStore(str(tmp_path))
    staging.write("plan.json", b'{"job": {"request": {}, "recipe": 7}, "release": "0.1.0"}')
    with pytest.raises(ArtifactError, match=rf"{tmp_path}/plan\.json cannot be read: .*`\$\.job\.recipe`"):
        Plan.read(staging)


@given(
    sizes=st.lists(st.integers(0, 10_000_000), max_size=20),
    line=st.floats(1, 1_000),
    cores=st.integers(1, 64),
)
def test_splits_cover_every_byte_once_and_in_order(sizes: list[int], line: float, cores: int) -> None:
    files = [[Object(f"{number}.json", size, "e")] for number, size in enumerate(sizes)]
    splits = list(splits_of(files, [False] * len(files), line, 500, cores))
    assert sorted(splits, key=lambda split: split.key) == splits
    for number, size in enumerate(sizes):
        ranges = [split.range for split in splits if split.file == number]
        assert sum(split.end - split.start for split in ranges) == size
        assert all(left.end == right.start for left, right in itertools.pairwise(ranges))


def test_a_huge_file_stays_below_the_parts_of_an_upload() -> None:
    splits = list(splits_of([[Object("huge.json", 50 << 30, "e")]], [False], 20, 500, 2))
    assert MAX_PIECES * 0.9 < len(splits) <= MAX_PIECES


def test_what_was_inflated_stays_below_the_parts_of_an_upload() -> None:
    parts = [Object(f"inflated/{part}", 64 << 20, "e") for part in range(5_000)]
    assert len(list(splits_of([parts], [True], 20, 500, 2))) <= MAX_PIECES


def test_long_answers_make_small_pieces() -> None:
    splits = list(splits_of([[Object("a.json", 20 << 20, "e")]], [False], 20, 10_000, 2))
    assert max(split.range.end - split.range.start for split in splits) / 20 * 10_000 <= MAX_PIECE * 1.01


def test_a_compressed_object_is_one_split() -> None:
    assert len(list(splits_of([[Object("a.json.gz", 50 << 20, "e")]], [False], 20, 500, 2))) == 1


@given(
    sizes=st.lists(st.integers(1, 5_000_000), max_size=50).map(lambda sizes: sizes * 40),
    cores=st.integers(1, 16),
)
def test_tasks_hold_all_splits_and_are_bounded(sizes: list[int], cores: int) -> None:
    files = [[Object(f"{number}.json.gz", size, "e")] for number, size in enumerate(sizes)]
    splits = list(splits_of(files, [False] * len(files), 20, 500, cores))
    tasks = tasks_of(splits, cores)
    assert sorted((split for each in tasks for split in each), key=lambda split: split.key) == splits
    for each in tasks:
        lines = [(split.range.end - split.range.start) // 20 for split in each]
        assert sum(lines[:-1]) < MAX_TASK
        assert 0 < len(each) <= MAX_TASK // 500


@pytest.mark.parametrize(("count", "cores"), [(43, 2), (400, 2), (300, 8), (17, 5)])
def test_cores_that_take_the_next_task_when_they_are_free_end_together(count: int, cores: int) -> None:
    files = [[Object(f"{number}.json.gz", 2_000_000, "e")] for number in range(count)]
    splits = list(splits_of(files, [False] * count, 20, 500, 2))
    until = [0] * cores
    for each in tasks_of(splits, cores):
        until[until.index(min(until))] += len(each)
    assert max(until) - min(until) <= 1


def test_the_largest_split_begins_first() -> None:
    sizes = [10, 10, 60_000_000, 10, 10]
    files = [[Object(f"{number}.json.gz", size, "e")] for number, size in enumerate(sizes)]
    splits = list(splits_of(files, [False] * len(files), 20, 500, 2))
    assert tasks_of(splits, 2)[0] == [splits[2]]


def test_all_cores_have_work_when_there_is_some() -> None:
    splits = list(splits_of([[Object("a.json", 2_000_000, "e")]], [False], 20, 500, 4))
    assert len(tasks_of(splits, 4)) >= 12


def test_the_mean_line_is_judged_by_the_largest_plain_input(tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text("x" * 999)
    (tmp_path / "large.json").write_text("123456789\n" * 1_000)
    (tmp_path / "larger.json.gz").write_bytes(b"\0" * 100_000)
    store = FileStore(str(tmp_path))
    assert bytes_per_line(store, [Input(each, "") for each in store.list()]) == 10


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("a.json.gz", gzip.compress(b"123456789\n" * 1_000, mtime=0), 10),
        ("a.json.gz", b"none", 32),
        ("a.json", b"", 32),
    ],
)
def test_the_mean_line_of_packed_inputs(tmp_path: Path, name: str, data: bytes, line: float) -> None:
    store = FileStore(str(tmp_path))
    store.write(name, data)
    assert bytes_per_line(store, [Input(each, "") for each in store.list()]) == line
