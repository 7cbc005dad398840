"""A Spark stage of a job: the same work for every number below a count, a task each; what fails comes back as text."""

from __future__ import annotations

import gc
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from zipimport import zipimporter

import pyarrow as pa
from pyspark.sql import SparkSession

from personalize_spark.job.plan import Plan
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Store

Work = Callable[[Store, int], Iterable[str]]
"""Gets the staging folder and a number, returns failures. A function of a module, so that only its name travels."""

_TO_END_SECONDS = 3.0
"""Spark gives a Python worker that is to end two seconds (`spark.python.task.killTimeout`)."""

_FAILURES = pa.schema({"failure": pa.string()})


def run_stage(spark: SparkSession, plan: Plan, tasks: int, work: Work) -> list[str]:
    """Run the work for 0, 1, ... tasks - 1.

    Returns:
        All failures that the work reported.

    Raises:
        Exception: Spark's own, when a task died of something else; see `root_cause`.
    """
    root, access = plan.staging_root, plan.access

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        _freeze()
        staging = open_store(root, access)
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield pa.RecordBatch.from_pydict({"failure": list(work(staging, number))}, _FAILURES)
        _forget_finders()

    with cancelled_on_error(spark):
        failures = spark.range(0, tasks, 1, tasks).mapInArrow(run, "failure string").collect()
    return [row["failure"] for row in failures]


@contextmanager
def cancelled_on_error(spark: SparkSession) -> Iterator[None]:
    """No task outlives an error, Ctrl-C for one: it would write into a staging folder that is gone."""
    context, tag = spark.sparkContext, f"personalize-spark-{uuid.uuid4().hex}"
    context.addJobTag(tag)
    context.setInterruptOnCancel(True)
    try:
        yield
    except BaseException:
        # by another thread: this one may have been interrupted in the middle of a word to the JVM
        cancelling = threading.Thread(target=context.cancelJobsWithTag, args=(tag,))
        cancelling.start()
        cancelling.join(_TO_END_SECONDS)
        time.sleep(_TO_END_SECONDS)
        raise
    context.removeJobTag(tag)


@cache
def _freeze() -> None:
    """Spare every later task of this Python worker 25 ms: Spark collects garbage behind each, and what is imported by now is none."""
    gc.collect()
    gc.freeze()


def _forget_finders() -> None:
    """Spare the next task of this Python worker 0.1 s.

    Spark calls `importlib.invalidate_caches` before every task; the finder of each package of pyspark.zip then reads the directory of
    the archive again. A finder that is not there is made when it is needed, from the directory that was read before.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]


def root_cause(error: Exception) -> str:
    """What a Python worker raised, out of Spark's long message; else the message's first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if ": " in line and not line.startswith(("at ", "File ", "Caused by"))]
    return (raised or lines or [type(error).__name__])[0][:500]
