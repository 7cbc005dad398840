"""The user side, on executors: histories in, vectors and normalisers out.

Tasks map the item factors from the artifact that is being written; what travels to them is `UserSide`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.scoring.softmax import log_normaliser
from personalize_spark.storage.artifact import Entry
from personalize_spark.storage.cache import local_path
from personalize_spark.storage.location import open_store
from personalize_spark.storage.model import USERS, users_schema
from personalize_spark.storage.shards import shard_count, write_missing, write_shards
from personalize_spark.storage.store import Access, Store
from personalize_spark.training.fold_in import FoldIn
from personalize_spark.training.interactions import known

Batches = Iterable[pa.RecordBatch]
Run = Callable[[Batches], Iterator[pa.RecordBatch]]

_ENTRY = pa.schema({"name": pa.string(), "sha256": pa.string(), "size": pa.int64(), "rows": pa.int64()})


@dataclass(frozen=True)
class UserSide:
    """How a user's history becomes the user's vector."""

    root: str
    access: Access
    factors: Entry
    ranks: Entry
    fold_in: FoldIn

    @property
    def rank(self) -> int:
        """The length d of the vectors."""
        return len(self.fold_in.gram)

    def store(self) -> Store:
        """The artifact's store."""
        return open_store(self.root, self.access)

    def items(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The factors, float32 (I, d), mapped; and int32 (I,), the row of each item number."""
        ranks: NDArray[np.int32] = self._column(self.ranks)
        rows = np.empty_like(ranks)
        rows[ranks] = np.arange(len(ranks), dtype=np.int32)
        return self._column(self.factors), rows

    def vectors(
        self, batch: pa.RecordBatch, factors: NDArray[np.float32], rows: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """The vectors, float32 (U, d), of a batch of histories."""
        lists = batch.column("items"), batch.column("events")
        items, events = (column.flatten().to_numpy() for column in lists)
        offsets = np.concatenate([[0], np.cumsum(lists[0].value_lengths().to_numpy())])
        return self.fold_in.vectors(factors, rows[items], events, offsets)

    def _column(self, entry: Entry) -> NDArray[Any]:
        path = local_path(self.store(), entry.name, entry.sha256)
        column: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return column


def calibration_set(pairs: DataFrame, side: UserSide) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The users that have a target, without it.

    Returns:
        Their vectors, float32 (H, d), and the rows of their targets, int64 (H,).
    """
    chosen = known(pairs.where(F.col("target").isNotNull()))
    frame = _histories(chosen, "target", "user_id").mapInArrow(_calibrating(side), "target int, vector array<float>")
    table = frame.toArrow()
    vectors: NDArray[np.float32] = table.column("vector").combine_chunks().flatten().to_numpy()
    return vectors.reshape(-1, side.rank), table.column("target").to_numpy().astype(np.int64)


def write_users(pairs: DataFrame, side: UserSide, temperature: float, users: int) -> list[Entry]:
    """Write the shards of all users, folded in with all that they did."""
    count = shard_count(users)
    shard = F.shiftright(F.col("key") * count, 32).cast("int").alias("shard")
    placed = pairs.select(shard, "key", "user_id", "item", "events").repartition(count, "shard")
    frame = _histories(placed, "shard", "key", "user_id").sortWithinPartitions("shard", "key", "user_id")
    rows = frame.mapInArrow(_writing(side, temperature), "name string, sha256 string, size long, rows long").collect()
    return write_missing(side.store(), USERS, count, users_schema(side.rank), [Entry(**row.asDict()) for row in rows])


def _histories(pairs: DataFrame, *by: str) -> DataFrame:
    """A row a user, with its items in ascending order and their events: what is added up is added in one order."""
    history = F.sort_array(F.collect_list(F.struct("item", F.col("events").cast("float").alias("events"))))
    items, events = F.col("history.item").alias("items"), F.col("history.events").alias("events")
    return pairs.groupBy(*by).agg(history.alias("history")).select(*by, items, events)


def _calibrating(side: UserSide) -> Run:
    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        factors, rows = side.items()
        for batch in batches:
            vectors = side.vectors(batch, factors, rows)
            target = pa.array(rows[batch.column("target").to_numpy()])
            ends = pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * side.rank)
            lists = pa.ListArray.from_arrays(ends, vectors.ravel())
            yield pa.RecordBatch.from_arrays([target, lists], ["target", "vector"])

    return run


def _writing(side: UserSide, temperature: float) -> Run:
    schema = users_schema(side.rank).insert(0, pa.field("shard", pa.int32()))

    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        factors, rows = side.items()

        def finished(batch: pa.RecordBatch) -> pa.RecordBatch:
            vectors = side.vectors(batch, factors, rows)
            normalisers = pa.array(log_normaliser(vectors, factors, temperature))
            keys, ids = batch.column("key").cast(pa.uint32()), batch.column("user_id").cast(pa.binary())
            lists = pa.FixedSizeListArray.from_arrays(vectors.ravel(), side.rank)
            return pa.RecordBatch.from_arrays([batch.column("shard"), keys, ids, lists, normalisers], schema=schema)

        for entry in write_shards(side.store(), USERS, map(finished, batches)):
            yield pa.RecordBatch.from_pylist([asdict(entry)], _ENTRY)

    return run
