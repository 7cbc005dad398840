"""What is learned from MovieLens, on a split by time: the last fifth of each user's items is what they came to next."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.topn import products_of
from personalize_spark.solutions.train import Hyperparameters, train

pytestmark = [pytest.mark.spark, pytest.mark.movielens, pytest.mark.usefixtures("compiled")]

GROUP = Arn("aws", "us-east-1", "000000000000", "dataset-group", "movielens")
Items = dict[str, set[str]]


@pytest.fixture(scope="module")
def split(_spark_session: SparkSession, movielens: Path) -> DataFrame:
    """The interactions, with a column `past`: not among the last fifth of the user's items."""
    schema = "USER_ID string, ITEM_ID string, TIMESTAMP long, EVENT_TYPE string"
    rows = _spark_session.read.csv(str(movielens / "interactions.csv"), schema, header=True)
    pairs = rows.groupBy("USER_ID", "ITEM_ID").agg(F.max("TIMESTAMP").alias("newest"))
    place = F.percent_rank().over(Window.partitionBy("USER_ID").orderBy("newest", "ITEM_ID"))
    return rows.join(pairs.select("USER_ID", "ITEM_ID", (place < 0.8).alias("past")), ["USER_ID", "ITEM_ID"]).cache()


@pytest.fixture(scope="module")
def learned(_spark_session: SparkSession, split: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The model of the past, with the default hyperparameters."""
    catalog = Catalog(f"file://{tmp_path_factory.mktemp('movielens')}")
    dataset = GROUP.sibling("dataset", "movielens", "INTERACTIONS")
    uri = f"{catalog.uri}/datasets/movielens/interactions"
    split.where("past").drop("past").write.format("delta").save(uri)
    catalog.create(GROUP, {"name": "movielens"})
    catalog.create(dataset, {"path": uri, "deltaVersion": 0})
    arn = train(_spark_session, catalog, "movielens", "aws-user-personalization", "films", Hyperparameters())
    fields = catalog.read(arn).fields
    print(fields)
    return Pinned(**fields["model"]).open()


def items_of(split: DataFrame, past: bool) -> Items:  # noqa: FBT001
    rows = split.where(F.col("past") == past).groupBy("USER_ID").agg(F.collect_set("ITEM_ID").alias("items")).collect()
    return {row["USER_ID"]: set(row["items"]) for row in rows}


def ndcg_and_recall(
    model: Model, scores: NDArray[np.float64], past: list[set[str]], future: list[set[str]]
) -> tuple[float, float]:
    """The mean NDCG@10 and recall@25 of what each user has not met before; scores (U, I)."""
    data, ends = model.item_ids_json.values.tobytes().decode(), model.item_ids_json.indptr.tolist()
    rows = {data[start + 1 : end - 1]: row for row, (start, end) in enumerate(pairwise(ends))}
    gains, recalls = [], []
    discounts = 1 / np.log2(np.arange(2, 12))
    for line, before, after in zip(scores.copy(), past, future, strict=True):
        line[[rows[item] for item in before]] = -np.inf
        wanted = [rows.get(item, -1) for item in after]
        hits = np.isin(np.argsort(-line, kind="stable")[:25], wanted)
        gains.append(discounts[hits[:10]].sum() / discounts[: len(after)].sum())
        recalls.append(hits.sum() / min(25, len(after)))
    return float(np.mean(gains)), float(np.mean(recalls))


def test_recommendations_are_better_than_popularity(split: DataFrame, learned: Artifact) -> None:
    model = read_model(learned)
    items, source = model.sides()
    past, future = items_of(split, past=True), items_of(split, past=False)
    users = sorted(future)
    found = source.lookup(users)
    assert found.known.all()
    sides = [past[user] for user in users], [future[user] for user in users]
    rows, columns = np.divmod(np.arange(len(users) * len(items)), len(items))
    scores = products_of(found.vectors, rows, items, columns).reshape(len(users), len(items))
    ndcg, recall = ndcg_and_recall(model, scores, *sides)
    popular = np.broadcast_to(model.popularity, (len(users), len(model.popularity)))
    popular_ndcg, popular_recall = ndcg_and_recall(model, popular, *sides)
    print(f"NDCG@10 {ndcg:.4f} ({popular_ndcg:.4f}), recall@25 {recall:.4f} ({popular_recall:.4f})")
    assert ndcg > 1.8 * popular_ndcg  # ALS alone: 1.4
    assert recall > 1.8 * popular_recall


def test_scores_are_better_probabilities_than_popularity(learned: Artifact) -> None:
    metrics = learned.properties["metrics"]
    assert metrics["heldOutUsers"] > 600
    assert metrics["logLoss"] < metrics["logLossPopularity"] < metrics["logLossUniform"]
