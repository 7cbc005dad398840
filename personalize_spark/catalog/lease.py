"""The fence around a job: one driver owns its record, and shows that it lives. It serves records of any kind."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Self

from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.status import Status
from personalize_spark.errors import JobFailed, ResourceInUseException, StorageError

BEAT_SECONDS = 15.0
STALE_SECONDS = 120.0

_log = logging.getLogger(__name__)


class Lease:
    """Holds the record of a running job: all changes go through here, each a compare-and-set.

    Used as a context manager it beats every `BEAT_SECONDS`. Whoever finds the record changed by somebody else has lost it.
    """

    def __init__(self, catalog: Catalog, record: Record) -> None:
        self._catalog, self._record = catalog, record
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._lost: str | None = None

    def __enter__(self) -> Self:
        self.update(status=Status.IN_PROGRESS)
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def update(self, **changes: Any) -> None:
        """Change the record, and show that the owner lives.

        Raises:
            JobFailed: the record is somebody else's by now.
        """
        with self._lock:
            if self._lost is None:
                try:
                    self._catalog.update(self._record, owner=self._owner, heartbeat=time.time(), **changes)
                except ResourceInUseException as error:
                    self._lost = error.message
            if self._lost is not None:
                raise JobFailed(f"This driver no longer holds {self._record.arn}: {self._lost}")

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.update()
            except JobFailed:
                return
            except StorageError as error:  # the next beat may get through; silence for long enough ends the job anyway
                _log.warning("The heartbeat of %s failed: %s", self._record.arn, error)


def running(catalog: Catalog, kind: str) -> Iterator[Record]:
    """The resources of a kind whose creation has not ended."""
    for record in catalog.list(kind):
        if reap(catalog, record).status.unfinished:
            yield record


def reap(catalog: Catalog, record: Record) -> Record:
    """Turn a resource whose driver fell silent into CREATE FAILED, so that nobody waits for it for ever.

    Returns:
        The record as it is now.
    """
    heard: float = record.fields.get("heartbeat") or record.fields["creationDateTime"]
    silent = time.time() - heard
    if not record.status.unfinished or silent <= STALE_SECONDS:
        return record
    reason = f"Its driver has sent no heartbeat for {silent:.0f} seconds. Create it again under a new name."
    try:
        catalog.update(record, status=Status.FAILED, failureReason=reason)
    except ResourceInUseException:  # it lives, or somebody else has said so already
        return catalog.read(record.arn)
    return record
