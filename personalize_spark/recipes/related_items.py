"""Similar-Items, SIMS and Semantic-Similarity: items like a given one, without scores; never the item itself.

An item that the model does not know, or of which it knows too little, gets the popular items; these also follow where a list
would be too short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from personalize_spark.recipes.recipe import ITEM_ID, Settings
from personalize_spark.records import Object, Recommendations, ids_of
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import Selection, best_of, filled, first_of, popular_of


def by_factors(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """The order is that of `q_i . w_j`."""
    return _by_products(model, lines, settings.num_results, selection, {})


def by_words(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """The order is that of `q_i . w_j + POPULARITY p_j + FRESHNESS f_j`: p and f are the last two columns of the factors."""
    influence = {-2: settings.popularity, -1: settings.freshness}
    return _by_products(model, lines, settings.num_results, selection, influence)


def _by_products(
    model: Model, lines: Sequence[Object], n: int, selection: Selection, influence: Mapping[int, float]
) -> Recommendations:
    if model.matrix is None or model.queries is None:
        raise ValueError("the model has no factors")
    rows = model.rows_of(ids_of(lines, ITEM_ID))
    asked = np.flatnonzero(rows >= 0)
    asked = asked[model.queries[rows[asked]].any(axis=1)]
    queries = model.queries[rows[asked]]
    for column, weight in influence.items():
        queries[:, column] = weight
    items = np.full((len(lines), n), -1, np.int32)
    items[asked] = best_of(queries, model.matrix, n, selection.take(asked).without_own(rows[asked])).items
    return _completed(model, items, rows, selection)


def by_neighbours(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """The order is that of the model's lists."""
    if model.neighbours is None:
        raise ValueError("the model has no neighbours")
    rows = model.rows_of(ids_of(lines, ITEM_ID))
    asked = np.flatnonzero(rows >= 0)
    items = np.full((len(lines), settings.num_results), -1, np.int32)
    items[asked] = first_of(model.neighbours.take(rows[asked]), settings.num_results, selection.take(asked))
    return _completed(model, items, rows, selection)


def _completed(
    model: Model, items: NDArray[np.int32], rows: NDArray[np.int64], selection: Selection
) -> Recommendations:
    known = np.flatnonzero(rows >= 0)
    items[known] = filled(items[known], model.popularity_order, selection.take(known).without_own(rows[known]))
    unknown = np.flatnonzero(rows < 0)
    items[unknown] = popular_of(model.popularity_order, len(unknown), items.shape[1], selection.take(unknown))
    return Recommendations.of(items, None, rows < 0)
