"""Both engines give the golden bytes for every recipe: the local one on a machine without Spark."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.extensions import with_extensions
from personalize_spark.job import attempts
from personalize_spark.job.executor import Executor, Work
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.run import run_job
from personalize_spark.recipes import RECIPES
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.storage.store import Store
from personalize_spark.testing.toy import (
    NO_EXPLORATION,
    World,
    golden_group,
    golden_version,
    request,
    world_version,
)

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


@pytest.mark.slow
def test_every_recipe_gives_its_golden_file(executor: Executor, tmp_path: Path) -> None:
    world = World(**json.loads((GOLDEN / "world.json").read_text()))
    catalog = Catalog(f"file://{tmp_path}/catalog")
    for name in RECIPES:
        version = world_version(catalog, world, name)
        job = request(version, f"file://{GOLDEN}/input.json", f"file://{tmp_path}/{name}/", numResults=5)
        run_job(executor, catalog, create_batch_inference_job(catalog, job), lambda _: None)
        assert (tmp_path / name / "input.json.out").read_bytes() == (GOLDEN / f"{name}.out").read_bytes(), name


@pytest.mark.slow
def test_what_is_beyond_the_service_is_the_same_too(executor: Executor, local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    version = golden_version(catalog)
    catalog.update(catalog.read(version), datasetGroupArn=str(golden_group(catalog).arn))
    (tmp_path / "in.json").write_text('{"userId":"u1","denyList":["a"]}\nbroken\n')
    asked = {"maxPer": {"PRICE": 1}, "withColumns": ["PRICE"], "lineKeys": ["denyList"]}
    for engine, name in ((executor, "one"), (local, "other")):
        more = {**asked, "alsoParquet": f"file://{tmp_path}/{name}/"}
        params = request(version, f"file://{tmp_path}/in.json", f"file://{tmp_path}/{name}/", numResults=3)
        params = with_extensions({**params, "batchInferenceJobConfig": NO_EXPLORATION}, more)
        run_job(engine, catalog, create_batch_inference_job(catalog, params), lambda _: None)
    for name in ("in.json.out", "in.json.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    [answered, _] = (tmp_path / "one" / "in.json.out").read_text().splitlines()
    assert json.loads(answered)["output"]["itemColumns"] == {"PRICE": [2, 1]}


@pytest.mark.slow
def test_a_job_survives_the_death_of_its_workers(tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "users.json").write_text('{"userId":"u1"}\n' * 300_000)
    job = request(golden_version(catalog), f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/", numResults=3)
    killed: list[int] = []

    def kill() -> None:
        while not list(tmp_path.glob("out/_staging/*/*/pieces/*/*")):
            time.sleep(0.01)
        for worker in workers(engine):
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)

    with LocalExecutor(2) as engine:
        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        report = run_job(engine, catalog, create_batch_inference_job(catalog, job), lambda _: None)
        thread.join()
    assert len(killed) == 2
    assert (report.lines, report.errors) == (300_000, {})
    answers = (tmp_path / "out" / "users.json.out").read_bytes().splitlines()
    assert len(answers) == 300_000
    assert len(set(answers)) == 1


@pytest.mark.slow
def test_a_job_survives_workers_that_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONALIZE_SPARK_DEADLINE", "6")
    monkeypatch.setattr(attempts, "_SLOWER", 0)
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "users.json").write_text('{"userId":"u1"}\n' * 100_000)
    job = request(golden_version(catalog), f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/", numResults=3)

    def stop() -> None:
        while not list(tmp_path.glob("out/_staging/*/*/tasks/0/*")):
            time.sleep(0.01)
        for worker in workers(engine):  # all: one alone may be through with its tasks by now
            os.kill(worker, signal.SIGSTOP)

    with LocalExecutor(2) as engine:
        threading.Thread(target=stop, daemon=True).start()
        report = run_job(engine, catalog, create_batch_inference_job(catalog, job), lambda _: None)
    assert report.lines == 100_000
    assert report.retried >= 1
    answers = (tmp_path / "out" / "users.json.out").read_bytes().splitlines()
    assert len(answers) == 100_000
    assert len(set(answers)) == 1


def workers(engine: LocalExecutor) -> list[int]:
    foreman = engine._foreman.pid
    return [int(pid) for pid in Path(f"/proc/{foreman}/task/{foreman}/children").read_text().split()]


@pytest.fixture
def without_spark(tmp_path: Path) -> dict[str, str]:
    """The environment of processes that have no Spark."""
    folder = tmp_path / "without"
    folder.mkdir()
    for name in ("pyspark", "pandas", "delta", "scipy"):
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}')")
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "JAVA_HOME": str(tmp_path), "PATH": "/nowhere"}


@pytest.mark.slow
def test_the_local_engine_needs_neither_spark_nor_java(without_spark: dict[str, str], tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "users.json").write_text('{"userId":"u1"}\n')
    job = request(golden_version(catalog), f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/", numResults=3)
    command = [sys.executable, "-m", "personalize_spark", "run", "--engine", "local", "--request", json.dumps(job)]
    done = subprocess.run(
        [*command, "--catalog", catalog.uri], env=without_spark, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1 line of 1 file answered" in done.stderr
    assert '"recommendedItems":["a","b","c"]' in (tmp_path / "out" / "users.json.out").read_text()


class Twice:
    """An executor whose tasks all run to their ends twice, as both attempts at a speculated one may."""

    def __init__(self, executor: LocalExecutor) -> None:
        self._executor = executor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def run(self, staging: Store, tasks: int, work: Work) -> list[str]:
        """As `Executor.run`."""
        return [*self._executor.run(staging, tasks, work), *self._executor.run(staging, tasks, work)]


@pytest.mark.slow
def test_of_two_attempts_that_both_finish_one_counts(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "users.json").write_text('{"userId":"u1"}\nbroken\n' * 5_000)
    written = []
    for engine in (local, cast("Executor", Twice(local))):
        job = request(golden_version(catalog), f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/", numResults=3)
        report = run_job(engine, catalog, create_batch_inference_job(catalog, job), lambda _: None)
        written.append((tmp_path / "out" / "users.json.out").read_bytes())
        assert (report.lines, report.errors) == (10_000, {"MalformedJson": 5_000})
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_CHECK", "users.json.out"]
    assert written[0] == written[1]
    assert report.retried == report.splits


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_no_processes_and_goes_on_later(number: int, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "users.json").write_text("".join(f'{{"userId":"u{n}"}}\n' for n in range(300_000)))
    job = request(golden_version(catalog), f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/")
    command = [sys.executable, "-m", "personalize_spark", "run", "--engine", "local", "--request", json.dumps(job)]
    mark = {**os.environ, "STOPPED_RUN": str(tmp_path)}
    driver = subprocess.Popen([*command, "--catalog", catalog.uri], env=mark, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("out/_staging/*/*/pieces/*/*")):
        assert driver.poll() is None
        time.sleep(0.01)
    assert len(processes(mark["STOPPED_RUN"])) >= 3
    driver.send_signal(number)
    _, said = driver.communicate()
    assert driver.returncode == 130, said
    assert "Interrupted." in said
    assert "The job keeps its name. Continue it with: personalize-spark resume arn:" in said
    assert "Traceback" not in said
    assert processes(mark["STOPPED_RUN"]) == []
    [record] = catalog.list("batch-inference-job")
    assert record.fields["status"] == "CREATE FAILED"
    reason, _, command = record.fields["failureReason"].partition(" Continue it with: personalize-spark ")
    assert reason == "The driver was stopped."
    assert not list(tmp_path.glob("out/*.out"))
    assert main([*command.split(), "--engine", "local", "--catalog", catalog.uri]) == 0
    assert {path.name for path in (tmp_path / "out").rglob("*")} == {"_CHECK", "users.json.out"}
    with (tmp_path / "out" / "users.json.out").open("rb") as answers:
        assert sum(1 for _ in answers) == 300_000


def processes(mark: str) -> list[str]:
    """The processes whose environment has a mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if f"STOPPED_RUN={mark}".encode() in path.read_bytes():
                found.append(path.parent.name)
    return found
