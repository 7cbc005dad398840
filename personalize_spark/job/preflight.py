"""Before any work, a task a core proves that the others can do theirs; what they find is said in plain words.

One task would do for the proof. As many as there are cores start all Python workers at once, which takes some seconds. Where tasks run
as this process does, it proves all of that itself: that spares a job of few lines a third of its time.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from functools import partial

import personalize_spark
from personalize_spark.errors import (
    EngineLost,
    JobFailed,
    ObjectChanged,
    ObjectNotFound,
    PersonalizeSparkError,
    reason_of,
)
from personalize_spark.job.executor import Executor
from personalize_spark.job.inputs import read_inputs
from personalize_spark.job.plan import CHECK
from personalize_spark.job.task import worker_of
from personalize_spark.storage.store import Store

_MIN_DISK = 256 << 20


def preflight(executor: Executor, staging: Store) -> None:
    """Prove import, release, credentials, model and disk where tasks run; writes `_CHECK` under the output path.

    Args:
        executor: runs the tasks.
        staging: the job's staging folder, with its plan.

    Raises:
        JobFailed: what is missing, and what to do about it.
        EngineLost: what runs tasks is gone.
    """
    check = partial(_check, personalize_spark.__version__)
    try:
        failures = check(staging, 0) if executor.here else executor.run(staging, executor.cores, check)
    except EngineLost:
        raise
    except Exception as error:
        raise JobFailed(in_plain_words(reason_of(error))) from error
    worker_of.cache_clear()  # what answers are other processes
    if failures:
        raise JobFailed(failures[0])


def _check(release: str, staging: Store, number: int) -> list[str]:
    failure = _failure(release, staging, writes=number == 0)
    return [failure] if failure else []


def _failure(release: str, staging: Store, *, writes: bool) -> str | None:
    if personalize_spark.__version__ != release:
        return f"The executors have personalize_spark {personalize_spark.__version__}, the driver has {release}: install the same version on both."
    folder = tempfile.gettempdir()
    if (free := shutil.disk_usage(folder).free) < _MIN_DISK:
        return f"{free >> 20} MiB are free in {folder}: free some, or name a larger folder (spark.local.dir, TMPDIR without Spark)."
    try:
        worker = worker_of(staging.root, staging.access)
        if writes:
            for store in filter(None, (worker.plan.output(), worker.plan.errors(), worker.plan.parquet())):
                store.write(CHECK, b"")
        for each in read_inputs(worker.staging)[:1]:
            with suppress(ObjectNotFound, ObjectChanged):  # which costs this input its output, and no other
                worker.input.read(each.source.name, 0, min(1, each.source.size), each.source.etag)
        _ = worker.model, worker.line_filter  # mapping them is the proof
    except PersonalizeSparkError as error:
        return error.message
    return None


def in_plain_words(cause: str) -> str:
    """What a task died of, and what to do where that is known."""
    if "No module named 'personalize_spark" in cause:
        return (
            "The executors cannot import personalize_spark. Install it on every node, or ship it: "
            "--py-files personalize_spark.zip, or --archives with a packed environment."
        )
    if "No module named" in cause:
        return f"The executors lack a package that the driver has ({cause}). Ship the driver's environment with --archives."
    return cause
