"""Popularity: how often each item was interacted with."""

from __future__ import annotations

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from personalize_spark.artifacts.model import write_items
from personalize_spark.scoring.model import JsonTexts, Model
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.training.interactions import collect_items, number_items
from personalize_spark.training.training import Trained, Training


def train_popularity(training: Training) -> Trained:
    """The recipe aws-popularity-count."""
    items = collect_items(number_items(training.pairs))
    order = np.argsort(-counts_of(items), kind="stable")
    return Trained(write_items(training.store, item_side(items, order)), {"items": len(order)})


def counts_of(items: pa.Table) -> NDArray[np.int64]:
    """int64 (I,): the number of interactions of each item."""
    counts: NDArray[np.int64] = items.column("events").to_numpy()
    return counts


def item_side(items: pa.Table, order: NDArray[np.int64], matrix: ItemMatrix | None = None) -> Model:
    """The item side of a model.

    Args:
        items: the table of `interactions.collect_items`.
        order: int64 (I,), the item of each row of the model.
        matrix: the factors, in that order.
    """
    texts = JsonTexts.of([orjson.dumps(text) for text in items.column("item_id").take(pa.array(order)).to_pylist()])
    counts = counts_of(items)[order]
    popular = np.lexsort((order, -counts)).astype(np.int32)
    return Model(texts, popular, counts / max(1, counts.sum()), matrix)
