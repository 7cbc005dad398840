"""The driver's side of the tasks: attempts, until every split has a piece or an attempt gains none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from pyspark.sql import SparkSession

from personalize_spark.job.plan import Plan, Split, tasks_of, write_tasks
from personalize_spark.job.stage import root_cause, run_stage
from personalize_spark.job.task import TASK_MANIFESTS, Piece, answer_task
from personalize_spark.storage.documents import read_document
from personalize_spark.storage.store import Store

_READERS = 16
_WATCH_SECONDS = 2.0
_PAUSES = 10
"""Times as long as a look takes is the pause behind it, if that is more: a list of many task manifests takes seconds."""

_log = logging.getLogger(__name__)


@dataclass
class Ledger:
    """What the task manifests say so far; the first piece of a split counts, and all of them hold the same bytes."""

    staging: Store
    pieces: dict[str, Piece] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def refresh(self) -> None:
        """Read the task manifests that came since."""
        new = [found.name for found in self.staging.list(TASK_MANIFESTS) if found.name not in self._seen]
        with ThreadPoolExecutor(_READERS) as pool:
            for finished in pool.map(self._read, new):
                for piece in finished:
                    self.pieces.setdefault(piece.key, piece)
        self._seen.update(new)

    def _read(self, name: str) -> list[Piece]:
        return read_document(self.staging, name, list[Piece])

    def missing(self, splits: Sequence[Split]) -> list[Split]:
        """The splits without a piece, in order."""
        return [split for split in splits if split.key not in self.pieces]


def run_attempts(
    spark: SparkSession,
    plan: Plan,
    splits: Sequence[Split],
    line: float,
    cores: int,
    ledger: Ledger,
    watch: Callable[[], None],
) -> None:
    """Answer all splits that can be answered.

    Args:
        spark: the session.
        plan: the job's plan.
        splits: all splits of the job.
        line: the mean bytes of a line.
        cores: how many tasks run at once.
        ledger: gets the pieces as they come; where a split has none in the end, the failures say why.
        watch: called every two seconds, from another thread.
    """
    attempt = 0
    while missing := ledger.missing(splits):
        before = len(ledger.pieces)
        tasks = tasks_of(missing, line, cores)
        write_tasks(ledger.staging, attempt, tasks)
        with _watched(ledger, watch):
            ledger.failures = _run(spark, plan, attempt, len(tasks))
        ledger.refresh()
        if len(ledger.pieces) == before:
            break
        attempt += 1


def _run(spark: SparkSession, plan: Plan, attempt: int, tasks: int) -> list[str]:
    try:
        return run_stage(spark, plan, tasks, partial(answer_task, attempt))
    except Exception as error:  # noqa: BLE001  # py4j's errors have no common base; what the tasks finished still counts
        return [root_cause(error)]


class _watched:  # noqa: N801  # a context manager, used like a function
    """Refresh the ledger in the background while Spark works."""

    def __init__(self, ledger: Ledger, watch: Callable[[], None]) -> None:
        self._ledger, self._watch = ledger, watch
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _loop(self) -> None:
        pause = _WATCH_SECONDS
        while not self._done.wait(pause):
            started = time.monotonic()
            try:
                self._ledger.refresh()
                self._watch()
            except Exception as error:  # noqa: BLE001  # whatever it is: the tasks go on, and so does the watch
                _log.warning("The progress of the job could not be read: %s", error)
            pause = max(_WATCH_SECONDS, _PAUSES * (time.monotonic() - started))
