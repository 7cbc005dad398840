"""Implicit ALS by Spark ML, with a column for popularity, calibrated; why it is so is in docs/decisions/0005-training.md.

An item's factors are those of ALS and ``c_i = log(1 + n_i) / log(1 + max n)`` of its n_i interactions; a user's vector ends
with ``POPULARITY log(1 + max n) / t``. So the exponent of the score is ``t x_u . y_i + POPULARITY log(1 + n_i)``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.errors import DataError
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.storage.artifact import write_column
from personalize_spark.storage.model import write_items
from personalize_spark.training.calibration import calibrate, finish_users, user_side
from personalize_spark.training.fold_in import AlsFoldIn, gram
from personalize_spark.training.interactions import collect_items, known, number_items, number_pairs, persisted
from personalize_spark.training.popularity import counts_of, item_side
from personalize_spark.training.training import Hyperparameters, Trained, Training
from personalize_spark.training.users import held_out

_PAIRS_PER_BLOCK = 500_000
_REMEDY = "lower --alpha or raise --regularization."
POPULARITY = 0.3
"""How much a popular item is preferred: the share of its log popularity that joins the exponent."""
_SAMPLE = 4096
"""Users that `ItemMatrix` learns its bounds from."""


def train_als(training: Training) -> Trained:
    """The recipes aws-user-personalization, aws-hrnn and aws-personalized-ranking, and their kin."""
    with (
        persisted(number_items(training.pairs)) as numbered,
        persisted(number_pairs(training.pairs, numbered)) as pairs,
    ):
        items = collect_items(numbered)
        model = fit(pairs, training.hyperparameters)
        popularity = np.log1p(counts_of(items))
        factors = np.column_stack([_item_factors(model, items.num_rows), popularity / popularity.max()])
        ranks = np.arange(items.num_rows, dtype=np.int32)  # an item's number is its rank
        matrix, order = ItemMatrix.sort(factors.astype(np.float32), ranks, _sample_of_users(model))
        entries = write_items(training.store, item_side(items, order, matrix))
        products = gram(matrix.factors[:, :-1])
        entries.append(write_column(training.store, "gram", products))  # with it, new interactions can be folded in
        hyperparameters = training.hyperparameters
        fold_in = AlsFoldIn(products, hyperparameters.alpha, hyperparameters.regularization)
        side = user_side(training, entries, fold_in, "factors")
        out = held_out(pairs, side)
        prior = POPULARITY * popularity[order]
        calibration = calibrate(out, matrix, counts_of(items)[order], prior)
        last = POPULARITY * float(popularity.max()) / calibration.temperature
        side = replace(side, fold_in=replace(fold_in, popularity=last))
        out = replace(out, vectors=np.column_stack([out.vectors[:, :-1], np.full(len(out.vectors), last, np.float32)]))
        return finish_users(training, items, pairs, side, entries, out, calibration)


def fit(pairs: DataFrame, hyperparameters: Hyperparameters) -> ALSModel:
    """Fit ALS to the pairs that are not held out.

    The number of blocks follows from the data, not from the cluster: ALS draws its first factors block by block.

    Raises:
        DataError: there is no solution.
    """
    fitted = known(pairs).select("user", "item", F.col("events").cast("float"))
    blocks = max(2, -(-fitted.count() // _PAIRS_PER_BLOCK))
    als = ALS(
        rank=hyperparameters.rank,
        maxIter=hyperparameters.iterations,
        regParam=hyperparameters.regularization,
        alpha=hyperparameters.alpha,
        seed=hyperparameters.seed,
        implicitPrefs=True,
        numUserBlocks=blocks,
        numItemBlocks=blocks,
        userCol="user",
        itemCol="item",
        ratingCol="events",
    )
    try:
        # always cut and ordered alike, however the joins before were run: so sums are added in the same order
        return als.fit(fitted.repartition(blocks, "user").sortWithinPartitions("user", "item"))
    except Exception as error:  # py4j's errors have no common base
        if "SingularMatrixException" in str(error):
            raise DataError(f"ALS has no solution for these interactions: {_REMEDY}") from error
        raise


def _item_factors(model: ALSModel, items: int) -> NDArray[np.float32]:
    """float32 (I, d): the factors of each item number; zeros for an item whose every interaction is held out.

    Raises:
        DataError: ALS diverged.
    """
    table = model.itemFactors.toArrow()
    factors = np.zeros((items, model.rank), np.float32)
    factors[table.column("id").to_numpy()] = _matrix(table, model.rank)
    if not np.isfinite(factors).all():
        raise DataError(f"ALS ended with factors that are not finite: {_REMEDY}")
    return factors


def _sample_of_users(model: ALSModel) -> NDArray[np.float32]:
    """Users are numbered by a hash first, so the first of them are as good as any."""
    found = _matrix(model.userFactors.orderBy("id").limit(_SAMPLE).toArrow(), model.rank)
    # what stands in the last component is not known yet; an equal share of the length is near it
    last = np.sqrt(np.mean(found**2)) if len(found) else 1.0
    return np.column_stack([found, np.full(len(found), last, np.float32)])


def _matrix(table: pa.Table, rank: int) -> NDArray[np.float32]:
    values: NDArray[np.float32] = table.column("features").combine_chunks().flatten().to_numpy()
    return values.reshape(-1, rank)
