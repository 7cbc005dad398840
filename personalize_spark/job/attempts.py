"""The driver's side of the tasks: attempts, until every split has a piece or an attempt gains none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial

from personalize_spark.errors import TaskFailed, counted
from personalize_spark.job.executor import Executor
from personalize_spark.job.preflight import in_plain_words
from personalize_spark.job.splits import Split, tasks_of, write_tasks
from personalize_spark.job.task import TASK_MANIFESTS, Piece, answer_task
from personalize_spark.settings import SETTINGS, limit_of
from personalize_spark.storage.documents import read_document
from personalize_spark.storage.store import Store

_READERS = 16
_WATCH_SECONDS = 2.0
_PAUSES = 10
"""Times as long as a look takes is the pause behind it, if that is more: a list of many task manifests takes seconds."""

_SLOWER = 20
"""Times as long as the slowest split so far the next one may take."""
_LATE_SECONDS, _FIRST_PAUSE = 60.0, 0.1
"""So long a storage's list may take to show what was written; the pause between two looks at it doubles."""
_MAX_HUNG = 4
"""As often as Spark tries a task."""

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
        storage_retries: requests to a storage that were made again.
    """

    staging: Store
    splits: Sequence[Split]
    pieces: dict[str, Piece] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    retried: set[str] = field(default_factory=set)
    storage_retries: int = 0
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
        lines, errors = sum(each.lines for each in outcomes), sum(each.error_lines for each in outcomes)
        return Progress(len(pieces), len(self.splits), lines, errors, done / expected if expected else 1.0)


def run_attempts(
    executor: Executor, ledger: Ledger, watch: Callable[[], None], fence: Callable[[], None] = lambda: None
) -> None:
    """Answer all splits that can be answered.

    Args:
        executor: runs the tasks.
        ledger: gets the pieces as they come; where a split has none in the end, the failures say why.
        watch: called every two seconds, from another thread.
        fence: called before each attempt; what it raises ends them: who has lost the job begins nothing.
    """
    attempt, hung, seconds = 0, 0, limit_of("deadline")
    while missing := ledger.missing():
        fence()
        before = len(ledger.pieces)
        if attempt:
            ledger.retried.update(split.key for split in missing)
        tasks = tasks_of(missing, executor.cores)
        write_tasks(ledger.staging, attempt, tasks)
        deadline = Deadline(executor, ledger, seconds)
        with _watched(ledger, deadline.check, watch):
            ledger.failures = _run(executor, ledger.staging, attempt, len(tasks))
        ledger.refresh()
        if not ledger.failures:
            _wait_for_lists(ledger)
        if deadline.passed:
            hung += 1
            ledger.failures = [deadline.said(hung)]
            _log.warning("%s", ledger.failures[0])
        if len(ledger.pieces) == before and not (deadline.passed and hung < _MAX_HUNG):
            break
        attempt += 1


def _wait_for_lists(ledger: Ledger) -> None:
    """Look again until every split has a piece: all tasks ended well, so each has one, but the lists of some storages are late."""
    pause, end = _FIRST_PAUSE, time.monotonic() + _LATE_SECONDS
    while ledger.missing() and time.monotonic() < end:
        time.sleep(pause)
        pause *= 2
        ledger.refresh()


class Deadline:
    """Ends the tasks when none of them has finished a split for far too long: a worker is stopped, or waits for what never comes.

    What the tasks finished counts, so that the next attempt has little to do but what hung.

    Args:
        executor: runs the tasks.
        ledger: shows what they finish.
        seconds: that may pass without a finished split; 0: any time.
    """

    def __init__(self, executor: Executor, ledger: Ledger, seconds: float) -> None:
        self._executor, self._ledger, self._seconds = executor, ledger, seconds
        self._count, self._since = len(ledger.pieces), time.monotonic()
        self.passed = False

    def check(self) -> None:
        """Look whether it has passed; to be called again and again, behind a refresh of the ledger."""
        pieces = self._ledger.pieces
        if len(pieces) != self._count:
            self._count, self._since = len(pieces), time.monotonic()
        slowest = max((piece.seconds for piece in pieces.values()), default=0.0)
        if self._seconds and time.monotonic() - self._since > max(self._seconds, _SLOWER * slowest):
            self.passed = True
            self._executor.stop()

    def said(self, times: int) -> str:
        """What to tell of it."""
        return (
            f"No part of the input was finished for {time.monotonic() - self._since:,.0f} seconds: the tasks were ended, "
            f"{counted(times, 'time')} of {_MAX_HUNG}. Look for stopped processes, and for disks that do not answer, where tasks run. "
            f"If parts do take so long, raise {SETTINGS['deadline'].variable} (seconds; 0: wait for ever)."
        )


def _run(executor: Executor, staging: Store, attempt: int, tasks: int) -> list[str]:
    try:
        return executor.run(staging, tasks, partial(answer_task, attempt))
    except TaskFailed as error:  # what the tasks finished still counts
        return [in_plain_words(error.message)]


@contextmanager
def _watched(ledger: Ledger, *looks: Callable[[], None]) -> Iterator[None]:
    """Refresh the ledger in the background while tasks run, and then call each of `looks`."""
    done = threading.Event()
    thread = threading.Thread(target=copy_context().run, args=(_look, ledger, looks, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _look(ledger: Ledger, looks: Sequence[Callable[[], None]], done: threading.Event) -> None:
    pause = _WATCH_SECONDS
    while not done.wait(pause):
        started = time.monotonic()
        try:
            ledger.refresh()
            for look in looks:
                look()
        except Exception as error:  # noqa: BLE001  # whatever it is: the tasks go on, and so does the watch
            _log.warning("The progress of the job could not be read: %s", error)
        pause = max(_WATCH_SECONDS, _PAUSES * (time.monotonic() - started))
