"""Jobs whose driver was killed by SIGKILL, and that another driver finishes."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import personalize_spark as ps
from personalize_spark.catalog import lease
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.status import Status
from personalize_spark.cli.main import main
from personalize_spark.errors import InvalidInputException, ResourceInUseException
from personalize_spark.extensions import with_extensions
from personalize_spark.job.job import KIND
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import (
    create_batch_inference_job,
    describe_batch_inference_job,
    find_resumable_job,
)
from personalize_spark.testing.toy import NO_EXPLORATION, golden_group, golden_version, request
from tests.job.killed_driver import POINTS

pytestmark = pytest.mark.slow  # processes start, and are killed

LINES = 12_000
FILES = ("one.json", "sub/two.json")


@pytest.fixture(autouse=True)
def fast_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for name in FILES:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("".join(f'{{"userId":"u{n % 7}","n":{n}}}\n' for n in range(LINES)))
    return Catalog(f"file://{tmp_path}/catalog")


@pytest.fixture
def asked(catalog: Catalog, tmp_path: Path) -> dict[str, Any]:
    return request(golden_version(catalog), f"file://{tmp_path}/in/", f"file://{tmp_path}/out/", jobName="killed")


def killed(point: str, folder: Path, asked: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "tests.job.killed_driver", point, str(folder), json.dumps(asked)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def outputs(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.out")}


def the_job(catalog: Catalog) -> Record:
    [record] = catalog.list(KIND)
    return record


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_job_goes_on_with_the_same_bytes(
    point: str, catalog: Catalog, asked: dict[str, Any], tmp_path: Path, local: LocalExecutor
) -> None:
    undisturbed = {
        **asked,
        "jobName": "whole",
        "jobOutput": {"s3DataDestination": {"path": f"file://{tmp_path}/whole/"}},
    }
    run_job(local, catalog, create_batch_inference_job(catalog, undisturbed), lambda _: None)
    catalog.delete(the_job(catalog))
    killed(point, tmp_path, asked)
    whole = outputs(tmp_path / "whole")
    for name, answers in outputs(tmp_path / "out").items():
        assert answers == whole[name]  # whole, or not there at all
    if point == "before the record":
        create_batch_inference_job(catalog, asked)  # the name is not spent
    record = find_resumable_job(catalog, str(the_job(catalog).arn))
    report = run_job(local, catalog, record, lambda _: None)
    assert report.lines == LINES * len(FILES)
    assert outputs(tmp_path / "out") == whole
    left = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left == {"_CHECK", *whole}
    assert the_job(catalog).status is Status.ACTIVE
    with pytest.raises(InvalidInputException, match=r"has ended as ACTIVE: there is nothing to resume"):
        find_resumable_job(catalog, str(record.arn))


@pytest.mark.parametrize("point", ["in the tasks", "between two outputs"])
def test_a_killed_job_keeps_what_it_asks_beyond_the_service(
    point: str, catalog: Catalog, asked: dict[str, Any], tmp_path: Path, local: LocalExecutor
) -> None:
    version = Arn.parse(asked["solutionVersionArn"])
    catalog.update(catalog.read(version), datasetGroupArn=str(golden_group(catalog).arn))
    for name in FILES:
        with (tmp_path / "in" / name).open("a") as file:
            file.write('{"userId":"u1","denyList":["a"]}\n')

    def beyond(folder: str) -> dict[str, Any]:
        own = {"maxPer": {"PRICE": 1}, "withColumns": ["PRICE"], "lineKeys": ["denyList"]}
        output = {"s3DataDestination": {"path": f"file://{tmp_path}/{folder}/"}}
        params = {**asked, "jobName": folder, "jobOutput": output, "batchInferenceJobConfig": NO_EXPLORATION}
        return with_extensions(params, {**own, "alsoParquet": f"file://{tmp_path}/{folder}/parquet/"})

    run_job(local, catalog, create_batch_inference_job(catalog, beyond("whole")), lambda _: None)
    catalog.delete(the_job(catalog))
    killed(point, tmp_path, beyond("out"))
    run_job(local, catalog, find_resumable_job(catalog, str(the_job(catalog).arn)), lambda _: None)
    whole, resumed = (
        {
            name: (tmp_path / folder / name).read_bytes()
            for file in FILES
            for name in (f"{file}.out", f"parquet/{file}.parquet")
        }
        for folder in ("whole", "out")
    )
    assert resumed == whole
    last = json.loads(whole["one.json.out"].splitlines()[-1])
    assert last["output"]["recommendedItems"] == ["b", "c"]
    assert last["output"]["itemColumns"] == {"PRICE": [2, 1]}


def test_what_was_answered_is_not_answered_again(
    catalog: Catalog, asked: dict[str, Any], tmp_path: Path, local: LocalExecutor
) -> None:
    killed("before the outputs", tmp_path, asked)
    manifests = len(list(tmp_path.glob("out/_staging/*/*/manifests/*")))
    (tmp_path / "in" / "sub" / "two.json").write_text("replaced\n")  # nothing reads it any more
    record = find_resumable_job(catalog, str(the_job(catalog).arn))
    report = run_job(local, catalog, record, lambda _: None)
    assert manifests > 0
    assert (report.lines, report.errors) == (LINES * len(FILES), {})
    note = report.notes[-1]
    assert note.startswith("The job was resumed: ")


def test_a_killed_driver_is_told_with_the_command_that_goes_on(
    catalog: Catalog,
    asked: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    killed("in the tasks", tmp_path, asked)
    monkeypatch.setattr(lease, "STALE_SECONDS", 0.0)
    arn = str(the_job(catalog).arn)
    job = describe_batch_inference_job(catalog, {"batchInferenceJobArn": arn})["batchInferenceJob"]
    assert job["status"] == "CREATE FAILED"
    _, _, command = job["failureReason"].partition("personalize-spark ")
    monkeypatch.setenv(
        "PERSONALIZE_SPARK_CATALOG", catalog.uri
    )  # the reason does not tell it: clients of the API read reasons
    assert main([*command.split(), "--engine", "local"]) == 0
    assert f"{LINES * len(FILES):,} lines of 2 files answered" in capsys.readouterr().err
    described = describe_batch_inference_job(catalog, {"batchInferenceJobArn": arn})["batchInferenceJob"]
    assert described["status"] == "ACTIVE"
    assert "failureReason" not in described


def test_another_model_or_release_is_refused_and_nothing_is_lost(
    catalog: Catalog, asked: dict[str, Any], tmp_path: Path
) -> None:
    killed("in the tasks", tmp_path, asked)
    arn = str(the_job(catalog).arn)
    [plan] = tmp_path.glob("out/_staging/*/*/plan.json")
    stored = plan.read_bytes()
    plan.write_bytes(stored.replace(ps.__version__.encode(), b"0.0.7"))
    with pytest.raises(InvalidInputException, match=r"was planned by personalize_spark 0\.0\.7"):
        find_resumable_job(catalog, arn)
    plan.write_bytes(stored[: len(stored) // 2])
    with pytest.raises(InvalidInputException, match=r"cannot be resumed: .*plan\.json cannot be read"):
        find_resumable_job(catalog, arn)
    plan.write_bytes(stored)
    [manifest] = tmp_path.glob("catalog/models/*/*/manifest.json")
    model = manifest.read_bytes()
    manifest.write_bytes(model + b"\n")
    with pytest.raises(InvalidInputException, match=r"cannot be resumed: .*has changed since the job was planned"):
        find_resumable_job(catalog, arn)
    manifest.write_bytes(model)
    assert ps.resume(catalog, arn, engine="local").lines == LINES * len(FILES)


def test_a_job_whose_driver_lives_is_left_to_it(catalog: Catalog, asked: dict[str, Any]) -> None:
    record = create_batch_inference_job(catalog, asked)
    with (
        lease.Lease(catalog, record),
        pytest.raises(ResourceInUseException, match=r"is CREATE IN_PROGRESS, and its driver lives"),
    ):
        find_resumable_job(catalog, str(record.arn))


def test_a_driver_that_slept_leaves_the_job_to_the_one_that_resumed_it(
    catalog: Catalog, asked: dict[str, Any], tmp_path: Path
) -> None:
    """A stopped process is silent, and wakes up when its job is another one's."""
    command = ["run", "--engine", "local", "--catalog", catalog.uri, "--request", json.dumps(asked)]
    first = subprocess.Popen([sys.executable, "-m", "personalize_spark", *command], stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("out/_staging/*/*/splits.json")):
        assert first.poll() is None
    with ExitStack() as locks:  # it is not to stop while it has one, which nobody else would get then
        for path in tmp_path.rglob(".lock*"):
            fcntl.flock(locks.enter_context(path.open("w")), fcntl.LOCK_EX)
        os.kill(first.pid, signal.SIGSTOP)
        os.waitpid(first.pid, os.WUNTRACED)
    assert ps.resume(catalog, str(the_job(catalog).arn), engine="local").lines == LINES * len(FILES)
    os.kill(first.pid, signal.SIGCONT)
    _, said = first.communicate()
    assert first.returncode == 1
    assert "This driver no longer holds arn:" in said
    assert the_job(catalog).status is Status.ACTIVE
    assert {*outputs(tmp_path / "out")} == {f"{name}.out" for name in FILES}
