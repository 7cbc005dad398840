"""The fence around a job, an import or a training: one driver owns its record, and shows that it lives."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from typing import Any, Self

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.status import Status
from personalize_spark.errors import (
    JobFailed,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
    StorageError,
)

BEAT_SECONDS = 15.0
STALE_SECONDS = 120.0
"""A heartbeat that differs more from the own clock looks old."""
_WATCHED_BEATS = 3
RESUMABLE = "resumable"
"""The field of a record whose creation another driver may go on with."""

_log = logging.getLogger(__name__)


class Lease:
    """Holds the record of a running job: all changes go through here, each a compare-and-set.

    Used as a context manager it beats every `BEAT_SECONDS`. Whoever finds the record changed by somebody else has lost it.
    Behind the context manager nothing changes the record any more, so that another lease may follow.

    Args:
        catalog: holds the record.
        record: of what runs, or waits for its turn.
        status: of the record from now on.
    """

    def __init__(self, catalog: Catalog, record: Record, status: Status = Status.IN_PROGRESS) -> None:
        self._catalog, self._record, self._status = catalog, record, status
        self._beats = threading.Thread(target=copy_context().run, args=(self._beat,), daemon=True)
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._lost: str | None = None

    def __enter__(self) -> Self:
        self.update(status=self._status, failureReason=None)
        self._beats.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._beats.join()

    @property
    def fields(self) -> Fields:
        """What the record says."""
        return self._record.fields

    def update(self, **changes: Any) -> None:
        """Change the record, and show that the owner lives.

        Raises:
            JobFailed: the record is somebody else's by now.
        """
        with self._lock:
            if self._lost is None:
                changes |= {"owner": self._owner, "heartbeat": time.time()}
                try:
                    self._write(changes)
                except ResourceInUseException as error:
                    self._lost = error.message
            if self._lost is not None:
                raise JobFailed(f"This driver no longer holds {self._record.arn}: {self._lost}")

    def change(self, arn: Arn, **fields: Any) -> None:
        """Change another record, as the owner.

        It is read before the fence and changed by a compare-and-set behind it: an owner who slept in between finds what the next one
        has changed there, and is told that by the fence.

        Raises:
            JobFailed: as `update`; nothing is changed.
        """
        while True:
            record = self._catalog.read(arn)
            self.update()
            with suppress(ResourceInUseException):
                self._catalog.update(record, **fields)
                return

    def _write(self, changes: Fields) -> None:
        """Change the record, also where a change of this lease was stored but its new version never read: Ctrl-C came between."""
        try:
            self._catalog.update(self._record, **changes)
        except ResourceInUseException:
            now = self._catalog.read(self._record.arn)
            if now.fields.get("owner") != self._owner or not now.status.unfinished:
                raise
            self._record.fields, self._record.version = now.fields, now.version
            self._catalog.update(self._record, **changes)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.update()
            except JobFailed:
                return
            except StorageError as error:  # the next beat may get through; silence for long enough ends the job anyway
                _log.warning("The heartbeat of %s failed: %s", self._record.arn, error)


def running(catalog: Catalog, kind: str, name: str | None = None) -> Iterator[Record]:
    """The resources of a kind, or the versions below one, whose creation has not ended."""
    yield from (record for record in reap(catalog, list(catalog.list(kind, name))) if record.status.unfinished)


def reap(catalog: Catalog, records: Sequence[Record], suspect: Callable[[Record], bool] | None = None) -> list[Record]:
    """Turn resources whose driver is gone into CREATE FAILED, so that nobody waits for them for ever.

    Clocks of two hosts differ, so a heartbeat that looks old only makes a record suspect. Its driver is gone if the record then
    does not change for `_WATCHED_BEATS` beats on the own monotonic clock.

    Args:
        catalog: holds the records.
        records: of any status.
        suspect: which of the unfinished ones to watch; those with an old heartbeat if left out.

    Returns:
        The records as they are now, in their order.
    """
    watched = {n: each for n, each in enumerate(records) if each.status.unfinished and (suspect or _looks_old)(each)}
    now = dict(enumerate(records))
    end = time.monotonic() + _WATCHED_BEATS * BEAT_SECONDS
    while watched and time.monotonic() < end:
        time.sleep(BEAT_SECONDS / 10)
        for number, record in list(watched.items()):
            now[number] = catalog.read(record.arn)
            if now[number].version != record.version:
                del watched[number]
    for number, record in watched.items():
        now[number] = _failed(catalog, record)
    return [now[number] for number in range(len(records))]


@contextmanager
def sole(catalog: Catalog, arn: Arn, what: str) -> Iterator[Lease]:
    """Do what one process may do at a time, wherever the others run.

    Args:
        catalog: holds the record of it, which stays for the next one.
        arn: of that record.
        what: is done, to begin a sentence with: `An import into the dataset group 'shop'`.

    Raises:
        ResourceInUseException: another process does it.
    """
    busy = ResourceInUseException(
        f"{what} is running in another process: try again when it has ended. One that was killed is noticed after two minutes."
    )
    try:
        record = catalog.create(arn, {"status": Status.PENDING})
    except ResourceAlreadyExistsException:
        [record] = reap(catalog, [catalog.read(arn)])
        if record.status.unfinished:
            raise busy from None
    with ExitStack() as held:
        try:
            lease = held.enter_context(Lease(catalog, record))
        except JobFailed as error:
            raise busy from error
        held.callback(_give_back, lease)
        yield lease


def forget_sole(catalog: Catalog, arn: Arn) -> None:
    """Remove the record that `sole` has left, if there is one."""
    with suppress(ResourceNotFoundException):
        catalog.delete(catalog.read(arn))


def _give_back(lease: Lease) -> None:
    with suppress(JobFailed, StorageError):  # it is another one's by now, or will be when this one has fallen silent
        lease.update(status=Status.ACTIVE)


def way_on(record: Record) -> str:
    """What to do about a resource that has lost its driver: a sentence for its `failureReason`."""
    if RESUMABLE in record.fields:
        return f"Continue it with: personalize-spark resume {record.arn}"
    return "Create it again under a new name."


def _looks_old(record: Record) -> bool:
    heard: float = record.fields.get("heartbeat") or record.fields["creationDateTime"]
    return abs(time.time() - heard) > STALE_SECONDS


def _failed(catalog: Catalog, record: Record) -> Record:
    reason = f"Its driver is gone: it no longer sends a heartbeat. {way_on(record)}"
    try:
        catalog.update(record, status=Status.FAILED, failureReason=reason)
    except ResourceInUseException:  # it lives, or somebody else has said so already
        return catalog.read(record.arn)
    return record
