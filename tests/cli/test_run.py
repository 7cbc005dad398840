"""`run` and `watch`, and the options that all commands share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.lease import RESUMABLE
from personalize_spark.cli.main import main, parser
from personalize_spark.job.attempts import Progress
from personalize_spark.job.executor import Work
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.run import run_job
from personalize_spark.job.watch import watch_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.storage.store import Store
from personalize_spark.testing.toy import golden_version, request


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog")


@pytest.fixture
def asked(catalog: Catalog, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "in.json").write_text('{"userId":"u1"}\nbroken\n')
    params = request(golden_version(catalog), f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/")
    (tmp_path / "request.json").write_text(json.dumps(params))
    return params


@pytest.mark.slow
def test_a_run_may_have_another_name_and_a_taken_one_is_explained(
    asked: dict[str, Any], catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = ["run", "--request", str(tmp_path / "request.json"), "--engine", "local", "--catalog", catalog.uri]
    assert main([*program, "--job-name", "other"]) == 0
    arn = json.loads(capsys.readouterr().out)["batchInferenceJobArn"]
    assert arn.endswith("/other")
    assert main([*program, "--job-name", "other"]) == 2
    assert "job/other already exists. It is ACTIVE: use another jobName." in capsys.readouterr().err
    record = create_batch_inference_job(catalog, asked)
    assert main(program) == 2
    assert "It is CREATE PENDING: wait for its end, or use another jobName." in capsys.readouterr().err
    catalog.update(record, status="CREATE FAILED")
    assert main(program) == 2
    way = f"It is CREATE FAILED: use another jobName, or finish it. Continue it with: personalize-spark resume {record.arn}"
    assert way in capsys.readouterr().err
    catalog.update(record, **{RESUMABLE: None})
    assert main(program) == 2
    assert "It is CREATE FAILED: use another jobName." in capsys.readouterr().err


class Held(LocalExecutor):
    """A local engine whose tasks wait until they may answer; the check before them does not."""

    def __init__(self) -> None:
        super().__init__(1)
        self.go_on, self._checked = threading.Event(), False

    def run(self, staging: Store, tasks: int, work: Work) -> list[str]:
        if self._checked:
            self.go_on.wait()
        self._checked = True
        return super().run(staging, tasks, work)


@pytest.mark.slow
def test_a_job_of_another_driver_is_followed_to_its_end(
    asked: dict[str, Any], catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    record, seen = create_batch_inference_job(catalog, asked), list[Progress]()
    with Held() as executor:

        def show(progress: Progress) -> None:
            seen.append(progress)
            executor.go_on.set()

        driver = threading.Thread(target=run_job, args=(executor, catalog, record, lambda _: None))
        driver.start()
        report = watch_job(Catalog(catalog.uri), str(record.arn), show)
        driver.join()
    assert seen[0] == Progress(0, 1, 0, 0, 0.0)
    assert report.lines == 2
    assert main(["watch", str(record.arn), "--catalog", catalog.uri]) == 0
    assert "2 lines of 1 file answered" in capsys.readouterr().err


def test_a_job_that_failed_is_told_by_who_follows_it(
    asked: dict[str, Any], catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    record: Record = create_batch_inference_job(catalog, asked)
    catalog.update(record, status="CREATE FAILED", failureReason="Nothing works.")
    assert main(["watch", str(record.arn), "--catalog", catalog.uri]) == 1
    assert "Nothing works." in capsys.readouterr().err


@pytest.mark.parametrize(("before", "behind"), [("catalog", None), (None, "catalog"), ("none", "catalog")])
def test_the_catalog_stands_before_or_behind_the_command(
    catalog: Catalog, before: str | None, behind: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog.create(catalog.new_arn("schema", "clicks"), {"name": "clicks"})
    first, last = (["--catalog", str(tmp_path / name)] if name else [] for name in (before, behind))
    assert main([*first, "list-schemas", "--query", "schemas[].name", "--output", "text", *last]) == 0
    assert capsys.readouterr().out == "clicks\n"


@pytest.mark.slow
def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    def completed(line: str) -> set[str]:
        about = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": " ", "COMP_LINE": line, "COMP_POINT": str(len(line))}
        program = ["bash", "-c", f"'{sys.executable}' -m personalize_spark 8>'{tmp_path}/said'"]
        subprocess.run(program, env={**os.environ, **about}, check=True)
        return set((tmp_path / "said").read_text().split())

    assert completed("personalize-spark describe-f") == {"describe-filter", "describe-feature-transformation"}
    assert completed("personalize-spark run --eng") == {"--engine"}


def test_without_a_catalog_before_the_command_its_arguments_are_those_of_the_function() -> None:
    assert "catalog_before" not in vars(parser().parse_args(["watch", "arn"]))
