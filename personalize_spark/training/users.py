"""The user side, on executors: histories in, vectors and normalisers out.

Tasks map the item side from the artifact that is being written; what travels to them is `UserSide`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.artifacts.artifact import Entry
from personalize_spark.artifacts.cache import local_path
from personalize_spark.artifacts.heldout import HeldOut
from personalize_spark.artifacts.model import USERS, users_schema
from personalize_spark.artifacts.shards import shard_count, write_missing, write_shards
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.softmax import log_normaliser
from personalize_spark.scoring.topn import ItemMatrix, top_n
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Access, Store
from personalize_spark.training.fold_in import FoldIn, Histories
from personalize_spark.training.interactions import known

Batches = Iterable[pa.RecordBatch]
Run = Callable[[Batches], Iterator[pa.RecordBatch]]

_ENTRY = pa.schema({"name": pa.string(), "sha256": pa.string(), "size": pa.int64(), "rows": pa.int64()})
_HISTORY = ("items", "events", "newest")


@dataclass(frozen=True)
class UserSide:
    """How a user's history becomes the user's row.

    Attributes:
        root: where the item side lies.
        access: how it is read.
        entries: the files of the item side.
        fold_in: makes the vectors.
        source: the column that vectors are folded in from, `factors` or `queries`.
        scored: how many items of a user have a score; `None`: all.
    """

    root: str
    access: Access
    entries: Mapping[str, Entry]
    fold_in: FoldIn
    source: str
    scored: int | None = None

    def store(self) -> Store:
        """The artifact's store."""
        return open_store(self.root, self.access)

    def matrix(self) -> ItemMatrix:
        """The items, mapped."""
        basis = self.column("basis") if "basis.npy" in self.entries else None
        return ItemMatrix(self.column("factors"), self.column("norms"), self.column("ranks"), basis)

    def column(self, name: str) -> NDArray[Any]:
        """A column of the item side, mapped."""
        path = local_path(self.store(), f"{name}.npy", self.entries[f"{name}.npy"].sha256)
        column: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return column


def held_out(pairs: DataFrame, side: UserSide) -> HeldOut:
    """The users that have a target, learned without it: their newest item."""
    chosen = known(pairs.where(F.col("target").isNotNull()))
    frame = _histories(chosen, "target", "user_id")
    columns = "user_id string, target int, vector array<float>, seen array<int>"
    table = frame.mapInArrow(_without_targets(side), columns).toArrow().sort_by("user_id")
    vectors = table.column("vector").combine_chunks()
    seen = table.column("seen").combine_chunks()
    rank = side.column("factors").shape[1]
    rows: NDArray[np.float32] = vectors.flatten().to_numpy().reshape(-1, rank)
    targets = Ragged(np.arange(len(rows) + 1), table.column("target").to_numpy().astype(np.int32))
    return HeldOut(rows, targets, Ragged.of_lengths(seen.value_lengths().to_numpy(), seen.flatten().to_numpy()))


def vectors_of(pairs: DataFrame, side: UserSide) -> DataFrame:
    """(user_id string, vector array<float>) of all users of the pairs, folded in with all that they did."""
    return _histories(pairs, "user_id").mapInArrow(_vectors(side), "user_id string, vector array<float>")


def write_users(pairs: DataFrame, side: UserSide, temperature: float, users: int, target: Store) -> list[Entry]:
    """Write the shards of all users of the pairs, folded in with all that they did.

    Args:
        pairs: with the columns key, user_id, item, events and newest.
        side: how users become rows.
        temperature: the factor of the products.
        users: how many there are.
        target: where the shards go.
    """
    count = shard_count(users)
    shard = F.shiftright(F.col("key") * count, 32).cast("int").alias("shard")
    placed = pairs.select(shard, "key", "user_id", "item", "events", "newest").repartition(count, "shard")
    frame = _histories(placed, "shard", "key", "user_id").sortWithinPartitions("shard", "key", "user_id")
    written = frame.mapInArrow(
        _writing(side, temperature, target.root), "name string, sha256 string, size long, rows long"
    )
    entries = [Entry(**row.asDict()) for row in written.collect()]
    return write_missing(target, USERS, count, _schema(side), entries)


