"""User-Personalization: `score(u, i) = exp(t w_u . w_i) / sum_j exp(t w_u . w_j)`, j over all items of the model.

The formula is the service's (developer guide, "How recommendation scoring works"). A user without a vector gets the
popular items, each with its share of all interactions as score.
"""

from __future__ import annotations

import numpy as np

from personalize_spark.recipes.recipe import Recipe, Settings, popular
from personalize_spark.records import Recommendations, Records
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.softmax import probabilities
from personalize_spark.scoring.topn import top_n


def _recommend(model: Model, records: Records, settings: Settings) -> Recommendations:
    if model.matrix is None or model.users is None:
        raise ValueError("the model has no factors")
    users = model.users.lookup(records.ids("userId"))
    items = popular(model, len(records.objects), settings).copy()
    scores = model.shares[items]
    best = top_n(users.vectors[users.known], model.matrix, items.shape[1])
    items[users.known] = best.items
    scores[users.known] = probabilities(best.products, users.log_normalisers[users.known], model.temperature)
    return Recommendations(items, np.where(items >= 0, scores, 0.0))


USER_PERSONALIZATION = Recipe("aws-user-personalization", ("userId",), _recommend, explores=True)
