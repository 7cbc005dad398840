"""Implicit ALS: in the driver's process while the pairs fit there, by Spark ML beyond; why is in docs/decisions/0005-training.md."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.errors import DataError
from personalize_spark.spark import collect_arrow
from personalize_spark.training.alternating import Pairs, alternate
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.factors import Factors, UserSource
from personalize_spark.training.fold_in import AlsFoldIn
from personalize_spark.training.interactions import known
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.spark_als import SAMPLE, fit_by_spark
from personalize_spark.training.training import Training

MOST_INTERACTIONS = 40_000_000
"""As many fit in the driver: some 60 bytes for each pair, and the factors of all users."""
_REMEDY = "lower --alpha or raise --regularization."


def train_als(training: Training) -> Factors:
    """Fit ALS.

    Raises:
        DataError: there is no solution, or ALS diverged.
    """
    settings = training.hyperparameters
    table, pairs = training.source
    try:
        users, items = _fitted(pairs, table.num_rows, training.totals.interactions, settings)
    except np.linalg.LinAlgError as error:
        raise DataError(f"ALS has no solution for these interactions: {_REMEDY}") from error
    if not np.isfinite(items).all():
        raise DataError(f"ALS ended with factors that are not finite: {_REMEDY}")
    fold_in = partial(AlsFoldIn.of, alpha=settings.alpha, regularization=settings.regularization)
    return Factors(
        table,
        items,
        users=UserSource(pairs, training.totals.users, fold_in),
        sample=users,
        popular=True,
        properties={"hyperparameters": asdict(settings)},
    )


def fits_here(interactions: int) -> bool:
    """Whether so many are trained in this process."""
    return interactions <= MOST_INTERACTIONS


def _fitted(
    pairs: DataFrame | LocalPairs, items: int, interactions: int, settings: Hyperparameters
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `fit`."""
    if isinstance(pairs, LocalPairs):
        return fit(pairs.known(), settings)
    return (
        fit(_collected(known(pairs), items), settings)
        if fits_here(interactions)
        else fit_by_spark(known(pairs), items, settings)
    )


def fit(pairs: Pairs, settings: Hyperparameters) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The factors of the first `SAMPLE` users, float32 (at most SAMPLE, d), and of items, float32 (items, d), by number.

    Raises:
        numpy.linalg.LinAlgError: there is no solution.
    """
    of_users, of_items = alternate(pairs, settings)
    return of_users[:SAMPLE], of_items


def _collected(pairs: DataFrame, items: int) -> Pairs:
    """The pairs of a frame, those of users by number."""
    rows = collect_arrow(pairs.select("user", "item", F.col("events").cast("float")))
    numbers, users = np.unique(rows.column("user").to_numpy(), return_inverse=True)
    met, events = rows.column("item").to_numpy(), rows.column("events").to_numpy()
    return Pairs(users, met, events, (len(numbers), items))
