"""Tasks in processes of this machine: what they report, what they die of, and that none is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from personalize_spark.errors import TaskFailed
from personalize_spark.job import local_executor
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Store
from tests.job import works


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    with LocalExecutor(2) as executor:
        yield executor


@pytest.fixture
def staging(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/")


def test_every_task_runs_once_with_its_arguments(local: LocalExecutor, staging: Store) -> None:
    reports = local.run(staging, 50, partial(works.count, "task"))
    assert sorted(reports) == sorted(f"task {number}" for number in range(50))
    assert local.run(staging, 0, works.process) == []


@pytest.mark.slow
def test_workers_are_processes_that_are_kept(executor: LocalExecutor, staging: Store) -> None:
    first = set(executor.run(staging, 2, works.process))
    assert len(first) == 2
    assert str(os.getpid()) not in first
    assert set(executor.run(staging, 10, works.process)) <= first


def test_a_worker_has_one_thread_of_blas(local: LocalExecutor, staging: Store) -> None:
    assert local.run(staging, 1, works.threads) == ["1"]


def test_a_worker_imports_no_pandas(local: LocalExecutor, staging: Store) -> None:
    modules = local.run(staging, 1, works.modules)
    assert "pyarrow" in modules
    assert "pandas" not in modules


def test_what_a_task_raises_comes_home_as_text(local: LocalExecutor, staging: Store) -> None:
    with pytest.raises(TaskFailed, match=r"^ZeroDivisionError: (integer )?division( or modulo)? by zero$"):
        local.run(staging, 4, works.fail)
    with pytest.raises(TaskFailed, match=r"^The rest is damaged\.$"):
        local.run(staging, 1, works.refuse)
    with pytest.raises(TaskFailed, match=r"^/dev/full: No space left on device\.$"):
        local.run(staging, 1, works.fill)
    assert local.run(staging, 1, partial(works.count, "later")) == ["later 0"]


def test_the_task_of_a_killed_worker_is_run_again(local: LocalExecutor, staging: Store) -> None:
    assert sorted(local.run(staging, 5, works.die_once)) == [f"survived {number}" for number in range(5)]


def test_a_task_that_kills_its_worker_four_times_fails_and_the_others_are_run(
    local: LocalExecutor, staging: Store
) -> None:
    with pytest.raises(TaskFailed, match=r"A worker process was killed by signal 9 \(SIGKILL\), 4 times in the same"):
        local.run(staging, 3, works.die)
    tried = [found.name.split("/")[1] for found in staging.list("tried/")]
    assert sorted(tried) == ["0", "1", "1", "1", "1", "2"]


def test_a_worker_that_leaves_is_told_from_one_that_is_killed(local: LocalExecutor, staging: Store) -> None:
    with pytest.raises(TaskFailed, match="A worker process exited with status 3, 4 times"):
        local.run(staging, 1, works.leave)


@pytest.mark.slow
def test_a_worker_that_died_while_it_was_idle_is_replaced(executor: LocalExecutor, staging: Store) -> None:
    for worker in executor.run(staging, 2, works.process):
        os.kill(int(worker), signal.SIGKILL)
    assert len(executor.run(staging, 4, partial(works.count, "task"))) == 4


@pytest.mark.slow
def test_a_foreman_that_was_killed_is_said_and_the_next_stage_has_a_new_one(
    executor: LocalExecutor, staging: Store
) -> None:
    executor.run(staging, 2, works.process)
    os.kill(executor._foreman.pid, signal.SIGKILL)
    with pytest.raises(TaskFailed, match=r"The process that starts the workers was killed by signal 9 \(SIGKILL\)"):
        executor.run(staging, 2, works.process)
    assert len(executor.run(staging, 2, works.process)) == 2


@pytest.mark.slow
def test_a_process_that_cannot_be_killed_is_not_waited_for(
    executor: LocalExecutor, staging: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_executor, "_DYING_SECONDS", 0.5)

    def stop() -> None:
        while not list(staging.list("escaped")):
            time.sleep(0.01)
        executor.stop()

    threading.Thread(target=stop, daemon=True).start()
    try:
        with pytest.raises(TaskFailed, match="SIGKILL"):
            executor.run(staging, 1, works.escape)
        assert executor.run(staging, 1, partial(works.count, "later")) == ["later 0"]
    finally:
        os.kill(int(staging.read("escaped")), signal.SIGKILL)  # it was there all the time


@pytest.mark.slow
def test_behind_an_interrupt_nothing_is_written_any_more(executor: LocalExecutor, staging: Store) -> None:
    def interrupt() -> None:
        while len(list(staging.list())) < 5:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        executor.run(staging, 2, works.write_forever)
    written = len(list(staging.list()))
    time.sleep(0.2)
    assert len(list(staging.list())) == written


DRIVER = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from personalize_spark.job import local_executor
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.storage.location import open_store
from tests.job import works
with LocalExecutor(2) as executor:
    executor.run(open_store(sys.argv[1]), 2, works.write_forever)
"""


@pytest.mark.slow
def test_when_the_driver_is_killed_its_processes_end(staging: Store) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, staging.root, json.dumps(sys.path)])
    while len(list(staging.list())) < 5:
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    deadline, before = time.monotonic() + 20, -1
    while (now := len(list(staging.list()))) != before:
        assert time.monotonic() < deadline
        before = now
        time.sleep(0.3)
