"""User-Personalization-v2: the same formula over a subset of the items, the user's best ones; the rest of a list is popular.

The subset of a user are the items whose product reaches the user's floor; their scores total 1. A filter may leave fewer of
them than were asked for: then follow the most popular items that pass, with the score 0.0 (developer guide, "Recommendation
reasons": placeholder items have no relevance score).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from personalize_spark.recipes.recipe import USER_ID, Settings
from personalize_spark.recommendations import Recommendations
from personalize_spark.records import Object, ids_of
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import Selection, best_of, filled, popular_of
from personalize_spark.scoring.softmax import probabilities


def recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """Answer good lines; see `Recipe.recommend`."""
    matrix, source = model.sides()
    users, n = source.lookup(ids_of(lines, USER_ID)), settings.num_results
    known, unknown = np.flatnonzero(users.known), np.flatnonzero(~users.known)
    items, scores = np.empty((len(lines), n), np.int32), np.empty((len(lines), n))
    own, of_own = users.take(known), selection.take(known)
    best = best_of(own.vectors, matrix, n, of_own)
    outside = np.zeros(best.items.shape, np.bool_) if own.floors is None else best.products < own.floors[:, None]
    items[known] = filled(np.where(outside, -1, best.items), model.popularity_order, of_own)
    products = np.where(outside, -np.inf, best.products)
    scores[known] = probabilities(products, own.log_normalisers, model.curve)
    items[unknown] = popular_of(model.popularity_order, len(unknown), n, selection.take(unknown))
    scores[unknown] = model.popularity[items[unknown]]
    return Recommendations.of(items, scores, ~users.known)
