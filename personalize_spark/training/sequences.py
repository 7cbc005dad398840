"""User-Personalization-v2 and Personalized-Ranking-v2: what a user's newest items lead to.

The matrix of `cooccurrence` is factorised, ``s = V diag(l) V'``; a user's vector adds up the rows of V of the newest items
(`fold_in.RecentFoldIn`), an item's factors are its row of ``V diag(l)``. So the product is what the items of the history say
of an item, the newest one loudest.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from personalize_spark.artifacts.model import write_items
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.training.calibration import calibrate, finish_users, user_side
from personalize_spark.training.cooccurrence import Closeness, cooccurrences
from personalize_spark.training.fold_in import RecentFoldIn
from personalize_spark.training.interactions import collect_items, known, number_items, number_pairs, persisted
from personalize_spark.training.lsa import factors_of
from personalize_spark.training.popularity import counts_of, item_side
from personalize_spark.training.training import Trained, Training
from personalize_spark.training.users import held_out

_CLOSENESS = Closeness(half_life=5.0, power=0.5, shrinkage=20.0)
_HALF_LIFE = 3.0
_SAMPLE = 4096
"""Items that `ItemMatrix` learns its bounds from, in place of users."""


def train_sequences(training: Training) -> Trained:
    """The recipes aws-user-personalization-v2 and aws-personalized-ranking-v2."""
    with (
        persisted(number_items(training.pairs)) as numbered,
        persisted(number_pairs(training.pairs, numbered)) as pairs,
    ):
        items = collect_items(numbered)
        met = cooccurrences(known(pairs), items.num_rows, _CLOSENESS).symmetric()
        values, vectors = factors_of(met, training.hyperparameters.rank)
        queries, factors = vectors.astype(np.float32), (vectors * values).astype(np.float32)
        sample = queries[np.argsort(-counts_of(items), kind="stable")[:_SAMPLE]]
        matrix, order = ItemMatrix.sort(factors, np.arange(items.num_rows, dtype=np.int32), sample)
        model = replace(item_side(items, order, matrix), queries=queries[order])
        entries = write_items(training.store, model)
        side = user_side(training, entries, RecentFoldIn(_HALF_LIFE), "queries", training.recipe.scored)
        out = held_out(pairs, side)
        calibration = calibrate(out, matrix, counts_of(items)[order])
        return finish_users(training, items, pairs, side, entries, out, calibration)
