"""The fence around a job: one driver owns its record, and shows that it lives."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Self

from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.errors import JobFailed, ResourceInUseException, StorageError

BEAT_SECONDS = 15.0
STALE_SECONDS = 120.0

_log = logging.getLogger(__name__)

KIND = "batch-inference-job"
PENDING, IN_PROGRESS, ACTIVE, FAILED = "CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE", "CREATE FAILED"


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
        self.update(status=IN_PROGRESS)
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
                raise JobFailed(f"This driver no longer holds the job: {self._lost}")

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.update()
            except JobFailed:
                return
            except StorageError as error:  # the next beat may get through; silence for long enough ends the job anyway
                _log.warning("The heartbeat of %s failed: %s", self._record.arn, error)


def running(catalog: Catalog) -> Iterator[Record]:
    """The batch inference jobs that are PENDING or IN_PROGRESS."""
    for record in catalog.list(KIND):
        if reap(catalog, record).fields["status"] in {PENDING, IN_PROGRESS}:
            yield record


def reap(catalog: Catalog, record: Record) -> Record:
    """Turn a job whose driver fell silent into CREATE FAILED, so that nobody waits for it for ever.

    Returns:
        The record as it is now.
    """
    heard: float = record.fields.get("heartbeat") or record.fields["creationDateTime"]
    silent = time.time() - heard
    if record.fields["status"] not in {PENDING, IN_PROGRESS} or silent <= STALE_SECONDS:
        return record
    reason = (
        f"The driver of the job has not been heard of for {silent:.0f} seconds. Create the job again under a new name."
    )
    try:
        catalog.update(record, status=FAILED, failureReason=reason)
    except ResourceInUseException:  # it lives, or somebody else has said so already
        return catalog.read(record.arn)
    return record
