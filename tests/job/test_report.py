"""What a job's end is told: by its report, in its record, and on demand."""

from __future__ import annotations

import gzip
import json
import os
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.errors import InvalidInputException, JobFailed
from personalize_spark.job import publish, splits
from personalize_spark.job import run as job_run
from personalize_spark.job.attempts import Ledger, run_attempts
from personalize_spark.job.executor import Executor
from personalize_spark.job.forms import form_of, peeked
from personalize_spark.job.inputs import find_inputs
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.near_misses import near_misses
from personalize_spark.job.report import FirstLine, Report, _notes, _timeline
from personalize_spark.job.run import run_job
from personalize_spark.job.task import Piece
from personalize_spark.outcomes import Outcomes
from personalize_spark.service.batch_inference_jobs import (
    check_batch_inference_job,
    create_batch_inference_job,
    report,
)
from personalize_spark.service.filters import create_filter
from personalize_spark.storage.store import Access
from personalize_spark.testing.toy import golden_group, golden_version, request

ROOT = Path(__file__).parents[2]


def run(local: LocalExecutor, folder: Path, recipe: str = "aws-user-personalization", **settings: Any) -> Report:
    catalog = Catalog(f"file://{folder}/catalog")
    params = request(golden_version(catalog, recipe), f"file://{folder}/in/", f"file://{folder}/out/", numResults=3)
    record = replace(check_batch_inference_job(catalog, params), **settings).create(catalog)
    try:
        done = run_job(local, catalog, record, lambda _: None)
    finally:
        told = report(catalog, str(record.arn))
    assert told == done
    return done


def write(folder: Path, **files: bytes) -> None:
    (folder / "in").mkdir()
    for name, data in files.items():
        (folder / "in" / f"{name}.json").write_bytes(data)


def test_line_numbers_are_those_of_the_file_wherever_it_is_cut(
    local: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "_MIN_LINES", 1)
    monkeypatch.setattr(splits, "MAX_LINES", 7)
    good = b'{"userId":"u1"}\n\n'
    write(tmp_path, a=good * 100, b=good * 100 + b"broken\n" + good + b"broken\n{}\n" + b'{"userId":"u-u1"}')
    done = run(local, tmp_path)
    assert done.splits > 20
    assert (done.lines, done.answered, done.errors) == (205, 202, {"MalformedJson": 2, "MissingField": 1})
    assert done.first["MalformedJson"] == FirstLine(
        "b.json", 201, "broken", "The line is not valid JSON at character 1"
    )
    assert done.first["MissingField"].line == 205
    assert done.first["UnknownUser"] == FirstLine("b.json", 206, '{"userId":"u-u1"}', "")
    assert done.near_misses == {"u-u1": "u1"}
    assert [note.partition(" name ")[0] for note in done.notes] == ["1 of 202 lines"]
    assert "  2 error lines: MalformedJson (first: b.json, line 201: broken)\n" in str(done)
    assert done.kernels in (["numpy"], ["portable"], ["avx2"], ["avx512vnni"], ["neon-dotprod"])
    assert (done.retried, done.failure, done.version) == (0, None, 1)


def test_unknown_users_are_told(local: LocalExecutor, tmp_path: Path) -> None:
    write(tmp_path, users=b'{"userId":"prefix-u1"}\n{"userId":"prefix-u9"}\n')
    [note] = run(local, tmp_path).notes
    who = "a user that the solution version does not know (such as 'prefix-u1', where it knows 'u1')"
    assert note == f"2 of 2 lines name {who} and got the popular items."


def test_unknown_items_are_told(local: LocalExecutor, tmp_path: Path) -> None:
    write(tmp_path, items=b'{"itemId":"A"}\n{"itemId":"b"}\n')
    done = run(local, tmp_path, "aws-sims")
    assert done.near_misses == {"A": "a"}
    assert done.notes[0].startswith("1 of 2 lines name an item that the solution version does not know (such as 'A'")


def test_files_that_are_no_json_lines_are_told_once(local: LocalExecutor, tmp_path: Path) -> None:
    pretty = json.dumps([{"userId": "u1"}, {"userId": "u1"}], indent=2).encode()
    write(
        tmp_path,
        array=b'[{"userId":"u1"}]',
        good=b'{"userId":"u1"}\n' * 3 + b"[\n",
        packed=gzip.compress(b'{"userId":"u1"}\n'),
        twice=gzip.compress(gzip.compress(b'{"userId":"u1"}\n')),
        pretty=pretty,
        pretty2=pretty,
        utf16='{"userId":"u1"}\n'.encode("utf-16"),
    )
    told = {note.partition(":")[0] for note in run(local, tmp_path).notes}
    assert told == {
        "array.json is one JSON array",
        "twice.json is compressed twice",
        "Each of 2 files, such as pretty.json, is one JSON document over many lines",
        "utf16.json is UTF-16",
    }


