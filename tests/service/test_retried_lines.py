"""Of a file with error lines only these are answered again: the others keep their answers, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark import api
from personalize_spark.answer import answer
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.errors import InvalidInputException, JobFailed
from personalize_spark.job import locate
from personalize_spark.job.byte_ranges import ByteRange
from personalize_spark.job.executor import Executor
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.old_answers import OldLines, put_together
from personalize_spark.job.publish import Publisher
from personalize_spark.job.report import Report
from personalize_spark.job.run import run_job
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.service.retries import job_to_retry
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Object
from personalize_spark.testing.toy import golden_version, model_of, random_world, request

LINES = 10_000
"""Some splits."""
WRONG = (0, 16, 4_321, 4_323, LINES - 1)

Mend = Callable[[list[bytes]], None]


def lines(*, wrong: Sequence[int] = ()) -> list[bytes]:
    """Every fifth is blank, the others differ; those that are `wrong` are error lines."""
    good = [b'{"userId":"u%d","n":%d}' % (n % 7, n) if n % 5 != 2 else b" " for n in range(LINES)]
    return [b"{broken %d" % n if n in wrong else line for n, line in enumerate(good)]


class Place:
    """Where inputs and outputs lie, and a catalog on files."""

    def __init__(self, root: str, folder: Path, executor: Executor) -> None:
        self.store, self.root, self.executor = open_store(root), root, executor
        self.catalog = Catalog(f"file://{folder}/catalog")
        self.version = golden_version(self.catalog)

    def run(self, text: Sequence[bytes], name: str, **more: Any) -> str:
        """The ARN of a job on these lines, whose output is `NAME/in.json.out`."""
        self.store.write("in.json", b"\n".join(text) + b"\n")
        asked = request(self.version, f"{self.root}in.json", f"{self.root}{name}/", numResults=3, jobName=name)
        record = create_batch_inference_job(self.catalog, asked, **more)
        run_job(self.executor, self.catalog, record, lambda _: None)
        return str(record.arn)

    def retry(self, arn: str, text: Sequence[bytes], to: str | None = None) -> Report:
        self.store.write("in.json", b"\n".join(text) + b"\n")
        job = job_to_retry(self.catalog, arn, to=None if to is None else f"{self.root}{to}")
        return run_job(self.executor, self.catalog, job.create(self.catalog), lambda _: None)

    def output(self, name: str) -> bytes:
        return self.store.read(f"{name}/in.json.out")


@pytest.fixture
def place(tmp_path: Path, local: LocalExecutor) -> Place:
    return Place(f"file://{tmp_path}/", tmp_path, local)


def mark(path: Path) -> None:
    """Change one digit of each answer, in a way that only reading all of the file would show."""
    before, data = path.stat(), path.read_bytes()
    marked = data.replace(b'["a","b","c"]', b'["x","y","z"]')
    assert marked != data
    with path.open("r+b") as file:
        file.write(marked)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.slow
def test_only_error_lines_are_answered_again(executor: Executor, tmp_path: Path) -> None:
    place = Place(f"file://{tmp_path}/", tmp_path, executor)
    arn = place.run(lines(wrong=WRONG), "old")
    mark(tmp_path / "old" / "in.json.out")
    old = place.output("old").splitlines()
    report = place.retry(arn, lines())
    new = place.output("old").splitlines()
    assert (report.lines, report.errors, report.repeated) == (LINES * 4 // 5, {}, LINES * 4 // 5 - len(WRONG))
    assert report.lines_per_second * (report.seconds - report.start_seconds) == pytest.approx(report.lines, rel=0.1)
    changed = [(n, line) for n, line in enumerate(new) if line != old[n]]
    assert len(changed) == len(WRONG)
    place.run(lines(), "whole")
    whole = place.output("whole").splitlines()
    assert all(line == whole[n] for n, line in changed)
    assert len(old) == len(new) == len(whole)
    assert "7,995 lines with the answer of before" in f"{report}"


@pytest.mark.slow
@pytest.mark.parametrize("root", ["files", pytest.param("s3", marks=pytest.mark.s3)])
def test_what_is_answered_again_may_go_to_a_folder_of_its_own(
    root: str, tmp_path: Path, local: LocalExecutor, request: pytest.FixtureRequest
) -> None:
    place = Place(f"{request.getfixturevalue('s3')}/" if root == "s3" else f"file://{tmp_path}/", tmp_path, local)
    arn = place.run(lines(wrong=WRONG), "old")
    old = place.output("old")
    still_wrong = lines(wrong=WRONG[-1:])
    report = place.retry(arn, still_wrong, to="new/")
    assert place.output("old") == old
    place.run(still_wrong, "whole")
    whole, blank = place.output("whole").splitlines(), [n for n in range(LINES) if n % 5 == 2]
    expected = [whole[n - sum(each < n for each in blank)] for n in WRONG]
    assert place.output("new").splitlines() == expected
    assert (report.lines, report.repeated, report.first["MalformedJson"].line) == (len(WRONG), 0, LINES)
    [again] = [record for record in place.catalog.list("batch-inference-job") if record.arn.name == "old-retry-1"]
    with pytest.raises(
        InvalidInputException, match="hold only lines of another job: retry that one. This job answered 1"
    ):
        job_to_retry(place.catalog, str(again.arn))
    with pytest.raises(InvalidInputException, match=f"has the outputs of {arn}"):
        job_to_retry(place.catalog, arn, to=f"{place.root}old")
    place.retry(arn, lines())  # the old outputs, replaced whole
    place.run(lines(), "right")
    assert place.output("old") == place.output("right")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mend", "least"),
    [
        (lambda text: text.insert(5_000, b'{"userId":"u1"}'), 3_900),
        (lambda text: text.pop(0), 0),
        (lambda text: text.append(b'{"userId":"u1"}'), LINES * 4 // 5 - 10),
        (lambda text: text.__setitem__(3_000, b'{"userId":"u9"}'), LINES * 4 // 5 - 10),
        (lambda text: text.__setitem__(slice(9, None), []), 5),
    ],
)
@pytest.mark.parametrize("errors_to", [None, "errors/"])
def test_a_file_with_other_lines_gets_the_answers_of_these(
    mend: Mend, least: int, errors_to: str | None, place: Place
) -> None:
    apart = errors_to is not None
    to = f"{place.root}{errors_to}" if apart else None
    asked = request(place.version, f"{place.root}in.json", f"{place.root}old/", numResults=3, jobName="old")
    place.store.write("in.json", b"\n".join(lines(wrong=WRONG)) + b"\n")
    api.run_batch_inference(place.catalog, asked, engine="local", errors_to=to)
    mended = lines(wrong=WRONG[2:3])
    mend(mended)
    arn = str(next(iter(place.catalog.list("batch-inference-job"))).arn)
    report = place.retry(arn, mended)
    place.run(mended, "whole")
    whole = place.output("whole").splitlines()
    assert place.output("old").splitlines() == [line for line in whole if not apart or b'"error":null' in line]
    assert report.repeated >= (0 if apart else least)
    assert report.lines == len(whole)
    if apart:
        errors = place.store.read("errors/in.json.errors").splitlines()
        assert errors == [line for line in whole if b'"error":null' not in line]


@pytest.mark.slow
def test_an_output_that_somebody_replaced_is_not_mixed_with(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    arn = place.run(lines(wrong=WRONG), "old")
    place.store.write("old/in.json.out", place.output("old").replace(b'"a"', b'"z"'))
    with pytest.raises(JobFailed, match=r"old/in\.json\.out is not what the job wrote"):
        place.retry(arn, lines(), to="new/")
    report = place.retry(arn, lines())
    assert (report.repeated, report.answered) == (0, LINES * 4 // 5)
    assert b'"z"' not in place.output("old")
    assert "old/in.json.out is not what the job wrote: its input is answered as a whole." in caplog.text


@pytest.mark.slow
def test_a_retry_can_be_retried(place: Place) -> None:
    arn = place.run(lines(wrong=WRONG), "old")
    place.retry(arn, lines(wrong=WRONG[1:2]))
    [again] = [record for record in place.catalog.list("batch-inference-job") if record.arn.name == "old-retry-1"]
    report = place.retry(str(again.arn), lines())
    assert (report.repeated, report.lines) == (LINES * 4 // 5 - 1, LINES * 4 // 5)


@pytest.mark.slow
def test_a_retry_that_was_stopped_behind_its_outputs_is_resumed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = place.run(lines(wrong=WRONG), "old")
    publish = Publisher.publish

    def stopped(publisher: Publisher) -> dict[str, Object]:
        publish(publisher)
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(Publisher, "publish", stopped)
        with pytest.raises(KeyboardInterrupt):
            place.retry(arn, lines())
    new = place.output("old")
    again = place.catalog.read(job_to_retry(place.catalog, arn).named("old-retry-1").arn)
    report = run_job(place.executor, place.catalog, again, lambda _: None)
    assert (report.repeated, report.errors) == (LINES * 4 // 5 - len(WRONG), {})
    assert place.output("old") == new
    place.run(lines(), "whole")
    assert new == place.output("whole")


def test_a_folder_for_answers_needs_a_job_to_retry(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInputException, match="goes with a job whose errors to retry"):
        api.run_batch_inference(place.catalog, {}, retry_to=f"{place.root}new/", engine="local")
    place.store.write("request.json", b"{}")
    path = f"{place.root}request.json".removeprefix("file://")
    command = ["run", "--request", path, "--retry-to", "new", "--engine", "local", "--catalog", place.catalog.uri]
    assert main(command) == 2
    assert "goes with a job whose errors to retry" in capsys.readouterr().err


USERS = st.sampled_from([b'{"userId":"u1"}', b'{ "userId" : "u2" }', b'{"userId":"u3","output":{}}', b'{"userId":"?"}'])
TEXT = st.lists(st.one_of(USERS, st.sampled_from([b"", b" \r", b"broken", b"[]", b'{"userId":1.0}'])), max_size=12)


@given(old=TEXT, new=TEXT, same=st.booleans(), apart=st.booleans(), chunk=st.integers(1, 12))
def test_old_and_new_answers_are_those_of_the_new_lines(
    tmp_path_factory: pytest.TempPathFactory, *, old: list[bytes], new: list[bytes], same: bool, apart: bool, chunk: int
) -> None:
    new = old if same else new
    folder = tmp_path_factory.getbasetemp() / "old-lines"
    model = model_of(random_world(items=9, users=4), "aws-user-personalization", folder)
    recipe, settings = RECIPES["aws-user-personalization"], Settings(num_results=2)
    store = open_store(f"file://{folder}/out/")
    store.write("a.out", answer(recipe, model, settings, old, apart=apart).data)
    found = next(iter(store.list("a.out")))
    there = OldLines(store, ByteRange(found, 0, found.size), apart=apart) if found.size else None
    data, errors, repeated = b"", b"", 0
    for start in range(0, len(new), chunk):
        some = new[start : start + chunk]
        asked, kept = there.left_out(some) if there else (some, None)
        given = answer(recipe, model, settings, asked, apart=apart and there is None)
        given = put_together(given, kept, repeated=True, apart=apart) if kept is not None else given
        data, errors, repeated = data + given.data, errors + given.errors, repeated + given.outcomes.repeated
    whole = answer(recipe, model, settings, new, apart=apart)
    assert (data, errors) == (whole.data, whole.errors)
    if same:
        assert repeated == sum(b'"error":null' in line for line in whole.data.splitlines())


def test_places_are_found_across_chunks(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "READ_CHUNK", 1_000)
    arn = Arn.parse(place.run(lines(wrong=WRONG), "old"))
    job = job_to_retry(place.catalog, str(arn))
    seen: list[bool] = []

    class Here:  # the stage in this process, which has the small chunks
        cores, retries, here = 2, 0, True

        def run(self, staging: Any, tasks: int, work: Any) -> list[str]:
            if getattr(work, "func", None) is locate._locate:
                seen.append(True)
                return [failure for number in range(tasks) for failure in work(staging, number)]
            return place.executor.run(staging, tasks, work)

        def stop(self) -> None: ...

        def gather(self, staging: Any, splits: Any) -> Any:
            return place.executor.gather(staging, splits)

    place.store.write("in.json", b"\n".join(lines()) + b"\n")
    report = run_job(Here(), place.catalog, job.create(place.catalog), lambda _: None)
    assert seen == [True]
    assert report.repeated == LINES * 4 // 5 - len(WRONG)
