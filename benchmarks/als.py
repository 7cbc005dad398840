"""Spark ML ALS as a contender: its model with our factors in the place of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import SparkSession

from benchmarks.factors import RANK


def open_als_session(cores: int) -> SparkSession:
    """A local session of so many cores, with memory to spare."""
    spark = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.driver.memory", "8g")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", 4 * cores)
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def als_model(
    spark: SparkSession, folder: Path, users: NDArray[np.float32], items: NDArray[np.float32], partitions: int
) -> ALSModel:
    """A model of users (U, d) and items (I, d) whose ids are their rows, saved in the folder unless it is there already."""
    if not folder.exists():
        ALS(rank=RANK).fit(spark.createDataFrame([(0, 0, 1.0)], "user int, item int, rating float")).save(str(folder))
        for side, factors in {"user": users, "item": items}.items():
            frame = spark.createDataFrame(_table(factors)).repartition(partitions)
            frame.write.mode("overwrite").parquet(f"{folder}/{side}Factors")
    return ALSModel.load(str(folder))


def _table(factors: NDArray[np.float32]) -> pa.Table:
    values = pa.ListArray.from_arrays(np.arange(len(factors) + 1, dtype=np.int32) * RANK, factors.ravel())
    return pa.table({"id": pa.array(np.arange(len(factors), dtype=np.int32)), "features": values})