def test_two_lines_of_utf16_are_three_error_lines_and_one_note(local: LocalExecutor, tmp_path: Path) -> None:
    write(tmp_path, excel='{"userId":"u1"}\r\n{"userId":"u2"}\r\n'.encode("utf-16"))
    done = run(local, tmp_path)
    assert (done.lines, done.answered, done.errors) == (3, 0, {"MalformedJson": 2, "InvalidUtf8": 1})
    assert done.notes == ["excel.json is UTF-16: save it as UTF-8."]
    assert len((tmp_path / "out" / "excel.json.out").read_bytes().splitlines()) == 3
    assert "\x00" not in str(done)


def test_values_of_filters_that_no_item_can_have_are_counted_and_named() -> None:
    values = {'{"GENRE":"\'Comedy\'"}': 2, '{"GENRE":"\\"Comedy|Drama\\""}': 1, '{"GENRE":"\\"x\\""}': 4}
    [note] = _notes([], [], Outcomes(values=values), {})
    told = """3 lines got no item by filterValues with single quotes or |, such as {"GENRE":"'Comedy'"}: a text stands in"""
    assert note.startswith(told)


def test_a_rate_of_one_is_one_line(local: LocalExecutor, tmp_path: Path) -> None:
    write(tmp_path, users=b'{"userId":"u1"}\n')
    done = replace(run(local, tmp_path), seconds=1.0, start_seconds=0.0, lines_per_second=1.2)
    assert str(done).startswith("1 line of 1 file answered in 1.0 s (1 line/s)")
    done = replace(done, start_seconds=0.75, lines_per_second=4.0)
    assert str(done).startswith("1 line of 1 file answered in 1.0 s (4 lines/s after 0.8 s of start)")


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b'{"userId":"u"}\n', None),
        (b'\xef\xbb\xbf{"userId":"u"}\n', None),
        (b"", None),
        (b"\n\n", None),
        (b"PAR1\x15", "parquet"),
        (b"PK\x03\x04", "zip"),
        (b'{\x00"\x00', "utf-16"),
        (b"[\n{", "pretty"),
        (b"{\n", "pretty"),
        (b"[{", "array"),
        (b"USER_ID,AGE\n", "csv"),
    ],
)
def test_the_first_bytes_tell_the_form(head: bytes, form: str | None) -> None:
    assert form_of(head) == form
    found, text = peeked([head, b"more"])
    assert (found, b"".join(text)) == (form, head + b"more")


def test_near_misses_are_other_spellings() -> None:
    known = {"1", "u7", "AB", "12"}
    asked = ["user-1", "U7", "ab", "0012", "12.0", " u7", "nothing", "1x"]
    assert near_misses(asked, lambda names: [each for each in names if each in known]) == {
        "user-1": "1",
        "U7": "u7",
        "ab": "AB",
        "0012": "12",
        "12.0": "12",
        " u7": "u7",
    }


