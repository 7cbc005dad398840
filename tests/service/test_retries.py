"""Only what went wrong is answered again, with the same model, into the same outputs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from personalize_spark import api
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.errors import InvalidInputException, JobFailed
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.run import run_job
from personalize_spark.service import retries
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.service.retries import job_to_retry
from personalize_spark.testing.toy import golden_version, request

GOOD = b'{"userId":"u1"}\n'


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(f"file://{tmp_path}/catalog")


@pytest.fixture
def asked(catalog: Catalog, tmp_path: Path) -> dict[str, Any]:
    """A request for three files: one with an error line, one that is damaged, one without fault."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "good.json").write_bytes(GOOD)
    (tmp_path / "in" / "sub" / "typo.json").write_bytes(GOOD + b"{userId}\n")
    (tmp_path / "in" / "cut.json.gz").write_bytes(gzip.compress(GOOD * 1_000)[:-9])
    return request(golden_version(catalog), f"file://{tmp_path}/in/", f"file://{tmp_path}/out/", jobName="weekly")


@pytest.mark.slow
def test_only_the_files_that_went_wrong_are_answered_again(
    catalog: Catalog, asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(JobFailed, match="1 of 3 input files"):
        api.run_batch_inference(catalog, asked, engine="local", report_files=True)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.rglob("*.out")) == ["good.json.out", "typo.json.out"]
    right = (out / "good.json.out").read_bytes()
    (out / "good.json.out").write_bytes(b"not touched\n")
    (tmp_path / "in" / "sub" / "typo.json").write_bytes(GOOD * 2)
    (tmp_path / "in" / "cut.json.gz").write_bytes(gzip.compress(GOOD * 3))
    told = str(out / "_report" / "weekly" / "report.json")
    assert main(["run", "--retry-errors", told, "--engine", "local", "--catalog", catalog.uri]) == 0
    said = capsys.readouterr()
    arn = json.loads(said.out)["batchInferenceJobArn"]
    assert arn.endswith("/weekly-retry-1")
    assert "This job answered 2 files of 3 of " in said.err
    assert (out / "good.json.out").read_bytes() == b"not touched\n"
    assert (out / "sub" / "typo.json.out").read_bytes() == right * 2
    assert (out / "cut.json.gz.out").read_bytes() == right * 3
    with pytest.raises(InvalidInputException, match="there is nothing to retry"):
        job_to_retry(catalog, arn)


@pytest.fixture
def failed(catalog: Catalog, asked: dict[str, Any], local: LocalExecutor) -> str:
    """The ARN of the job of that request, as it ended."""
    record = create_batch_inference_job(catalog, asked)
    with pytest.raises(JobFailed):
        run_job(local, catalog, record, lambda _: None)
    return str(record.arn)


def test_each_retry_has_a_name_of_its_own(catalog: Catalog, failed: str) -> None:
    names = []
    for _ in range(2):
        job = job_to_retry(catalog, failed)
        assert job.only == ["cut.json.gz", "sub/typo.json"]
        names.append(job.create(catalog).arn.name)
    assert names == ["weekly-retry-1", "weekly-retry-2"]
    assert [len(name) for name in (next(retries._names("x" * 63)), next(retries._names("y-retry-7")))] == [63, 9]


def test_a_file_that_is_gone_is_named(catalog: Catalog, failed: str, tmp_path: Path, local: LocalExecutor) -> None:
    (tmp_path / "in" / "cut.json.gz").unlink()
    (tmp_path / "in" / "sub" / "typo.json").write_bytes(GOOD * 2)
    with pytest.raises(JobFailed, match=r"in/cut\.json\.gz is no longer there; it is one of 2 files"):
        run_job(local, catalog, job_to_retry(catalog, failed).create(catalog), lambda _: None)
    assert (tmp_path / "out" / "sub" / "typo.json.out").read_bytes().count(b'"error":null') == 2


def test_more_files_than_a_report_names_are_all_answered(
    catalog: Catalog, failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_NAMED", 1)
    job = job_to_retry(catalog, failed)
    assert job.only is None
    assert job.notes[-1] == f"This job answered all 3 files of {failed} again."


def test_a_model_that_is_gone_is_said(catalog: Catalog, failed: str, tmp_path: Path) -> None:
    [manifest] = tmp_path.glob("catalog/models/*/*/manifest.json")
    manifest.unlink()
    with pytest.raises(InvalidInputException, match="cannot be retried: .* holds no manifest"):
        job_to_retry(catalog, failed)


def test_there_must_be_something_to_run(catalog: Catalog) -> None:
    with pytest.raises(InvalidInputException, match="There is nothing to run"):
        api.run_batch_inference(catalog, engine="local")
    text: Any = "request.json"
    with pytest.raises(InvalidInputException, match="The request must be a dict, not of type str"):
        api.run_batch_inference(catalog, text, engine="local")


@pytest.mark.slow
def test_a_file_that_was_not_even_read_is_retried(catalog: Catalog, asked: dict[str, Any], tmp_path: Path) -> None:
    outside, link = tmp_path / "outside.json", tmp_path / "in" / "link.json"
    outside.write_bytes(GOOD)
    link.symlink_to(outside)
    with pytest.raises(JobFailed, match="2 of 4 input files"):
        api.run_batch_inference(catalog, asked, engine="local")
    [record] = catalog.list("batch-inference-job")
    assert record.fields["report"]["failed_files"] == ["cut.json.gz", "link.json"]
    link.unlink()
    link.write_bytes(GOOD)
    (tmp_path / "in" / "cut.json.gz").write_bytes(gzip.compress(GOOD))
    api.run_batch_inference(catalog, engine="local", retry_errors=str(record.arn))
    assert (tmp_path / "out" / "link.json.out").read_bytes() == (tmp_path / "out" / "good.json.out").read_bytes()
