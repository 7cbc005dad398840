"""Tasks as tasks of Spark: the one module of a job, beside the shuffle of `gather`, that knows a session."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from zipimport import zipimporter

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from personalize_spark.errors import TaskFailed
from personalize_spark.job.executor import Work, carry_out
from personalize_spark.job.gather import gather
from personalize_spark.job.splits import Split
from personalize_spark.spark import cores_of, is_here, running_tasks
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Store

_ENDED = pa.schema({"failures": pa.list_(pa.string()), "died": pa.string(), "retries": pa.int64()})
_ROWS = from_arrow_schema(_ENDED)  # of text, Spark would ask the JVM three times


class SparkExecutor:
    """Runs tasks on a Spark session, one at a time on every core."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self.cores, self.retries, self.here = cores_of(spark), 0, is_here(spark)
        self._cancel: Callable[[], object] = int

    def run(self, staging: Store, tasks: int, work: Work) -> list[str]:
        """As `Executor.run`: one Spark job."""
        root, access = staging.root, staging.access

        def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            staging = open_store(root, access)
            for batch in batches:
                ended = [carry_out(work, staging, number) for number in batch.column(0).to_pylist()]
                rows = {name: [getattr(each, name) for each in ended] for name in _ENDED.names}
                yield pa.RecordBatch.from_pydict(rows, _ENDED)
            _forget_finders()
            _freeze()

        with running_tasks(self._spark) as self._cancel:
            ended = self._spark.range(0, tasks, 1, tasks).mapInArrow(run, _ROWS).collect()
        self.retries += sum(row["retries"] for row in ended)
        if died := [row["died"] for row in ended if row["died"] is not None]:
            raise TaskFailed(died[0])
        return [failure for row in ended for failure in row["failures"]]

    def stop(self) -> None:
        """As `Executor.stop`; Spark kills a Python worker that does not end by itself (spark.python.task.killTimeout)."""
        self._cancel()

    def gather(self, staging: Store, splits: Sequence[Split]) -> list[Split]:
        """As `Executor.gather`: one Spark job with two shuffles."""
        return gather(self._spark, self.cores, staging, splits)


@cache
def _freeze() -> None:
    """Spare every later task of this Python worker 30 ms: Spark collects garbage behind each, and what the first has left is none."""
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
