"""What is proved before any work: by tasks, or where they run as this process does, by it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.errors import JobFailed
from personalize_spark.job import task
from personalize_spark.job.executor import Work
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.spark import is_here
from personalize_spark.storage.store import Store
from personalize_spark.testing.toy import golden_version, request


class Recording:
    """The local engine, which notes its stages."""

    retries = 0

    def __init__(self, local: LocalExecutor, *, here: bool) -> None:
        self._local, self.here, self.cores = local, here, local.cores
        self.stages: list[str] = []
        self.stop, self.gather = local.stop, local.gather

    def run(self, staging: Store, tasks: int, work: Work) -> list[str]:
        """As `Executor.run`."""
        self.stages.append(work.func.__name__)  # type: ignore[attr-defined]  # a `partial`
        return self._local.run(staging, tasks, work)


Created = tuple[Catalog, Record]


def created(folder: Path) -> Created:
    """A job of one line."""
    catalog = Catalog(f"file://{folder}/catalog")
    (folder / "in.json").write_text('{"userId":"u1"}\n')
    version = golden_version(catalog, "aws-user-personalization")
    params = request(version, f"file://{folder}/in.json", f"file://{folder}/out/")
    return catalog, create_batch_inference_job(catalog, params)


def failure_of(executor: Recording, job: Created) -> str:
    """The job's failure, or nothing."""
    try:
        run_job(executor, *job, lambda _: None)
    except JobFailed as error:
        return str(error)
    return ""


@pytest.mark.parametrize("here", [False, True])
def test_one_process_proves_all_where_tasks_run_as_it_does(local: LocalExecutor, tmp_path: Path, *, here: bool) -> None:
    executor = Recording(local, here=here)
    assert not failure_of(executor, created(tmp_path))
    assert b'"error":null' in (tmp_path / "out" / "in.json.out").read_bytes()
    assert executor.stages == (["answer_task"] if here else ["_check", "answer_task"])


def test_what_is_missing_is_said_alike(local: LocalExecutor, tmp_path: Path) -> None:
    failures = []
    for here in (False, True):
        folder = tmp_path / f"{here}"
        folder.mkdir()
        job = created(folder)
        [factors] = folder.rglob("factors.npy")
        factors.unlink()
        failures.append(failure_of(Recording(local, here=here), job).replace(str(factors.parent), "there"))
    assert failures[0] == failures[1]
    assert "factors.npy" in failures[0]


def test_another_release_on_the_executors_is_said(
    local: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personalize_spark.__version__", "0.0.0")  # of the driver
    failure = failure_of(Recording(local, here=False), created(tmp_path))
    assert "the driver has 0.0.0: install the same version on both" in failure


def test_whatever_is_raised_fails_the_job(
    local: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unopened(staging: Store) -> None:
        del staging
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(task, "Worker", unopened)
    assert "No space left on device" in failure_of(Recording(local, here=True), created(tmp_path))
    assert not list((tmp_path / "out").rglob("*.out"))


@pytest.mark.spark
def test_a_local_session_of_this_python_is_here(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_here(spark)
    monkeypatch.setattr(spark.sparkContext, "pythonExec", "/usr/bin/python3")
    assert not is_here(spark)
    monkeypatch.setattr(spark.sparkContext, "pythonExec", sys.executable)
    monkeypatch.setattr(spark.sparkContext, "master", "local-cluster[2,1,1024]")
    assert not is_here(spark)
