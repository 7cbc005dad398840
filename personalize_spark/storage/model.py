"""A model on disk: written once by a training, read by every task of every job.

texts.data.npy  texts.offsets.npy  popular.npy  shares.npy           always
factors.npy  norms.npy  ranks.npy                                    the item matrix, rows by descending norm
users/00000.arrow ...   key, id, vector: float32[d], log_normaliser  the shards of the user side
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from personalize_spark.scoring.model import Model, Texts, UserRows
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.storage.artifact import Artifact, Entry, write_column
from personalize_spark.storage.shards import Shards
from personalize_spark.storage.store import Store

USERS = "users"


def users_schema(rank: int) -> pa.Schema:
    """The columns of a shard of users."""
    return pa.schema(
        {"key": pa.uint32(), "id": pa.binary(), "vector": pa.list_(pa.float32(), rank), "log_normaliser": pa.float64()}
    )


class ShardedUsers:
    """Users looked up in the shards of a model."""

    def __init__(self, artifact: Artifact, rank: int) -> None:
        self._shards, self._rank = Shards(artifact, USERS), rank

    def lookup(self, ids: Sequence[bytes]) -> UserRows:
        """See `scoring.model.Users`."""
        known = np.zeros(len(ids), np.bool_)
        vectors = np.zeros((len(ids), self._rank), np.float32)
        log_normalisers = np.zeros(len(ids), np.float64)
        for found in self._shards.find(ids):
            column = found.table.column("vector")
            known[found.positions] = True
            vectors[found.positions] = column.flatten().to_numpy().reshape(-1, self._rank)[found.rows]
            log_normalisers[found.positions] = found.table.column("log_normaliser").to_numpy()[found.rows]
        return UserRows(known, vectors, log_normalisers)


def write_items(store: Store, model: Model) -> list[Entry]:
    """Write the item side of a model."""
    columns: dict[str, NDArray[Any]] = {
        "texts.data": model.texts.data,
        "texts.offsets": model.texts.offsets,
        "popular": model.popular,
        "shares": model.shares,
    }
    if model.matrix is not None:
        columns |= {"factors": model.matrix.factors, "norms": model.matrix.norms, "ranks": model.matrix.ranks}
        if model.matrix.basis is not None:
            columns["basis"] = model.matrix.basis
    return [write_column(store, name, column) for name, column in columns.items()]


def read_model(artifact: Artifact) -> Model:
    """Map a model."""
    texts = Texts(artifact.column("texts.data"), artifact.column("texts.offsets"))
    popular, shares = artifact.column("popular"), artifact.column("shares")
    if "factors.npy" not in artifact.entries:
        return Model(texts, popular, shares)
    basis = artifact.column("basis") if "basis.npy" in artifact.entries else None
    matrix = ItemMatrix(artifact.column("factors"), artifact.column("norms"), artifact.column("ranks"), basis)
    users = ShardedUsers(artifact, matrix.factors.shape[1])
    return Model(texts, popular, shares, matrix, users, artifact.properties["temperature"])
