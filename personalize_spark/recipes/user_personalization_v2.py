"""User-Personalization-v2: the same formula over a subset of the items, the user's best ones; the rest of a list is popular.

The subset of a user are the items whose product reaches the user's floor; their scores total 1. A filter may leave fewer of
them than were asked for: then follow the most popular items that pass, with the score 0.0 (developer guide, "Recommendation
reasons": placeholder items have no relevance score).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from personalize_spark.recipes.recipe import USER_ID, Settings
from personalize_spark.records import Object, Recommendations, ids_of
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import Selection, best_of, filled, popular_of
from personalize_spark.scoring.softmax import probabilities


def recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """Answer good lines; see `Recipe.recommend`."""
    if model.matrix is None or model.users is None:
        raise ValueError("the model has no factors")
    users = model.users.lookup([name.encode() for name in ids_of(lines, USER_ID)])
    known, strangers = np.flatnonzero(users.known), np.flatnonzero(~users.known)
    own, n = selection.take(known), settings.num_results
    items = np.empty((len(lines), n), np.int32)
    scores = np.empty(items.shape)
    best = best_of(users.vectors[known], model.matrix, n, own)
    floors = np.full(len(known), -np.inf) if users.floors is None else users.floors[known]
    outside = best.products < floors[:, None]
    items[known] = filled(np.where(outside, -1, best.items), model.popularity_order, own)
    scores[known] = probabilities(
        np.where(outside, -np.inf, best.products), users.log_normalisers[known], model.temperature
    )
    items[strangers] = popular_of(model.popularity_order, len(strangers), n, selection.take(strangers))
    scores[strangers] = model.popularity[items[strangers]]
    return Recommendations.of(items, scores)
