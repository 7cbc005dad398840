"""The users of a model, written by executors: histories or vectors in, vectors and normalisers out. `scoring.users` is how they are read.

Tasks map the item side from the artifact that is being written; what travels to them is `UserSide`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.artifacts.artifact import Artifact, Entry
from personalize_spark.artifacts.cache import local_file
from personalize_spark.artifacts.model import curve_of, item_side, users_schema, vector_type
from personalize_spark.artifacts.shards import shard_count, shards_of
from personalize_spark.datasets.user_shards import into_shards, write_user_shards, write_user_shards_here
from personalize_spark.scoring.curve import STRAIGHT, Curve
from personalize_spark.scoring.kernel import kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.softmax import log_normalisers
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import ItemMatrix, Items, top_n
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Access, Store
from personalize_spark.training.fold_in import FoldIn, Histories, fold_in_of
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.moments import moments
from personalize_spark.training.threads import all_cores
from personalize_spark.training.vectors import as_lists, as_matrix

Batches = Iterable[pa.RecordBatch]
_HISTORY = ("items", "events", "newest")


@dataclass(frozen=True)
class UserSide:
    """How a user becomes a row of a model.

    Attributes:
        root: where the item side lies.
        access: how it is read.
        entries: the files of the item side.
        fold_in: makes vectors of histories; `None`: the vectors are known.
        last: what each vector ends with, where the last column of the factors is the items' popularity; over `SparseItems` the
            share of the popularity; else `None`.
        scored: how many items of a user have a score; `None`: all.
        curve: of the scores.
    """

    root: str
    access: Access
    entries: Mapping[str, Entry]
    fold_in: FoldIn | None = None
    last: float | None = None
    scored: int | None = None
    curve: Curve = STRAIGHT

    @classmethod
    def of(cls, model: Artifact) -> UserSide:
        """That of a finished model whose users were folded in."""
        about = dict(model.properties["foldIn"])
        last = about.pop("last")
        columns = {"gram": model.column("gram")[:]} if "gram.npy" in model.entries else {}
        items = {name: entry for name, entry in model.entries.items() if "/" not in name}
        fold_in, scored = fold_in_of(about, columns), model.properties.get("scored")
        return cls(model.store.root, model.store.access, items, fold_in, last, scored, curve_of(model.properties))

    def properties(self) -> dict[str, Any]:
        """What the manifest says, for `of` and for who reads the users."""
        fold_in = {} if self.fold_in is None else {"foldIn": {**self.fold_in.properties(), "last": self.last}}
        return fold_in | ({} if self.scored is None else {"scored": self.scored})

    def matrix(self) -> Items:
        """The items, mapped."""
        return item_side(self.entries, self.column, self.last or 0.0)

    def column(self, name: str) -> NDArray[Any]:
        """A column of the item side, mapped."""
        store = open_store(self.root, self.access)
        entry = self.entries[f"{name}.npy"]
        with local_file(store, entry.name, entry.sha256, entry.size) as path:
            column: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return column

    def schema(self) -> pa.Schema:
        """The columns of a shard."""
        items = self.matrix()
        return users_schema(items.width, floors=self.scored is not None, of=vector_type(items))


class _OpenSide:
    """A user side in a task."""

    def __init__(self, side: UserSide) -> None:
        self._side, self.matrix = side, side.matrix()
        self._last = None if isinstance(self.matrix, SparseItems) else side.last
        self._source = _source(side, self.matrix)
        self.rows = inverse(self.matrix.ranks)  # of each item number, which is the item's rank

    def histories(self, batch: pa.RecordBatch) -> Histories:
        """Of a batch of `_histories`."""
        items, events, newest = (batch.column(name).flatten().to_numpy() for name in _HISTORY)
        lengths = batch.column("items").value_lengths().to_numpy()
        return Histories(Ragged.of_lengths(lengths, self.rows[items]), events, newest)

    def vectors(self, batch: pa.RecordBatch) -> NDArray[Any]:
        """float32 (U, d) or int32 (U, K): of a batch of histories, or of one that has them in the column `vector`."""
        side = self._side
        if side.fold_in is None:
            return as_matrix(batch.column("vector"))
        vectors = side.fold_in.vectors(self._source, self.histories(batch))
        return vectors if self._last is None else with_last(vectors, self._last)


def _source(side: UserSide, matrix: Items) -> NDArray[np.float32]:
    """What vectors are folded in from."""
    if isinstance(matrix, SparseItems):
        return np.zeros((len(matrix), 0), np.float32)
    if "queries.npy" in side.entries:
        return side.column("queries")
    return matrix.factors if side.last is None else matrix.factors[:, :-1]


def fold_in_users(pairs: DataFrame, side: UserSide) -> DataFrame:
    """(user_id string, vector array<float>) of all users of the pairs, folded in with all that they did."""
    folded = partial(_only_vectors, side)
    return _histories(pairs, "user_id").mapInArrow(folded, "user_id string, vector array<float>")


def write_users(users: DataFrame | LocalPairs, count: int, side: UserSide, store: Store) -> list[Entry]:
    """Write the shards of all users but those whose vectors are zero: nothing is known of them, so they are unknown users.

    Args:
        users: (user_id, vector); where vectors are folded in (user_id, item, events, newest), all that the users did, or the same here.
        count: how many users there are.
        side: how they become rows.
        store: where the shards go.
    """
    if isinstance(users, LocalPairs):
        cuts = shards_of(users.keys, shard_count(count)).searchsorted(np.arange(shard_count(count) + 1)).tolist()
        parts = [users.part(start, stop, shard) for shard, (start, stop) in enumerate(pairwise(cuts)) if start < stop]
        with all_cores() as pool:
            return write_user_shards_here(parts, count, store, side.schema(), partial(_finished, side), pool)
    columns = ("vector",) if side.fold_in is None else ("item", "events", "newest")
    keyed = users.select(F.crc32("user_id").alias("key"), F.col("user_id").alias("id"), *columns)
    placed = into_shards(keyed, count)
    rows = placed if side.fold_in is None else _histories(placed, "shard", "key", "id")
    return write_user_shards(rows, count, store, side.schema(), partial(_finished, side))


def user_rows(vectors: NDArray[Any], matrix: Items, curve: Curve, scored: int | None) -> list[NDArray[np.float64]]:
    """What a shard holds of users besides their vectors: the log-normalisers and, where not all items are scored, the floors.

    Args:
        vectors: float32 (U, d) or int32 (U, K).
        matrix: the items.
        curve: how products become exponents.
        scored: how many items of a user have a score; items that tie with the last of them have one too.

    Returns:
        float64 (U,) each.
    """
    if scored is None:
        if isinstance(matrix, ItemMatrix) and (native := kernel()) is not None:
            return [moments(native, vectors, matrix.factors, (curve.temperature, 0.0))[:, 0]]
        return [log_normalisers(vectors, matrix, curve)]
    best = top_n(vectors, matrix, min(scored + 1, len(matrix)))
    floors = best.products[:, min(scored, len(matrix)) - 1]
    exponents = np.where(best.products >= floors[:, None], curve.exponents(best.products), -np.inf)
    peaks = exponents[:, 0]
    return [peaks + np.log(np.exp(exponents - peaks[:, None]).sum(axis=1)), floors]


def with_last(vectors: NDArray[np.float32], last: float) -> NDArray[np.float32]:
    """float32 (U, d + 1): the vectors, each with a last component."""
    return np.column_stack([vectors, np.full(len(vectors), last, np.float32)])


def inverse(order: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """int32 (I,): the place of each of 0 .. I - 1 in their order."""
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places


def _histories(pairs: DataFrame, *by: str) -> DataFrame:
    """A row a user, with its items in ascending order and what goes with them: what is added up is added in one order."""
    entry = F.struct("item", F.col("events").cast("float").alias("events"), "newest")
    history = F.sort_array(F.collect_list(entry)).alias("history")
    columns = [
        F.col(f"history.{name}").alias(alias)
        for name, alias in zip(("item", "events", "newest"), _HISTORY, strict=True)
    ]
    return pairs.groupBy(*by).agg(history).select(*by, *columns)


def _only_vectors(side: UserSide, batches: Batches) -> Iterator[pa.RecordBatch]:
    opened = _OpenSide(side)
    for batch in batches:
        columns = [batch.column("user_id"), as_lists(opened.vectors(batch))]
        yield pa.RecordBatch.from_arrays(columns, ["user_id", "vector"])


def _finished(side: UserSide, batches: Batches) -> Iterator[pa.RecordBatch]:
    opened, schema = _OpenSide(side), side.schema()
    for batch in batches:
        found = opened.vectors(batch)
        learned = found.any(axis=1)
        if not learned.any():
            continue
        vectors, users = found[learned], batch.filter(pa.array(learned))
        numbers = user_rows(vectors, opened.matrix, side.curve, side.scored)
        lists = pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
        columns = [*(users.column(name) for name in ("shard", "key", "id")), lists, *map(pa.array, numbers)]
        yield pa.RecordBatch.from_arrays(columns, ["shard", *schema.names])
