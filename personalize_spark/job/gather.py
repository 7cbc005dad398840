"""The stage before the answers, for users' rows that are more than a host may hold: those that a split asks for are laid beside it.

The ids travel once, to the hosts that read the shards, each of which is read in one place; the rows travel once, to the
writers of the splits' slices. Lines stay where they are, and a task that answers looks into the slice of its split.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from personalize_spark.artifacts.artifact import write_table
from personalize_spark.artifacts.cache import MAX_SHARE_OF_DISK, cache_folder
from personalize_spark.errors import InvalidInputException
from personalize_spark.job.splits import TASKS_PER_CORE, Split, read_task, tasks_of, write_tasks
from personalize_spark.job.task import Worker, slice_name, worker_of
from personalize_spark.settings import bytes_of, size_of
from personalize_spark.spark import running_tasks
from personalize_spark.storage.store import Store

BUDGET = "spark.personalize.hostBudget"
"""Spark setting: bytes of users' rows that a host may keep on its disk (`20g`); by default its cache's, `cache-size`."""

_ATTEMPT = -1
_SURELY = 1 << 30

_ASKED = pa.schema({"side": pa.string(), "shard": pa.int32(), "split": pa.string(), "ids": pa.list_(pa.binary())})
_FOUND = pa.schema({"split": pa.string(), "side": pa.string(), "shard": pa.int32(), "rows": pa.binary()})

Batches = Iterable[pa.RecordBatch]


def gather(spark: SparkSession, cores: int, staging: Store, splits: Sequence[Split]) -> list[Split]:
    """Lay users' rows beside the splits, if there are more than a host may hold.

    Args:
        spark: the session.
        cores: how many tasks run at once.
        staging: the job's staging folder.
        splits: all splits of the job.

    Returns:
        The splits, which know now where to look.

    Raises:
        TaskFailed: a shard or an input could not be read.
        InvalidInputException: the setting is no size.
    """
    size = sum(source.shards.size for source in Worker(staging).row_sources.values())
    if not splits or size <= _budget(spark, size):
        return list(splits)
    tasks = tasks_of(splits, cores)
    write_tasks(staging, _ATTEMPT, tasks)
    with running_tasks(spark):
        _gathered(spark, staging, len(tasks), TASKS_PER_CORE * cores).collect()
    return [replace(split, gathered=True) for split in splits]


def _budget(spark: SparkSession, size: int) -> int:
    given = spark.conf.get(BUDGET, None)
    budget = size_of("cache-size") if given is None else bytes_of(given)
    if budget is not None:
        return budget
    if given is not None:
        raise InvalidInputException(f"{BUDGET} must be a size such as 20g, not '{given}'.")
    return size if size <= _SURELY else _free_disk(spark)


def _free_disk(spark: SparkSession) -> int:
    with running_tasks(spark):
        [row] = spark.range(0, 1, 1, 1).mapInArrow(_free, "free long").collect()
    return int(row["free"] * MAX_SHARE_OF_DISK)


def _free(_: Batches) -> Batches:
    folder = cache_folder()
    yield pa.RecordBatch.from_pydict({"free": [shutil.disk_usage(folder).free]})


def _gathered(spark: SparkSession, staging: Store, tasks: int, parts: int) -> DataFrame:
    """The whole stage; its rows are the slices that were written."""
    root, access = staging.root, staging.access

    def on(work: Callable[[Worker, Batches], Batches]) -> Callable[[Batches], Batches]:
        return lambda batches: work(worker_of(root, access), batches)

    asked = spark.range(0, tasks, 1, tasks).mapInArrow(
        on(_ask), "side string, shard int, split string, ids array<binary>"
    )
    beside = asked.repartition(parts, "side", "shard").sortWithinPartitions("side", "shard")
    found = beside.mapInArrow(on(_find), "split string, side string, shard int, rows binary")
    together = found.repartition(parts, "split", "side").sortWithinPartitions("split", "side", "shard")
    return together.mapInArrow(on(_write), "slice string")


def _ask(worker: Worker, batches: Batches) -> Batches:
    """What each split asks of each shard."""
    for batch in batches:
        for split in (
            each for number in batch.column(0).to_pylist() for each in read_task(worker.staging, _ATTEMPT, number)
        ):
            ids = worker.users(split)
            for side, source in worker.row_sources.items():
                for shard, some in source.shards.split(ids):
                    asked = [ids[each] for each in some.tolist()]
                    yield pa.RecordBatch.from_pylist(
                        [{"side": side, "shard": shard, "split": split.key, "ids": asked}], _ASKED
                    )


def _find(worker: Worker, batches: Batches) -> Batches:
    """What each shard answers to each split: a table of its own columns, by ascending key and id."""
    for row in _rows(batches):
        for found in worker.row_sources[row["side"]].shards.find(row["ids"]):
            table = found.table.take(pa.array(sorted(found.rows.tolist())))
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_batch(table)
            fields = {name: row[name] for name in ("split", "side", "shard")}
            yield pa.RecordBatch.from_pylist([{**fields, "rows": sink.getvalue().to_pybytes()}], _FOUND)


def _write(worker: Worker, batches: Batches) -> Batches:
    """A slice for each split and side: shards ascend, so that keys and ids do; a second attempt writes the same."""
    for (split, side), rows in groupby(_rows(batches), itemgetter("split", "side")):
        parts = [pa.ipc.open_stream(row["rows"]).read_all() for row in rows]
        name = slice_name(split, side)
        [batch] = pa.concat_tables(parts).combine_chunks().to_batches()
        write_table(worker.staging, name, batch)
        yield pa.RecordBatch.from_pydict({"slice": [name]})


def _rows(batches: Batches) -> Iterator[dict[str, Any]]:
    return (row for batch in batches for row in batch.to_pylist())
