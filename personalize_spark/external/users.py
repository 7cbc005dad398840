"""The users of a model that was learned elsewhere, written by Spark as a training writes its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.artifacts.artifact import Entry
from personalize_spark.artifacts.cache import local_path
from personalize_spark.artifacts.model import USERS, users_schema
from personalize_spark.artifacts.shards import shard_count, write_missing, write_shards
from personalize_spark.scoring.softmax import log_normaliser
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Access

_ENTRY = "name string, sha256 string, size long, rows long"
_SAMPLE = 4096
"""Users that `ItemMatrix` learns its bounds from."""


@dataclass(frozen=True)
class UserSide:
    """What tasks need to write users.

    Attributes:
        root: where the item side lies.
        access: how it is read.
        factors: the file of the item factors.
        rank: the length of the vectors.
        temperature: of the scores.
    """

    root: str
    access: Access
    factors: Entry
    rank: int
    temperature: float

    def schema(self) -> pa.Schema:
        """The columns of a shard."""
        return users_schema(self.rank)


def sample_of(users: DataFrame) -> NDArray[np.float32]:
    """float32 (n, d): some vectors, chosen by the hash of the id, so that they are the same each time."""
    keyed = users.select(F.crc32("id").alias("key"), "id", "vector")
    return vectors_of(keyed.orderBy("key", "id").limit(_SAMPLE).toArrow().column("vector"))


def vectors_of(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float32]:
    """float32 (n, d): a column of lists of one length."""
    flat = column.combine_chunks().flatten() if isinstance(column, pa.ChunkedArray) else column.flatten()
    vectors: NDArray[np.float32] = flat.to_numpy().reshape(len(column), -1)
    return vectors


def write_users(users: DataFrame, side: UserSide, rows: int) -> list[Entry]:
    """Write the shards of all users.

    Args:
        users: `id: string`, `vector: array<float>`.
        side: the rest of the model.
        rows: how many users there are.
    """
    count = shard_count(rows)
    keyed = users.select(F.crc32("id").alias("key"), "id", "vector")
    placed = keyed.withColumn("shard", F.shiftright(F.col("key") * count, 32).cast("int"))
    ordered = placed.repartition(count, "shard").sortWithinPartitions("shard", "key", "id")
    written = ordered.mapInArrow(_writing(side), _ENTRY).collect()
    store = open_store(side.root, side.access)
    return write_missing(store, USERS, count, side.schema(), [Entry(**row.asDict()) for row in written])


def _writing(side: UserSide) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        store = open_store(side.root, side.access)
        path = local_path(store, side.factors.name, side.factors.sha256)
        items = np.load(path, mmap_mode="r", allow_pickle=False)
        schema = side.schema().insert(0, pa.field("shard", pa.int32()))

        def finished(batch: pa.RecordBatch) -> pa.RecordBatch:
            vectors = vectors_of(batch.column("vector"))
            keys, ids = batch.column("key").cast(pa.uint32()), batch.column("id").cast(pa.binary())
            lists = pa.FixedSizeListArray.from_arrays(vectors.ravel(), side.rank)
            normalisers = pa.array(log_normaliser(vectors, items, side.temperature))
            return pa.RecordBatch.from_arrays([batch.column("shard"), keys, ids, lists, normalisers], schema=schema)

        for entry in write_shards(store, USERS, map(finished, batches)):
            yield pa.RecordBatch.from_pylist([asdict(entry)])

    return run
