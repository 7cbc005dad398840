"""The driver's side of the tasks: attempts, until every split has a piece or an attempt gains none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from personalize_spark.errors import TaskFailed
from personalize_spark.job.executor import Executor
from personalize_spark.job.splits import Split, tasks_of, write_tasks
from personalize_spark.job.task import TASK_MANIFESTS, Piece, answer_task
from personalize_spark.storage.documents import read_document
from personalize_spark.storage.store import Store

_READERS = 16
_WATCH_SECONDS = 2.0
_PAUSES = 10
"""Times as long as a look takes is the pause behind it, if that is more: a list of many task manifests takes seconds."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        splits: that are answered.
        of_splits: all of them.
        lines: that are answered, error lines among them.
        errors: error lines.
        share: of all lines, judged by the length of some.
    """

    splits: int
    of_splits: int
    lines: int
    errors: int
    share: float


@dataclass
class Ledger:
    """What the task manifests say so far; the first piece of a split counts, and all of them hold the same bytes.

    Attributes:
        staging: the run's staging folder.
        splits: all of the run.
        pieces: by the key of their split.
        failures: why splits without a piece have none.
        retried: the keys of splits that were answered, or tried, more than once.
    """

    staging: Store
    splits: Sequence[Split]
    pieces: dict[str, Piece] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    retried: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)

    def refresh(self) -> None:
        """Read the task manifests that came since."""
        new = [found.name for found in self.staging.list(TASK_MANIFESTS) if found.name not in self._seen]
        with ThreadPoolExecutor(_READERS) as pool:
            for finished in pool.map(self._read, new):
                for piece in finished:
                    if self.pieces.setdefault(piece.key, piece) is not piece:
                        self.retried.add(piece.key)
        self._seen.update(new)

    def _read(self, name: str) -> list[Piece]:
        return read_document(self.staging, name, list[Piece])

    def missing(self) -> list[Split]:
        """The splits without a piece, in order."""
        return [split for split in self.splits if split.key not in self.pieces]

    def progress(self) -> Progress:
        """How far the job is."""
        pieces = dict(self.pieces)
        outcomes = [piece.outcomes for piece in pieces.values()]
        expected = sum(split.lines for split in self.splits)
        done = sum(split.lines for split in self.splits if split.key in pieces)
        lines, errors = sum(each.answered for each in outcomes), sum(each.error_lines for each in outcomes)
        return Progress(len(pieces), len(self.splits), lines, errors, done / expected if expected else 1.0)


def run_attempts(executor: Executor, ledger: Ledger, watch: Callable[[], None]) -> None:
    """Answer all splits that can be answered.

    Args:
        executor: runs the tasks.
        ledger: gets the pieces as they come; where a split has none in the end, the failures say why.
        watch: called every two seconds, from another thread.
    """
    attempt = 0
    while missing := ledger.missing():
        before = len(ledger.pieces)
        if attempt:
            ledger.retried.update(split.key for split in missing)
        tasks = tasks_of(missing, executor.cores)
        write_tasks(ledger.staging, attempt, tasks)
        with _watched(ledger, watch):
            ledger.failures = _run(executor, ledger.staging, attempt, len(tasks))
        ledger.refresh()
        if len(ledger.pieces) == before:
            break
        attempt += 1


def _run(executor: Executor, staging: Store, attempt: int, tasks: int) -> list[str]:
    try:
        return executor.run(staging, tasks, partial(answer_task, attempt))
    except TaskFailed as error:  # what the tasks finished still counts
        return [error.message]


@contextmanager
def _watched(ledger: Ledger, watch: Callable[[], None]) -> Iterator[None]:
    """Refresh the ledger in the background while tasks run."""
    done = threading.Event()
    thread = threading.Thread(target=_look, args=(ledger, watch, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _look(ledger: Ledger, watch: Callable[[], None], done: threading.Event) -> None:
    pause = _WATCH_SECONDS
    while not done.wait(pause):
        started = time.monotonic()
        try:
            ledger.refresh()
            watch()
        except Exception as error:  # noqa: BLE001  # whatever it is: the tasks go on, and so does the watch
            _log.warning("The progress of the job could not be read: %s", error)
        pause = max(_WATCH_SECONDS, _PAUSES * (time.monotonic() - started))
