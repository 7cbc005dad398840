"""The driver's look at its tasks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from personalize_spark.errors import StorageError, TaskFailed
from personalize_spark.job import attempts
from personalize_spark.job.attempts import Deadline, Ledger, run_attempts
from personalize_spark.job.byte_ranges import ByteRange
from personalize_spark.job.executor import Work
from personalize_spark.job.splits import Split
from personalize_spark.job.task import Piece
from personalize_spark.storage.documents import write_document
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Object, Store


def test_an_error_does_not_end_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_WATCH_SECONDS", 0.01)
    ledger, looks = Ledger(open_store(f"file://{tmp_path}"), []), 0

    def watch() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise StorageError("for once")

    with attempts._watched(ledger, watch):
        write_document(ledger.staging, "manifests/one.json", [Piece("000000/000000", "pieces/p")])
        deadline = time.monotonic() + 20
        while looks < 3 or not ledger.pieces:
            assert time.monotonic() < deadline
            time.sleep(0.01)


class Hanging:
    """An executor whose tasks hang as often as it is told, until they are stopped, and then finish their splits one by one."""

    cores, retries, here = 1, 0, False

    def __init__(self, ledger: Ledger, times: int) -> None:
        self._ledger, self._left, self._stopped = ledger, times, threading.Event()

    def run(self, staging: Store, tasks: int, work: Work) -> list[str]:
        """As `Executor.run`."""
        del tasks, work
        if self._left:
            self._left -= 1
            self._stopped.clear()
            assert self._stopped.wait(60), "it was not stopped"
            raise TaskFailed("stopped")
        key = self._ledger.missing()[0].key
        write_document(staging, f"manifests/{key}.json", [Piece(key, "pieces/p")])
        return []

    def stop(self) -> None:
        """As `Executor.stop`."""
        self._stopped.set()

    def gather(self, staging: Store, splits: Sequence[Split]) -> list[Split]:
        """As `Executor.gather`."""
        del staging
        return list(splits)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(attempts, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(attempts, "limit_of", lambda _: 0.05)
    monkeypatch.setattr(attempts, "_LATE_SECONDS", 0.0)
    part = ByteRange(Object("in", 1, "1"), 0, 1)
    return Ledger(open_store(f"file://{tmp_path}"), [Split(0, number, part, 1.0) for number in range(2)])


def test_tasks_that_hang_are_stopped_and_run_again(ledger: Ledger) -> None:
    run_attempts(Hanging(ledger, 3), ledger, lambda: None)
    assert len(ledger.pieces) == 2
    assert ledger.retried == {split.key for split in ledger.splits}


def test_what_hangs_again_and_again_is_given_up(ledger: Ledger) -> None:
    run_attempts(Hanging(ledger, 4), ledger, lambda: None)
    assert not ledger.pieces
    [said] = ledger.failures
    assert said.startswith("No part of the input was finished for ")
    assert "the tasks were ended, 4 times of 4." in said


def test_who_has_lost_the_job_begins_no_attempt(ledger: Ledger) -> None:
    fence = iter([None])
    with pytest.raises(StopIteration):  # before the second attempt
        run_attempts(Hanging(ledger, 0), ledger, lambda: None, lambda: next(fence))
    assert len(ledger.pieces) == 1


class Quick(Hanging):
    """An executor whose tasks end well at once."""

    def run(self, staging: Store, tasks: int, work: Work) -> list[str]:
        """As `Executor.run`."""
        del tasks, work
        write_document(staging, "manifests/one.json", [Piece(split.key, "pieces/p") for split in self._ledger.splits])
        return []


def test_a_list_that_is_late_is_asked_again_and_nothing_is_answered_twice(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, calls = ledger.staging.list, list[str]()

    def late(prefix: str = "") -> Iterator[Object]:
        calls.append(prefix)
        return iter([]) if len(calls) < 4 else listed(prefix)

    monkeypatch.setattr(attempts, "_WATCH_SECONDS", 60.0)  # no thread asks beside the driver
    monkeypatch.setattr(attempts, "_LATE_SECONDS", 60.0)
    monkeypatch.setattr(attempts, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(ledger.staging, "list", late)
    run_attempts(Quick(ledger, 0), ledger, lambda: None)
    assert len(calls) == 4
    assert len(ledger.pieces) == 2
    assert not ledger.retried


def test_slow_splits_have_more_time(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stops = [0.0], list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    executor = Hanging(ledger, 0)
    monkeypatch.setattr(executor, "stop", lambda: stops.append(clock[0]))
    ledger.pieces["000000/000000"] = Piece("000000/000000", "pieces/p", seconds=10.0)
    for seconds in (0, 30):
        deadline = Deadline(executor, ledger, seconds)
        for clock[0] in (100.0, 200.0, 201.0):
            deadline.check()
        clock[0] = 0.0
    assert stops == [201.0]
    ledger.pieces["000000/000001"] = Piece("000000/000001", "pieces/q")
    deadline.check()
    clock[0] = 199.0
    deadline.check()
    assert stops == [201.0]
