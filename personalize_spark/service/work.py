"""What create operations begin: work that goes on when the operation has answered, on Spark or on this machine alone."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  # its pools end behind us, as they are registered before us
import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

from personalize_spark.catalog import lease
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.lease import Lease, way_on
from personalize_spark.catalog.status import Status
from personalize_spark.errors import (
    LimitExceededException,
    PersonalizeSparkError,
    ResourceInUseException,
    missing_spark_told,
    reason_of,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from personalize_spark.job.executor import Executor

MAX_RUNNING, MAX_UNFINISHED = 4, 100
_TO_END_SECONDS = 8.0
"""Work that is stopped gets so long to end: Spark takes some seconds."""

_at_the_end: Callable[[Callable[[], None]], object] = getattr(threading, "_register_atexit", atexit.register)
"""As `atexit.register`, which comes too late: behind the end of all pools, and behind what was registered later, such as by Spark."""

_open: weakref.WeakSet[Background] = weakref.WeakSet()
"""What may have work at the end of the process; one that nobody holds any more has none."""

_log = logging.getLogger(__name__)


class Compute:
    """What work runs on.

    Args:
        engine: of batch inference jobs. Importing and training need Spark with either.
        spark: the session, used as it is; if left out, one is opened when the first work needs it.
        data: what runs may import or train: a session that is opened has Delta.
    """

    def __init__(
        self, engine: Literal["spark", "local"] = "spark", spark: SparkSession | None = None, *, data: bool = True
    ) -> None:
        self._engine, self._spark, self._data, self._opening = engine, spark, data, threading.Lock()
        self._stops: set[tuple[Arn, Callable[[], object]]] = set()

    def session(self) -> SparkSession:
        """The session: the given one, or the one that was opened when it was first needed."""
        from personalize_spark.spark import open_session

        with self._opening:
            if self._spark is None:
                self._spark = open_session("personalize-spark", data=self._data)
            return self._spark

    @contextmanager
    def executor(self, record: Record) -> Iterator[Executor]:
        """The engine, for the batch inference job of a record."""
        if self._engine == "local":
            from personalize_spark.job.local_executor import LocalExecutor

            with LocalExecutor() as local, self._stopped_by(record, local.stop):
                yield local
        else:
            from personalize_spark.job.spark_executor import SparkExecutor

            yield SparkExecutor(self.session())

    def prepare(self, kind: str) -> None:
        """Open the session, if work of this kind needs one: that may take a minute."""
        from personalize_spark.job.job import KIND

        if self._engine == "spark" or kind != KIND:
            self.session()

    def stop(self, record: Record) -> bool:
        """Stop the tasks that run for a record; gives whether any may have run: not while a session is opened, for one."""
        stops = [stop for arn, stop in list(self._stops) if arn == record.arn]
        for stop in stops:
            stop()
        return bool(stops)

    @contextmanager
    def tasks_of(self, record: Record) -> Iterator[None]:
        """The tasks that this thread gives to Spark are those of a record."""
        if self._spark is None:
            yield
            return
        from personalize_spark.spark import marked_tasks

        with marked_tasks(self._spark) as cancel, self._stopped_by(record, cancel):
            yield

    @contextmanager
    def _stopped_by(self, record: Record, stop: Callable[[], object]) -> Iterator[None]:
        self._stops.add((record.arn, stop))
        try:
            yield
        finally:
            self._stops.remove((record.arn, stop))


Work = Callable[[Compute], object]
Begin = Callable[[Record, Work], None]
"""Takes the record of something that was created, and the work that is to finish it."""


class Background:
    """Does work in threads of this driver, some at a time; what waits for its turn shows that its driver lives.

    At the end of the process, work that is not done is told as CREATE FAILED.

    Args:
        catalog: holds the records.
        compute: what the work runs on.
    """

    def __init__(self, catalog: Catalog, compute: Compute) -> None:
        self._catalog, self._compute = catalog, compute
        self._turns = threading.Semaphore(MAX_RUNNING)
        self._threads: dict[threading.Thread, Record] = {}
        self._changing = threading.Lock()
        self._closed = False
        _open.add(self)

    def check_room(self) -> None:
        """Refuse more work than can wait.

        Raises:
            LimitExceededException: there is no room, or this driver is about to end.
        """
        if self._closed:
            raise LimitExceededException("This server is shutting down and takes no more work.")
        if len(self._threads) >= MAX_UNFINISHED:
            raise LimitExceededException(
                f"More than {MAX_UNFINISHED} resources with PENDING or IN_PROGRESS status in this driver."
            )

    def begin(self, record: Record, work: Work) -> None:
        """Begin the work of a record; see `Begin`."""
        waiting = Lease(self._catalog, record, Status.PENDING)
        waiting.update()
        thread = threading.Thread(target=self._do, args=(record, waiting, work), name=str(record.arn), daemon=True)
        with self._changing:
            self._threads[thread] = record
        thread.start()

    def close(self, seconds: float = 0.0) -> None:
        """Wait for what runs; mark what is not done by then as CREATE FAILED, and stop it."""
        self._closed = True
        _wait(list(self._threads), seconds)
        left, stopped = dict(self._threads), []
        for record in left.values():  # all of them, before one that stops gives its turn to the next
            with contextlib.suppress(Exception):  # nothing must keep the process from ending
                _end(self._catalog, record, f"The driver was stopped. {way_on(record)}")
        for thread, record in left.items():
            with contextlib.suppress(Exception):
                if self._compute.stop(record):
                    stopped.append(thread)
        _wait(stopped, _TO_END_SECONDS)

    def _do(self, record: Record, waiting: Lease, work: Work) -> None:
        try:
            with missing_spark_told(), ExitStack() as turn:
                with waiting:
                    turn.enter_context(self._turns)
                    self._compute.prepare(record.arn.kind)
                turn.enter_context(self._compute.tasks_of(record))
                turn.enter_context(self._stopping(record))
                work(self._compute)
        except BaseException as error:  # noqa: BLE001  # whatever it was, the record says it
            if not isinstance(error, PersonalizeSparkError):
                _log.exception("The work of %s failed", record.arn)
            _end(self._catalog, record, reason_of(error))
        finally:
            with self._changing:
                del self._threads[threading.current_thread()]

    @contextmanager
    def _stopping(self, record: Record) -> Iterator[None]:
        """Stop the tasks of a record when somebody has marked it as stopped."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(lease.BEAT_SECONDS):
                with contextlib.suppress(PersonalizeSparkError):  # the next look may get through
                    if self._catalog.read(record.arn).status is Status.STOPPED:
                        self._compute.stop(record)
                        done.set()

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            done.set()
            watching.join()


class Foreground:
    """Does the work when it is asked to, in this thread: for a command, which first prints what was created."""

    def __init__(self, catalog: Catalog, compute: Compute) -> None:
        self._catalog, self._compute = catalog, compute
        self._begun: list[tuple[Record, Work]] = []

    def begin(self, record: Record, work: Work) -> None:
        """Keep the work for later; see `Begin`."""
        self._begun.append((record, work))

    def finish(self) -> None:
        """Do it."""
        for record, work in self._begun:
            try:
                with missing_spark_told():
                    work(self._compute)
            except BaseException as error:
                _end(self._catalog, record, reason_of(error))
                raise


def _end(catalog: Catalog, record: Record, reason: str) -> None:
    """Tell the record of what ended it, unless it was told."""
    now = catalog.read(record.arn)
    while now.status.unfinished:
        try:
            catalog.update(now, status=Status.FAILED, failureReason=reason)
        except ResourceInUseException:  # its heartbeat came between
            now = catalog.read(record.arn)


def _wait(threads: Iterable[threading.Thread], seconds: float) -> None:
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _close_all() -> None:
    for background in list(_open):
        background.close()


_at_the_end(_close_all)
