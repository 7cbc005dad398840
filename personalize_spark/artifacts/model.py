"""A model on disk: written once by a training, read by every task of every job.

item_ids_json.indptr.npy  item_ids_json.values.npy           always, as are
popularity_order.npy  popularity.npy
factors.npy  norms.npy  ranks.npy  basis.npy                 the item matrix, rows by descending norm
screen.rows.npy  screen.blocks.npy  screen.turn.npy          its factors in 8 bits, for the compiled search
queries.npy                                                  items as questions, parallel to the factors
neighbours.indptr.npy  neighbours.values.npy                 for each item those like it, best first
users/00000.arrow ...                                        the shards of the user side: key, id, vector: float32[d],
                                                             log_normaliser and, where not all items are scored, floor
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from personalize_spark.artifacts.artifact import Artifact, Entry, write_column, write_ragged
from personalize_spark.artifacts.shards import USERS, RowSource, Shards
from personalize_spark.errors import ArtifactError
from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.screen import Screen
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import ItemMatrix, Items
from personalize_spark.scoring.users import UserRows, Users
from personalize_spark.storage.store import Store


def users_schema(rank: int, *, floors: bool = False, of: type[np.generic] = np.float32) -> pa.Schema:
    """The columns of a shard of users.

    Args:
        rank: length of the vectors.
        floors: not all items are scored, only those whose product reaches a user's floor.
        of: type of their numbers.
    """
    columns = {"key": pa.uint32(), "id": pa.binary(), "vector": pa.list_(pa.from_numpy_dtype(of), rank)}
    numbers = ("log_normaliser", "floor") if floors else ("log_normaliser",)
    return pa.schema({**columns, **dict.fromkeys(numbers, pa.float64())})


def vector_type(matrix: Items) -> type[np.generic]:
    """Of the numbers of a user's row: see `ItemMatrix` and `SparseItems`."""
    return np.int32 if isinstance(matrix, SparseItems) else np.float32


class StoredUsers:
    """Users looked up in the shards of a model, or in what was gathered from them."""

    def __init__(self, source: RowSource, matrix: Items, *, floors: bool) -> None:
        self._source, self._matrix, self._floors = source, matrix, floors

    def lookup(self, ids: Sequence[str]) -> UserRows:
        """See `scoring.users.Users`."""
        known = np.zeros(len(ids), np.bool_)
        vectors = np.zeros((len(ids), self._matrix.width), vector_type(self._matrix))
        numbers = {
            name: np.zeros(len(ids)) for name in (["log_normaliser", "floor"] if self._floors else ["log_normaliser"])
        }
        for found in self._source.find([each.encode() for each in ids]):
            column = found.table.column("vector")
            known[found.positions] = True
            vectors[found.positions] = column.flatten().to_numpy().reshape(-1, self._matrix.width)[found.rows]
            for name, values in numbers.items():
                values[found.positions] = found.table.column(name).to_numpy()[found.rows]
        return UserRows(known, vectors, numbers["log_normaliser"], numbers.get("floor"))


class UpdatedUsers:
    """Users looked up in an update of a model first, then in the model."""

    def __init__(self, update: Users, model: Users) -> None:
        self._update, self._model = update, model

    def lookup(self, ids: Sequence[str]) -> UserRows:
        """See `scoring.users.Users`."""
        new = self._update.lookup(ids)
        rest = np.flatnonzero(~new.known)
        old = self._model.lookup([ids[each] for each in rest.tolist()])
        for mine, theirs in (
            (new.known, old.known),
            (new.vectors, old.vectors),
            (new.log_normalisers, old.log_normalisers),
        ):
            mine[rest] = theirs
        if new.floors is not None and old.floors is not None:
            new.floors[rest] = old.floors
        return new


def updated(model: Model, update: Artifact, source: RowSource | None = None) -> Model:
    """The model with newer rows of some users; `source` has them, if not the shards."""
    if model.item_side is None or model.users is None:
        raise ArtifactError(f"{update.store.root} updates a model that has no users.")
    return replace(model, users=UpdatedUsers(_users(update, model.item_side, source), model.users))


def _users(artifact: Artifact, matrix: Items, source: RowSource | None) -> StoredUsers:
    floors = "scored" in artifact.properties
    return StoredUsers(source or Shards(artifact, USERS), matrix, floors=floors)


def write_items(store: Store, model: Model) -> list[Entry]:
    """Write the item side of a model."""
    columns: dict[str, NDArray[Any]] = {
        "popularity_order": model.popularity_order,
        "popularity": model.popularity,
    }
    if model.sparse is not None:
        columns |= {f"sparse.{name}": getattr(model.sparse, name) for name in ("weights", "decay", "prior", "ranks")}
    if model.matrix is not None:
        columns |= {"factors": model.matrix.factors, "norms": model.matrix.norms, "ranks": model.matrix.ranks}
        if model.matrix.basis is not None:
            columns["basis"] = model.matrix.basis
        if model.matrix.screen is not None:
            columns |= {f"screen.{name}": column for name, column in vars(model.matrix.screen).items()}
    if model.queries is not None:
        columns["queries"] = model.queries
    entries = [write_column(store, name, column) for name, column in columns.items()]
    entries += write_ragged(store, "item_ids_json", model.item_ids_json)
    if model.sparse is not None:
        entries += write_ragged(store, "sparse.leads", model.sparse.leads)
    if model.neighbours is not None:
        entries += write_ragged(store, "neighbours", model.neighbours)
    return entries


def item_side(names: Container[str], column: Callable[[str], NDArray[Any]], share: float = 0.0) -> Items:
    """Map the item side of a model that has one.

    Args:
        names: of the model's files.
        column: maps a column by its name.
        share: of the popularity, for `SparseItems`.
    """
    if "sparse.weights.npy" in names:
        leads = Ragged(column("sparse.leads.indptr"), column("sparse.leads.values"))
        weights, decay, prior, ranks = (column(f"sparse.{name}") for name in ("weights", "decay", "prior", "ranks"))
        return SparseItems(leads, weights, decay, prior, ranks, share)
    screen = None
    if "screen.rows.npy" in names:
        screen = Screen(**{each.name: column(f"screen.{each.name}") for each in fields(Screen)})
    basis = column("basis") if "basis.npy" in names else None
    return ItemMatrix(column("factors"), column("norms"), column("ranks"), basis, screen)


def curve_of(properties: Mapping[str, Any]) -> Curve:
    """That of a model by what its manifest says, which tells of no bend where the items have factors."""
    return Curve(properties.get("temperature", 1.0), properties.get("bend", 0.0))


def read_model(artifact: Artifact, source: RowSource | None = None) -> Model:
    """Map a model; `source` has its users, if not the shards."""
    item_ids_json = JsonTexts(**vars(artifact.ragged("item_ids_json")))
    model = Model(item_ids_json, artifact.column("popularity_order"), artifact.column("popularity"))
    if "queries.npy" in artifact.entries:
        model = replace(model, queries=artifact.column("queries"))
    if "neighbours.values.npy" in artifact.entries:
        model = replace(model, neighbours=artifact.ragged("neighbours"))
    if not {"factors.npy", "sparse.weights.npy"} & artifact.entries.keys():
        return model
    items = item_side(artifact.entries, artifact.column, artifact.properties.get("share", 0.0))
    users, curve = _users(artifact, items, source), curve_of(artifact.properties)
    if isinstance(items, SparseItems):
        return replace(model, sparse=items, users=users, curve=curve)
    return replace(model, matrix=items, users=users, curve=curve)
