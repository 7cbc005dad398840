"""Implicit ALS by Spark ML, for more pairs than the driver holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.spark import collect_arrow
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.vectors import as_matrix

SAMPLE = 4096
"""Users whose factors a fit gives. They are numbered by a hash first, so the first of them are as good as any."""
_PAIRS_PER_BLOCK = 500_000


def fit_by_spark(
    pairs: DataFrame, items: int, settings: Hyperparameters
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `als.fit`.

    The number of blocks follows from the data, not from the cluster: ALS draws its first factors block by block.

    Raises:
        numpy.linalg.LinAlgError: there is no solution.
    """
    fitted = pairs.select("user", "item", F.col("events").cast("float"))
    blocks = max(2, -(-fitted.count() // _PAIRS_PER_BLOCK))
    als = ALS(
        rank=settings.rank,
        maxIter=settings.iterations,
        regParam=settings.regularization,
        alpha=settings.alpha,
        seed=settings.seed,
        implicitPrefs=True,
        numUserBlocks=blocks,
        numItemBlocks=blocks,
        userCol="user",
        itemCol="item",
        ratingCol="events",
    )
    try:
        # always cut and ordered alike, however the joins before were run: so sums are added in the same order
        model = als.fit(fitted.repartition(blocks, "user").sortWithinPartitions("user", "item"))
    except Exception as error:  # py4j's errors have no common base
        if "SingularMatrixException" in str(error):
            raise np.linalg.LinAlgError(str(error)) from error
        raise
    users = as_matrix(collect_arrow(model.userFactors.orderBy("id").limit(SAMPLE)).column("features"))
    table = collect_arrow(model.itemFactors)
    factors = np.zeros((items, model.rank), np.float32)  # an item whose every interaction is held out stays 0
    factors[table.column("id").to_numpy()] = as_matrix(table.column("features"))
    return users, factors
