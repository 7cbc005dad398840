"""Implicit ALS by Spark ML; why it is so is in docs/decisions/0005-training.md."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.errors import DataError
from personalize_spark.spark import collect_arrow
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.factors import Factors, UserSource
from personalize_spark.training.fold_in import AlsFoldIn
from personalize_spark.training.interactions import known
from personalize_spark.training.training import Training
from personalize_spark.training.vectors import as_matrix

_PAIRS_PER_BLOCK = 500_000
_REMEDY = "lower --alpha or raise --regularization."
_SAMPLE = 4096


def train_als(training: Training) -> Factors:
    """Fit ALS."""
    items, pairs = training.numbered
    settings = training.hyperparameters
    model = fit(pairs, settings)
    fold_in = partial(AlsFoldIn.of, alpha=settings.alpha, regularization=settings.regularization)
    return Factors(
        items,
        _item_factors(model, items.num_rows),
        users=UserSource(pairs, training.totals.users, fold_in),
        sample=_sample_of_users(model),
        popular=True,
        properties={"hyperparameters": asdict(settings)},
    )


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
    table = collect_arrow(model.itemFactors)
    factors = np.zeros((items, model.rank), np.float32)
    factors[table.column("id").to_numpy()] = as_matrix(table.column("features"))
    if not np.isfinite(factors).all():
        raise DataError(f"ALS ended with factors that are not finite: {_REMEDY}")
    return factors


def _sample_of_users(model: ALSModel) -> NDArray[np.float32]:
    """Users are numbered by a hash first, so the first of them are as good as any."""
    return as_matrix(collect_arrow(model.userFactors.orderBy("id").limit(_SAMPLE)).column("features"))