def user_rows(
    vectors: NDArray[np.float32], matrix: ItemMatrix, temperature: float, scored: int | None
) -> list[NDArray[np.float64]]:
    """What a shard holds of users besides their vectors: the log-normalisers and, where not all items are scored, the floors.

    Args:
        vectors: float32 (U, d).
        matrix: the items.
        temperature: the factor of the products.
        scored: how many items of a user have a score; items that tie with the last of them have one too.

    Returns:
        float64 (U,) each.
    """
    if scored is None:
        return [log_normaliser(vectors, matrix.factors, temperature)]
    best = top_n(vectors, matrix, min(scored + 1, len(matrix.factors)))
    floors = best.products[:, min(scored, len(matrix.factors)) - 1]
    exponents = np.where(best.products >= floors[:, None], best.products * temperature, -np.inf)
    peaks = exponents[:, 0]
    return [peaks + np.log(np.exp(exponents - peaks[:, None]).sum(axis=1)), floors]


def _histories(pairs: DataFrame, *by: str) -> DataFrame:
    """A row a user, with its items in ascending order and what goes with them: what is added up is added in one order."""
    entry = F.struct("item", F.col("events").cast("float").alias("events"), "newest")
    history = F.sort_array(F.collect_list(entry)).alias("history")
    columns = [
        F.col(f"history.{name}").alias(alias)
        for name, alias in zip(("item", "events", "newest"), _HISTORY, strict=True)
    ]
    return pairs.groupBy(*by).agg(history).select(*by, *columns)


def _folded_in(batch: pa.RecordBatch, side: UserSide, rows: NDArray[np.int32]) -> tuple[NDArray[np.float32], Histories]:
    """The vectors, float32 (U, d), of a batch of histories; `rows` holds the row of each item number."""
    items, events, newest = (batch.column(name).flatten().to_numpy() for name in _HISTORY)
    lengths = batch.column("items").value_lengths().to_numpy()
    histories = Histories(Ragged.of_lengths(lengths, rows[items]), events, newest)
    return side.fold_in.vectors(side.column(side.source), histories), histories


def _rows(matrix: ItemMatrix) -> NDArray[np.int32]:
    """int32 (I,): the row of each item number, which is the item's rank."""
    rows = np.empty_like(matrix.ranks)
    rows[matrix.ranks] = np.arange(len(rows), dtype=np.int32)
    return rows


def _schema(side: UserSide) -> pa.Schema:
    return users_schema(side.column("factors").shape[1], floors=side.scored is not None)


def _lists(vectors: NDArray[np.float32]) -> pa.ListArray:
    ends = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends), vectors.ravel())


def _vectors(side: UserSide) -> Run:
    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        rows = _rows(side.matrix())
        for batch in batches:
            vectors, _ = _folded_in(batch, side, rows)
            yield pa.RecordBatch.from_arrays([batch.column("user_id"), _lists(vectors)], ["user_id", "vector"])

    return run


def _without_targets(side: UserSide) -> Run:
    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        rows = _rows(side.matrix())
        for batch in batches:
            vectors, histories = _folded_in(batch, side, rows)
            target = pa.array(rows[batch.column("target").to_numpy()])
            seen = pa.ListArray.from_arrays(pa.array(histories.items.indptr.astype(np.int32)), histories.items.values)
            names = ["user_id", "target", "vector", "seen"]
            yield pa.RecordBatch.from_arrays([batch.column("user_id"), target, _lists(vectors), seen], names)

    return run


def _writing(side: UserSide, temperature: float, target: str) -> Run:
    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        matrix = side.matrix()
        rows = _rows(matrix)
        schema = _schema(side).insert(0, pa.field("shard", pa.int32()))

        def finished(batch: pa.RecordBatch) -> pa.RecordBatch:
            vectors, _ = _folded_in(batch, side, rows)
            numbers = [pa.array(column) for column in user_rows(vectors, matrix, temperature, side.scored)]
            keys, ids = batch.column("key").cast(pa.uint32()), batch.column("user_id").cast(pa.binary())
            lists = pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
            return pa.RecordBatch.from_arrays([batch.column("shard"), keys, ids, lists, *numbers], schema=schema)

        for entry in write_shards(open_store(target, side.access), USERS, map(finished, batches)):
            yield pa.RecordBatch.from_pylist([asdict(entry)], _ENTRY)

    return run
