"""Tables of users, cut into the shards of `artifacts.shards` and written by executors straight into a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict
from functools import partial
from itertools import chain

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

from personalize_spark.artifacts.artifact import Entry
from personalize_spark.artifacts.shards import USERS, shard_count, write_missing, write_shards
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Access, Store

_TASKS = 512
"""Tasks at most; each writes its shards one after the other."""
_ENTRY = "name string, sha256 string, size long, rows long"

Batches = Iterable[pa.RecordBatch]
Finish = Callable[[Batches], Iterator[pa.RecordBatch]]


def into_shards(users: DataFrame, count: int) -> DataFrame:
    """Bring the rows of each shard together.

    Args:
        users: any rows with the column `key`, the CRC-32 of the user's id.
        count: how many users there are.

    Returns:
        The rows, with the column `shard` in addition.
    """
    shards = shard_count(count)
    shard = F.shiftright(F.col("key") * shards, 32).cast("int")
    return users.withColumn("shard", shard).repartition(min(shards, _TASKS), "shard")


def write_user_shards(
    users: DataFrame, count: int, store: Store, schema: pa.Schema, finish: Finish = iter
) -> list[Entry]:
    """Write the shards.

    Args:
        users: a row a user, where `into_shards` has brought it, with the columns `shard`, `key`, `id` and what `finish` needs.
        count: how many users there are.
        store: of the artifact.
        schema: the columns of a shard.
        finish: makes batches with `shard` and the columns of the schema of these rows, in the tasks.

    Returns:
        The files, one for each shard.
    """
    ordered = users.sortWithinPartitions("shard", "key", "id")
    written = ordered.mapInArrow(partial(_write, store.root, store.access, schema, finish), _ENTRY).collect()
    entries = [Entry(**row.asDict()) for row in written]
    return write_missing(store, USERS, shard_count(count), schema, entries)


def write_user_shards_here(
    parts: Iterable[pa.RecordBatch], count: int, store: Store, schema: pa.Schema, finish: Finish, pool: Executor
) -> list[Entry]:
    """The same in this process, a shard a thread of the pool: `parts` are a batch a shard, the users of each by key and id."""

    def write(part: pa.RecordBatch) -> list[Entry]:
        return [*write_shards(store, USERS, (_cast(batch, schema) for batch in finish([part])))]

    return write_missing(store, USERS, shard_count(count), schema, chain.from_iterable(pool.map(write, parts)))


def write_few_users(users: pa.Table, store: Store, schema: pa.Schema) -> list[Entry]:
    """The same of users that one shard holds, in any order."""
    rows = users.append_column("shard", pa.repeat(0, users.num_rows)).sort_by(
        [("key", "ascending"), ("id", "ascending")]
    )
    shards = write_shards(store, USERS, (_cast(batch, schema) for batch in rows.combine_chunks().to_batches()))
    return write_missing(store, USERS, 1, schema, shards)


def _write(root: str, access: Access, schema: pa.Schema, finish: Finish, batches: Batches) -> Iterator[pa.RecordBatch]:
    typed = (_cast(batch, schema) for batch in finish(batches))
    for entry in write_shards(open_store(root, access), USERS, typed):
        yield pa.RecordBatch.from_pylist([asdict(entry)])


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Spark has no unsigned types, and names what is in a list."""
    columns = [batch.column("shard"), *(batch.column(field.name).cast(field.type) for field in schema)]
    return pa.RecordBatch.from_arrays(columns, names=["shard", *schema.names])