def test_a_job_that_fails_has_a_report_of_its_outputs(
    local: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_one(executor: Executor, ledger: Ledger, *rest: Any) -> None:
        run_attempts(executor, ledger, *rest)
        del ledger.pieces["000002/000003"]

    monkeypatch.setattr(splits, "_MIN_LINES", 1)
    monkeypatch.setattr(splits, "MAX_LINES", 2)
    monkeypatch.setattr(job_run, "run_attempts", lose_one)
    write(tmp_path, good=b'{"userId":"u1"}\n?\n', partly=b"?\n" * 99)
    (tmp_path / "in" / "bad.json.gz").write_bytes(b"no gzip at all")
    (tmp_path / "in" / os.fsdecode(b"caf\xe9.json")).write_bytes(b"?\n")
    with pytest.raises(JobFailed, match="3 of 4 input files") as failed:
        run(local, tmp_path)
    [record] = Catalog(f"file://{tmp_path}/catalog").list("batch-inference-job")
    told = report(Catalog(f"file://{tmp_path}/catalog"), str(record.arn))
    assert (told.lines, told.errors) == (2, {"MalformedJson": 1})
    assert (told.unanswered, told.failed_files) == (3, ["bad.json.gz", "partly.json"])
    assert told.bytes == (tmp_path / "out" / "good.json.out").stat().st_size
    assert f"{told}".startswith("2 lines of 1 file answered in ")
    assert "\n  3 files without an output\n" in f"{told}"
    assert told.failure == failed.value.message == record.fields["failureReason"]
    assert f"\n  CREATE FAILED: {told.failure}\n" in f"{told}"
    assert failed.value.__notes__ == [f"{replace(told, failure=None)}"]


def test_a_job_without_a_report_says_why(tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    record = create_batch_inference_job(catalog, request(golden_version(catalog), "s3://b/in/", "s3://b/out/"))
    with pytest.raises(InvalidInputException, match=r"is CREATE PENDING and has no report\."):
        report(catalog, str(record.arn))


def test_the_command_prints_it(local: LocalExecutor, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, users=b'{"userId":"u1"}\n\x1b[31mred\n')
    done = run(local, tmp_path)
    asked = ["report", done.job, "--catalog", f"file://{tmp_path}/catalog"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "line 2: \ufffd[31mred)" in said
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == done.to_dict()


def test_the_report_lies_beside_the_outputs_on_demand(local: LocalExecutor, tmp_path: Path) -> None:
    write(tmp_path, users=b'{"userId":"u1"}\n?\n')
    done = run(local, tmp_path, report_files=True)
    path = tmp_path / "out" / "_report" / done.job.rpartition("/")[2] / "report.json"
    assert json.loads(path.read_bytes()) == done.to_dict()
    assert find_inputs(f"file://{tmp_path}/out/", f"file://{tmp_path}/elsewhere/", Access())
    with pytest.raises(JobFailed, match="no object's name starts with"):
        find_inputs(f"file://{tmp_path}/out/", f"file://{tmp_path}/out/", Access())


def test_the_page_stands_alone_and_shows_what_the_report_says(
    local: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "_MIN_LINES", 1)
    monkeypatch.setattr(splits, "MAX_LINES", 10)
    write(tmp_path, users=b'{"userId":"u1"}\n' * 40 + b'<script>\x00\n{"userId":"user-u1"}\n')
    done = run(local, tmp_path, report_files=True)
    page = (tmp_path / "out" / "_report" / done.job.rpartition("/")[2] / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|<img|src=|href=|@import|url\(", page)
    root = ET.fromstring(re.sub(r"(<meta [^>]*)>", r"\1/>", page.removeprefix("<!doctype html>\n")))  # noqa: S314  # our own
    cards = {str(each.findtext("h2")): each for each in root.iter("section")}
    heads = ["Lines", "Answered", "Rate", "Coverage", "Notes", "Errors and remarks, with the first line of each"]
    assert list(cards)[:6] == heads
    assert "75.0%" in "".join(cards["Coverage"].itertext())
    told = ["".join(row.itertext()) for row in cards["Errors and remarks, with the first line of each"].iter("tr")]
    assert told[1] == "MalformedJson1users.json, line 41<script>\ufffdThe line is not valid JSON at character 1"
    assert [len(row) for row in cards["Unknown ids, and what they may mean"].iter("tr")] == [2, 2]
    assert "prefers-color-scheme: dark" in page
    assert "max-width: 640px" in page
    assert "print-color-adjust: exact" in page  # or browsers print no bars
    assert done._repr_html_().startswith("<style>")
    assert "<script" not in done._repr_html_()
    counts = [int(str(bar[2].text)) for bar in cards["Score of each list's first item"].iter("div")]
    assert sum(counts) == sum(done.scores) == sum(done.popularity) == 41


def test_what_a_filter_leaves_and_what_the_lists_have_is_told(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    version, group = golden_version(catalog), golden_group(catalog)
    catalog.update(catalog.read(version), datasetGroupArn=str(group.arn))
    cheap = {
        "name": "cheap",
        "datasetGroupArn": str(group.arn),
        "filterExpression": "EXCLUDE ItemID WHERE Items.PRICE > $MOST",
    }
    write(
        tmp_path,
        users=b'{"userId":"u1","filterValues":{"MOST":"1"}}\n{"userId":"u1","filterValues":{"MOST":"2"}}\nbroken\n',
    )
    params = request(
        version, f"file://{tmp_path}/in/", f"file://{tmp_path}/out/", numResults=1, **create_filter(catalog, cheap)
    )
    told = run_job(local, catalog, create_batch_inference_job(catalog, params), lambda _: None)
    assert (told.filter_share, told.coverage, told.storage_retries) == (
        (4 / 5 + 1) / 2,
        1 / 5,
        0,
    )  # the group has a new item
    assert "<h2>Filter</h2>" in told._repr_html_()
    assert "90.0%" in told._repr_html_()
    assert {name: told.request[name] for name in params} == params
    page = ET.fromstring(told._repr_html_().partition("</style>")[2])  # noqa: S314  # our own
    rows = ["|".join(cell.text or "" for cell in row) for row in page.iter("tr")]
    assert f"jobInput.s3DataSource.path|file://{tmp_path}/in/" in rows
    assert f"the filter's expression|{cheap['filterExpression']}" in rows


def test_the_timeline_holds_all_lines() -> None:
    def piece(ended: float, seconds: float, lines: int) -> Piece:
        return Piece("000000/000000", "", seconds=seconds, ended=ended, outcomes=Outcomes(answered=lines))

    rates, span = _timeline([piece(10.0, 5.0, 100), piece(15.0, 5.0, 300), piece(15.0, 0.0, 8)])
    assert span == 10.0
    assert len(rates) == 40
    assert rates[:20] == [20.0] * 20
    assert rates[20:39] == [60.0] * 19
    assert sum(rates) * span / 40 == pytest.approx(408)
    assert _timeline([]) == ([], 0.0)


def test_more_errors_than_tolerated_fail_the_job_and_keep_its_outputs(local: LocalExecutor, tmp_path: Path) -> None:
    write(tmp_path, users=b'{"userId":"u1"}\n' * 3 + b"?\n")
    assert run(local, tmp_path, tolerated_failures=25).failure is None
    answers = (tmp_path / "out" / "users.json.out").read_bytes()
    (tmp_path / "out" / "users.json.out").unlink()
    with pytest.raises(JobFailed) as failed:
        run(local, tmp_path, tolerated_failures=24.9)
    assert failed.value.message == (
        "1 of 4 lines are error lines, more than the 24.9 % of toleratedFailurePercentage; most of them MalformedJson, "
        "first in users.json, line 4. The outputs are kept."
    )
    assert (tmp_path / "out" / "users.json.out").read_bytes() == answers


def test_error_lines_go_apart_on_demand(local: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "_MIN_LINES", 1)
    monkeypatch.setattr(splits, "MAX_LINES", 5)
    monkeypatch.setattr(publish, "_WRITERS", 2)
    bad = b"".join(b"oops %d\n" % number for number in range(30))
    write(tmp_path, bad=bad, good=b'{"userId":"u1"}\n' * 30, mixed=bad.replace(b"\n", b'\n{"userId":"u1"}\n'))
    together = run(local, tmp_path)
    whole = {path.name: path.read_bytes().splitlines() for path in (tmp_path / "out").glob("*.out")}
    done = run(local, tmp_path, errors_to=f"file://{tmp_path}/errors")
    assert (done.lines, done.errors, done.first) == (together.lines, together.errors, together.first)
    for name, lines in whole.items():
        clean = (tmp_path / "out" / name).read_bytes().splitlines()
        errors = (tmp_path / "errors" / name.replace(".out", ".errors")).read_bytes().splitlines()
        assert clean == [line for line in lines if line.endswith(b'"error":null}')]
        assert errors == [line for line in lines if not line.endswith(b'"error":null}')]
    names = {path.name for path in (tmp_path / "errors").iterdir()}
    assert names == {"_CHECK", "bad.json.errors", "good.json.errors", "mixed.json.errors"}


@pytest.mark.parametrize("percentage", ["-1", "100.5", "nan"])
def test_a_tolerance_is_a_percentage(tmp_path: Path, percentage: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--engine", "local", "--request", "{}", "--catalog", f"file://{tmp_path}/catalog"]
    assert main(["run", *asked, f"--tolerated-failure-percentage={percentage}"]) == 2
    assert "give 0 to 100" in capsys.readouterr().err


def test_the_schema_in_the_documents_is_that_of_the_report() -> None:
    documented = json.loads((ROOT / "docs" / "report.schema.json").read_text())
    assert documented == msgspec.json.schema(Report), "write it again"
