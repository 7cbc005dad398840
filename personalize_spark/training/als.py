"""Implicit ALS by Spark ML, with a column for popularity, calibrated; why it is so is in docs/decisions/0005-training.md.

An item's factors are those of ALS and ``c_i = log(1 + n_i) / log(1 + max n)`` of its n_i interactions; a user's vector ends
with ``POPULARITY log(1 + max n) / t``. So the exponent of the score is ``t x_u . y_i + POPULARITY log(1 + n_i)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.artifacts.artifact import Entry, write_column
from personalize_spark.artifacts.model import write_items
from personalize_spark.errors import DataError
from personalize_spark.scoring.topn import ItemMatrix
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
        written = write_factors(training, items, _item_factors(model, items.num_rows), _sample_of_users(model))
        hyperparameters = training.hyperparameters
        fold_in = AlsFoldIn(written.gram, hyperparameters.alpha, hyperparameters.regularization)
        side = user_side(training, written.entries, fold_in, "factors")
        out = held_out(pairs, side)
        prior = POPULARITY * written.popularity
        calibration = calibrate(out, side.matrix(), counts_of(items)[written.order], prior)
        last = written.last_component(calibration.temperature)
        side = replace(side, fold_in=replace(fold_in, popularity=last))
        out = replace(out, vectors=np.column_stack([out.vectors[:, :-1], np.full(len(out.vectors), last, np.float32)]))
        return finish_users(training, items, pairs, side, written.entries, out, calibration)


@dataclass(frozen=True)
class Written:
    """An item side that is written.

    Attributes:
        order: int64 (I,), the item of each row.
        entries: its files.
        gram: float64 (d, d), of ALS's factors; with it, new interactions can be folded in.
        popularity: float64 (I,), ``log(1 + n_i)`` of each row.
    """

    order: NDArray[np.int64]
    entries: list[Entry]
    gram: NDArray[np.float64]
    popularity: NDArray[np.float64]

    def last_component(self, temperature: float) -> float:
        """What the users' vectors end with."""
        return POPULARITY * float(self.popularity.max()) / temperature


def write_factors(
    training: Training, items: pa.Table, factors: NDArray[np.float32], users: NDArray[np.float32]
) -> Written:
    """Write the item side.

    Args:
        training: the training.
        items: the table of `interactions.collect_items`.
        factors: float32 (I, d), ALS's, by item number.
        users: float32 (any number, d), a sample.
    """
    popularity = np.log1p(counts_of(items))
    # what the users' vectors end with is not known yet; an equal share of the length is near it
    last = np.full(len(users), np.sqrt(np.mean(users**2)) if len(users) else 1.0, np.float32)
    ranks = np.arange(items.num_rows, dtype=np.int32)  # an item's number is its rank
    wide = np.column_stack([factors, popularity / popularity.max()]).astype(np.float32)
    matrix, order = ItemMatrix.sort(wide, ranks, np.column_stack([users, last]))
    products = gram(matrix.factors[:, :-1])
    entries = [
        *write_items(training.store, item_side(items, order, matrix)),
        write_column(training.store, "gram", products),
    ]
    return Written(order, entries, products, popularity[order])


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
