"""What a user's newest items lead to.

The matrix of `cooccurrence`, in which what follows counts more than what came before, is factorised, ``s = U diag(l) V'``; a
user's vector adds up the rows of U of the newest items (`fold_in.RecentFoldIn`), an item's factors are its row of ``V diag(l)``. So the product is what the items of the history say
of an item, the newest one loudest. The items' popularity joins it, see `temperature`.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from personalize_spark.training.cooccurrence import Closeness, cooccurrences
from personalize_spark.training.factors import Factors, UserSource
from personalize_spark.training.fold_in import RecentFoldIn
from personalize_spark.training.interactions import known
from personalize_spark.training.lsa import singular
from personalize_spark.training.training import Training

_CLOSENESS = Closeness(half_life=5.0, power=0.5, shrinkage=20.0, backward=0.3)
_HALF_LIFE = 3.0


def train_sequences(training: Training) -> Factors:
    """Factorise the closeness of items."""
    items, pairs = training.numbered()
    met = cooccurrences(known(pairs), items.num_rows, _CLOSENESS).kept()
    left, values, right = singular(met, training.hyperparameters.rank)
    return Factors(
        items,
        (right * values).astype(np.float32),
        queries=left.astype(np.float32),
        users=UserSource(pairs, training.totals.users, lambda _: RecentFoldIn(_HALF_LIFE)),
        popular=True,
        scored=training.recipe.scored,
        properties={"hyperparameters": asdict(training.hyperparameters)},
    )
