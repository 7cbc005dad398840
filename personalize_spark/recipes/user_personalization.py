"""User-Personalization: `score(u, i) = exp(t w_u . w_i) / sum_j exp(t w_u . w_j)`, j over all items of the model.

The formula is the service's (developer guide, "How recommendation scoring works"); a filter takes items away and changes
no score. A user without a vector gets the popular items, each with its share of all interactions as score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from personalize_spark.recipes.recipe import Recipe, Settings
from personalize_spark.records import Object, Recommendations, ids_of
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import Selection, best_of, popular_of
from personalize_spark.scoring.softmax import probabilities


def _recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    if model.matrix is None or model.users is None:
        raise ValueError("the model has no factors")
    users = model.users.lookup(ids_of(lines, "userId"))
    known, strangers = np.flatnonzero(users.known), np.flatnonzero(~users.known)
    items = np.empty((len(lines), settings.num_results), np.int32)
    scores = np.empty(items.shape)
    best = best_of(users.vectors[known], model.matrix, settings.num_results, selection.of(known))
    items[known] = best.items
    scores[known] = probabilities(best.products, users.log_normalisers[known], model.temperature)
    items[strangers] = popular_of(model.popular, len(strangers), settings.num_results, selection.of(strangers))
    scores[strangers] = model.shares[items[strangers]]
    return Recommendations(items, scores)


USER_PERSONALIZATION = Recipe("aws-user-personalization", ("userId",), _recommend, explores=True)
