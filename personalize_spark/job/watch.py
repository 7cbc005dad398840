"""How far a job is that any driver runs, from what its tasks have written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.lease import reap
from personalize_spark.catalog.resources import find
from personalize_spark.catalog.status import Status
from personalize_spark.errors import JobFailed, ObjectNotFound
from personalize_spark.job.attempts import Ledger, Progress
from personalize_spark.job.job import Job
from personalize_spark.job.plan import Plan
from personalize_spark.job.report import Report
from personalize_spark.job.splits import read_splits
from personalize_spark.storage.documents import converted

_SECONDS = 1.0


def watch_job(catalog: Catalog, arn: str, progress: Callable[[Progress], None] = lambda _: None) -> Report:
    """Follow a batch inference job to its end.

    Raises:
        InvalidInputException: the ARN is that of something else.
        ResourceNotFoundException: there is no such job.
        JobFailed: the job is CREATE FAILED; the message is its `failureReason`.
    """
    ledger = None
    while True:
        [record] = reap(catalog, [find(catalog, arn, "batch inference job")])
        if not record.status.unfinished:
            break
        with contextlib.suppress(ObjectNotFound):  # not planned yet, or removed already
            ledger = ledger or _ledger(Job.of(record), record.fields["run"])
            ledger.refresh()
            progress(ledger.progress())
        time.sleep(_SECONDS)
    if record.status is not Status.ACTIVE:
        raise JobFailed(record.fields.get("failureReason", f"The job is {record.status}."))
    return converted(record.fields["report"], Report, f"The record of {record.arn}")


def _ledger(job: Job, run: str) -> Ledger:
    staging = Plan.of(job, run).staging()
    return Ledger(staging, read_splits(staging))
