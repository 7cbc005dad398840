"""A client of Spark Connect, or the driver of a cluster, in a process of its own, whose frames are answered; the answers are told as JSON.

With `ship_model`, the catalog is gone before the first task starts.
"""

from __future__ import annotations

import json
import os
import shutil
import sys

from pyspark.sql import DataFrame, SparkSession

import personalize_spark as ps
from tests.servers import QUICK


def main(url: str, catalog: str, version: str) -> None:
    """Tell the answers with the catalog and without it."""
    session = _session(url)
    frame = session.createDataFrame([(1, "u1"), (2, "nobody"), (3, None)], "n INT, userId STRING").repartition(2)
    frames = [
        ps.recommend(frame, catalog=catalog, solution_version=version, num_results=2, ship_model=ship_model)
        for ship_model in (False, True)
    ]
    told = [_answers(frames[0])]
    shutil.rmtree(catalog)
    print(json.dumps([*told, _answers(frames[1])]))


def _session(url: str) -> SparkSession:
    if url.startswith("sc:"):
        return SparkSession.builder.remote(url).getOrCreate()
    builder = SparkSession.builder.master(url).config("spark.driver.host", "127.0.0.1")
    builder = builder.config("spark.executorEnv.PYTHONPATH", os.environ["PYTHONPATH"])
    builder = builder.config("spark.ui.enabled", "false").config("spark.driver.extraJavaOptions", QUICK)
    builder = builder.config("spark.executor.extraJavaOptions", QUICK)
    session: SparkSession = builder.config("spark.sql.shuffle.partitions", "1").getOrCreate()
    return session


def _answers(frame: DataFrame) -> list[list[object]]:
    return [[row["recommendedItems"], row["error"]] for row in frame.orderBy("n").collect()]


if __name__ == "__main__":
    main(*sys.argv[1:])
