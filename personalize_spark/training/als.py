"""Implicit ALS by Spark ML, calibrated; why it is done this way is in docs/decisions/0005-training.md."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.errors import DataError
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.storage.artifact import Entry, write_column
from personalize_spark.storage.model import write_items
from personalize_spark.training.fold_in import FoldIn, gram
from personalize_spark.training.interactions import collect_items, known, number_items, number_pairs, persisted
from personalize_spark.training.popularity import counts_of, item_side
from personalize_spark.training.temperature import fit_temperature
from personalize_spark.training.training import Hyperparameters, Trained, Training
from personalize_spark.training.users import UserSide, calibration_set, write_users

_PAIRS_PER_BLOCK = 500_000
_REMEDY = "lower --alpha or raise --regularization."
_SAMPLE = 4096
"""Users that `ItemMatrix` learns its bounds from."""


def train_als(training: Training) -> Trained:
    """The recipe aws-user-personalization."""
    with (
        persisted(number_items(training.pairs)) as numbered,
        persisted(number_pairs(training.pairs, numbered)) as pairs,
    ):
        items = collect_items(numbered)
        model = fit(pairs, training.hyperparameters)
        factors = _item_factors(model, items.num_rows)
        ranks = np.arange(items.num_rows, dtype=np.int32)  # an item's number is its rank
        matrix, order = ItemMatrix.sort(factors, ranks, _sample_of_users(model))
        entries = write_items(training.store, item_side(items, order, matrix))
        side = _user_side(training, matrix, entries)
        users, targets = calibration_set(pairs, side)
        temperature, metrics = _calibrate(users, targets, matrix, counts_of(items)[order])
        entries += write_users(pairs, side, temperature, training.totals.users)
    return Trained(
        entries,
        {
            "items": items.num_rows,
            "users": training.totals.users,
            "rank": side.rank,
            "temperature": temperature,
            "hyperparameters": asdict(training.hyperparameters),
            "metrics": metrics,
        },
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
    table = model.itemFactors.toArrow()
    factors = np.zeros((items, model.rank), np.float32)
    factors[table.column("id").to_numpy()] = _matrix(table, model.rank)
    if not np.isfinite(factors).all():
        raise DataError(f"ALS ended with factors that are not finite: {_REMEDY}")
    return factors


def _sample_of_users(model: ALSModel) -> NDArray[np.float32]:
    """Users are numbered by a hash first, so the first of them are as good as any."""
    return _matrix(model.userFactors.orderBy("id").limit(_SAMPLE).toArrow(), model.rank)


def _matrix(table: pa.Table, rank: int) -> NDArray[np.float32]:
    values: NDArray[np.float32] = table.column("features").combine_chunks().flatten().to_numpy()
    return values.reshape(-1, rank)


def _user_side(training: Training, matrix: ItemMatrix, entries: list[Entry]) -> UserSide:
    products = gram(matrix.factors)
    fold_in = FoldIn(products, training.hyperparameters.alpha, training.hyperparameters.regularization)
    named = {entry.name: entry for entry in entries}
    entries.append(write_column(training.store, "gram", products))  # with it, new interactions can be folded in
    return UserSide(training.store.root, training.store.access, named["factors.npy"], named["ranks.npy"], fold_in)


def _calibrate(
    users: NDArray[np.float32], targets: NDArray[np.int64], matrix: ItemMatrix, counts: NDArray[np.int64]
) -> tuple[float, dict[str, Any]]:
    """The temperature, and metrics: mean losses in nats of the held-out items, beside those of simpler scores."""
    if not len(users):
        return 1.0, {"heldOutUsers": 0}
    calibration = fit_temperature(users, targets, matrix.factors)
    # plus one, as the held-out interaction of an item may be its only one
    popularity = counts + 1 - np.bincount(targets, minlength=len(counts))
    return calibration.temperature, {
        "heldOutUsers": len(users),
        "logLoss": calibration.log_loss,
        "logLossUniform": float(np.log(len(counts))),
        "logLossPopularity": float(np.mean(np.log(popularity.sum()) - np.log(popularity[targets]))),
    }
