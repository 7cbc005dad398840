"""The same job through spark-submit on a real standalone master with two workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyspark
import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.testing.toy import golden_version, request
from tests.servers import QUICK

LINES = 400_000
ROOT = Path(__file__).parents[2]
SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"

pytestmark = [pytest.mark.cluster, pytest.mark.spark]


def submit(master: str, catalog: Catalog, job: dict[str, object], folder: Path, **settings: str) -> tuple[int, str]:
    """spark-submit jobs/batch_inference.py; gives the exit code and the output (Spark joins a driver's two streams)."""
    (folder / "request.json").write_text(json.dumps(job))
    quick = {f"spark.{each}.extraJavaOptions": QUICK for each in ("driver", "executor")}
    own = {"spark.driver.host": "127.0.0.1", "spark.executorEnv.PYTHONPATH": str(ROOT), "spark.ui.enabled": "false"}
    settings = {**own, **quick, **settings}
    command = [str(SUBMIT), "--master", master, "--properties-file", str(ROOT / "conf" / "spark-defaults.conf")]
    command += [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    command += [str(ROOT / "jobs" / "batch_inference.py")]
    command += ["--request", str(folder / "request.json"), "--catalog", catalog.uri]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_cluster_and_a_local_session_write_the_same_bytes(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONALIZE_SPARK_LOG_FORMAT", "json")
    catalog = Catalog(f"file://{tmp_path}/catalog")
    version = golden_version(catalog)
    (tmp_path / "in").mkdir()
    for name in ("a.json", "b.json"):
        lines = [f'{{"userId":"u{n % 3}","n":{n}}}' if n % 7 else "broken" for n in range(20_000)]
        (tmp_path / "in" / name).write_text("\n".join(lines))
    for where, master in {"cluster": cluster, "local": "local[2]"}.items():
        job = request(version, f"file://{tmp_path}/in/", f"file://{tmp_path}/{where}/", numResults=3)
        code, output = submit(master, catalog, job, tmp_path)
        assert code == 0, output
        arn = str(version.sibling("batch-inference-job", str(job["jobName"])))
        assert f'"batchInferenceJobArn": "{arn}"' in output
        assert said_about(arn, output) > 1
        if where == "cluster":
            logs = list(tmp_path.parent.glob("cluster*/work/*/*/stderr"))
            deadline = time.monotonic() + 20  # a worker of Spark writes what it is told a moment later
            while not any(said_about(arn, log.read_text()) for log in logs):
                assert time.monotonic() < deadline, f"no worker logs about {arn}: {logs}"
                time.sleep(0.1)
        assert "40,000 lines of 2 files answered" in output
    for name in ("a.json.out", "b.json.out"):
        assert (tmp_path / "cluster" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def said_about(arn: str, log: str) -> int:
    """How many lines of a log are JSON about a job."""
    return sum(
        json.loads(line)["job"] == arn for line in log.splitlines() if line.startswith('{"time"') and line.endswith("}")
    )


def test_a_frame_is_answered_by_workers_that_cannot_read_the_catalog(cluster: str, tmp_path: Path) -> None:
    version = golden_version(Catalog(tmp_path / "catalog"))
    program = str(Path(__file__).with_name("connect_frames.py"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    command = [sys.executable, program, cluster, f"{tmp_path}/catalog", str(version)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read, sent = json.loads(done.stdout)
    assert read == sent == [[["a", "b"], None], [["a", "b"], None], [[], read[2][1]]]
    assert read[2][1] is not None


def answers_beside(disturb: Callable[[], None], master: str, folder: Path, **settings: str) -> str:
    """Run a long job while something is done to its processes; what it said. It has to answer all lines."""
    catalog = Catalog(f"file://{folder}/catalog")
    (folder / "users.json").write_text('{"userId":"u1"}\n' * LINES)
    job = request(golden_version(catalog), f"file://{folder}/users.json", f"file://{folder}/out/", numResults=3)
    thread = threading.Thread(target=disturb, daemon=True)
    thread.start()
    code, output = submit(master, catalog, job, folder, **settings)
    thread.join(60)
    assert code == 0, output
    assert "Invoking stop() from shutdown hook" not in output  # the session ends before Python does
    answers = (folder / "out" / "users.json.out").read_bytes().splitlines()
    assert len(answers) == LINES
    assert len(set(answers)) == 1
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["_CHECK", "users.json.out"]
    return output


@pytest.mark.slow
def test_a_job_survives_the_death_of_an_executor_a_daemon_and_a_python_worker(cluster: str, tmp_path: Path) -> None:
    gone: list[int] = []

    def kill() -> None:
        workers = list[list[int]]()
        while len(workers) < 2 or not all(workers) or not list(tmp_path.glob("out/_staging/*/*/pieces/*/*")):
            time.sleep(0.01)
            hosts = executors(cluster)
            parents = [child for pid in hosts for child in daemons(pid)]
            workers = [children(pid) for pid in parents]
        for pid in (workers[0][0], parents[0], hosts[1]):
            os.kill(pid, signal.SIGKILL)
        gone.extend([hosts[1], *parents, *workers[0], *workers[1]])

    answers_beside(kill, cluster, tmp_path)
    assert len(gone) >= 5
    assert not left_of(gone)


@pytest.mark.slow
def test_a_task_that_hangs_is_speculated_on_the_other_host(cluster: str, tmp_path: Path) -> None:
    stopped: list[int] = []

    def stop() -> None:
        while not stopped:
            time.sleep(0.01)
            if list(tmp_path.glob("out/_staging/*/*/pieces/*/*")):
                workers = [children(daemon) for pid in executors(cluster) for daemon in daemons(pid)]
                stopped.extend(next(filter(None, workers), []))
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)

    soon = {f"spark.speculation.{name}": value for name, value in {"quantile": "0.3", "interval": "100ms"}.items()}
    output = answers_beside(stop, cluster, tmp_path, **soon)
    assert "as the attempt 1 succeeded on 127.0.0." in output
    assert stopped
    assert not left_of(stopped)


def left_of(pids: list[int]) -> list[int]:
    """Those that live after 20 seconds; none as soon as none lives."""
    deadline = time.monotonic() + 20
    while (left := [pid for pid in pids if words(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def executors(master: str) -> list[int]:
    hosts = [pid for pid in processes() if "worker.Worker" in words(pid) and master in words(pid)]
    return [child for pid in hosts for child in children(pid) if "ExecutorBackend" in words(child)]


def daemons(executor: int) -> list[int]:
    return [child for child in children(executor) if "pyspark.daemon" in words(child)]


def processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def words(pid: int) -> str:
    """The command of a process; nothing of one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    return ""


def children(pid: int) -> list[int]:
    return [int(child) for each in Path(f"/proc/{pid}/task").glob("*/children") for child in each.read_text().split()]


def test_executors_without_the_package_are_said_in_plain_words(cluster: str, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "users.json").write_text('{"userId":"u1"}\n')
    job = request(golden_version(catalog), f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/")
    without = {  # every package of ours, but not this one
        "spark.pyspark.python": sys._base_executable,  # type: ignore[attr-defined]
        "spark.pyspark.driver.python": sys.executable,
        "spark.executorEnv.PYTHONPATH": str(Path(pyspark.__file__).parents[1]),
    }
    code, output = submit(cluster, catalog, job, tmp_path, **without)
    assert code == 1
    assert "The executors cannot import personalize_spark. Install it on every node, or ship it" in output
