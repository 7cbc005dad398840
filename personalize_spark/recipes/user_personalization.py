"""User-Personalization and the HRNN family: `score(u, i) = exp(t w_u . w_i) / sum_j exp(t w_u . w_j)`, j over all items.

The formula is the service's (developer guide, "How recommendation scoring works"); a filter takes items away and changes
no score. A user without a vector gets the popular items, each with its share of all interactions as score.
User-Personalization explores: see `scoring.exploration`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from personalize_spark.recipes.recipe import USER_ID, Settings
from personalize_spark.records import Object, Recommendations, ids_of
from personalize_spark.scoring.exploration import Audience, Cold, explored, hashes
from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.model import Model, UserRows
from personalize_spark.scoring.selection import Selection, best_of, popular_of
from personalize_spark.scoring.softmax import probabilities

Lists = tuple[NDArray[np.int32], NDArray[np.float64]]
"""Items (U, n), -1 past the end, and their scores."""


def recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """Answer good lines; see `Recipe.recommend`."""
    matrix, names = model.matrix, ids_of(lines, USER_ID)
    if matrix is None or model.users is None:
        raise ValueError("the model has no factors")
    users = model.users.lookup([name.encode() for name in names])
    known, strangers = np.flatnonzero(users.known), np.flatnonzero(~users.known)
    items = np.empty((len(lines), settings.num_results), np.int32)
    scores = np.empty(items.shape)
    own = selection.take(known)
    if model.cold is None:
        items[known], scores[known] = _relevant(model, matrix, users, known, settings.num_results, own)
    else:
        some = [names[line] for line in known]
        items[known], scores[known] = _exploring(
            model, matrix, users, known, settings.num_results, own, model.cold, some
        )
    items[strangers] = popular_of(
        model.popularity_order, len(strangers), settings.num_results, selection.take(strangers)
    )
    scores[strangers] = model.popularity[items[strangers]]
    return Recommendations.of(items, scores)


def _relevant(
    model: Model, matrix: ItemMatrix, users: UserRows, known: NDArray[np.int64], n: int, selection: Selection
) -> Lists:
    best = best_of(users.vectors[known], matrix, n, selection)
    return best.items, probabilities(best.products, users.log_normalisers[known], model.temperature)


def _exploring(
    model: Model,
    matrix: ItemMatrix,
    users: UserRows,
    known: NDArray[np.int64],
    n: int,
    selection: Selection,
    cold: Cold,
    names: Sequence[str],
) -> Lists:
    """The items in scope of exploration are taken out of the search, and put in again with their bonus."""
    included = selection.included or Masks.same(np.ones(len(model.item_ids_json), np.bool_), len(known))
    also = selection.also_included
    also = also and also.where(~np.isin(also.values, cold.rows))
    others = Selection(included.without(cold.rows), selection.excluded, also).below(len(matrix.factors))
    items, scores = _relevant(model, matrix, users, known, n, others)
    audience = Audience(hashes(names), users.vectors[known], users.log_normalisers[known], model.temperature)
    found, bonuses = explored(audience, matrix, cold, selection, n)
    scores = np.concatenate([np.where(items < 0, -1.0, scores / (1 + cold.mass)), bonuses], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    both = np.concatenate([items, found.astype(np.int32)], axis=1)
    return np.take_along_axis(both, order, axis=1), np.take_along_axis(scores, order, axis=1)
