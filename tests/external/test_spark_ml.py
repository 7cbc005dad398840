"""Models as users of Spark keep them, written by Spark itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import StringIndexer, StringIndexerModel
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame, SparkSession

from personalize_spark.answer import answer
from personalize_spark.api import import_model
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import DataError
from personalize_spark.recipes import RECIPES
from personalize_spark.recipes.recipe import Settings
from personalize_spark.solutions.new_version import NewVersion
from personalize_spark.testing.toy import World
from tests.external.factors import model_of, write_counts
from tests.oracle import answer_line

pytestmark = pytest.mark.spark

UP = "aws-user-personalization"


def als() -> ALS:
    return ALS(rank=3, maxIter=1, implicitPrefs=True, seed=1, ratingCol="n")


@pytest.fixture(scope="module")
def ratings(_spark_session: SparkSession) -> DataFrame:
    random = np.random.default_rng(1)
    rows = [(f"user {u}", f"0{i}", 1.0) for u, i in random.integers(0, 9, (80, 2)).tolist()]
    return _spark_session.createDataFrame(rows, "customer string, sku string, n double").coalesce(1).cache()


@pytest.fixture(scope="module")
def pipe(ratings: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineModel, Path]:
    """Indexers of users and items, each for one column, and ALS; the items' has a number for what it does not know."""
    stages: list[Any] = [
        StringIndexer(inputCol="customer", outputCol="user"),
        StringIndexer(inputCol="sku", outputCol="item", handleInvalid="keep"),
        als(),
    ]
    model, folder = Pipeline(stages=stages).fit(ratings), tmp_path_factory.mktemp("ml") / "pipe"
    model.save(f"file://{folder}")
    return model, folder


def world_of(model: ALSModel, users: list[str], items: list[str]) -> World:
    vectors, factors = (
        {labels[row["id"]]: row["features"] for row in frame.collect()}
        for frame, labels in ((model.userFactors, users), (model.itemFactors, items))
    )
    return World(factors, vectors, {name: n for n, name in enumerate(factors)}, 1.0)


def imported(tmp_path: Path, world: World, spark: SparkSession, **places: object) -> NewVersion:
    """Import, and hold the answers of each user against the world's."""
    catalog, counts = Catalog(tmp_path / "catalog"), write_counts(tmp_path, world)
    version = import_model(catalog, "s", UP, **places, counts=counts, spark=spark)  # type: ignore[arg-type]
    model = model_of(catalog, Arn.parse(version.arn))
    lines = [json.dumps({"userId": user}) for user in [*world.users, "nobody"]]
    data = answer(RECIPES[UP], model, Settings(5), [line.encode() for line in lines]).data.decode()
    assert data.splitlines() == [answer_line(world, UP, line, 5) for line in lines]
    return version


def labels_of(pipe: PipelineModel) -> list[list[str]]:
    return [list(stage.labels) for stage in pipe.stages if isinstance(stage, StringIndexerModel)]


def test_a_saved_pipeline_is_read_in_place(
    pipe: tuple[PipelineModel, Path], spark: SparkSession, tmp_path: Path
) -> None:
    model, folder = pipe
    factors = model.stages[-1]
    assert isinstance(factors, ALSModel)
    world = world_of(factors, *labels_of(model))
    version = imported(tmp_path, world, spark, items=folder)
    found = [note.partition(" (")[0] for note in version.notes]
    assert found[1].startswith(f"The ids of the items are the labels of file://{folder}/stages/1_")
    assert found[2].startswith(f"The ids of the users are the labels of file://{folder}/stages/0_")
    assert found[3].startswith(f"{len(world.items)} items with 3 factors each, from file://{folder}/stages/2_")


def test_an_indexer_of_two_columns_beside_a_saved_als_model(
    ratings: DataFrame, spark: SparkSession, tmp_path: Path
) -> None:
    indexer = StringIndexer(inputCols=["sku", "customer"], outputCols=["item", "user"]).fit(ratings)
    model = als().fit(indexer.transform(ratings))
    indexer.save(f"file://{tmp_path}/both")
    model.save(f"file://{tmp_path}/als")
    items, users = indexer.labelsArray
    both = {"item_ids": tmp_path / "both", "user_ids": tmp_path / "both"}
    imported(tmp_path, world_of(model, list(users), list(items)), spark, items=tmp_path / "als", **both)


@pytest.mark.parametrize("names", ["f{}", "factor_{}"])
def test_factors_may_be_spread_over_columns(names: str, spark: SparkSession, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    rank = 11  # f10 comes behind f9, not behind f1

    def written(name: str, ids: list[str], first: int) -> Mapping[str, list[float]]:
        rows = {
            each: row.tolist()
            for each, row in zip(ids, random.normal(size=(len(ids), rank)).astype(np.float32), strict=True)
        }
        columns = ", ".join(f"{names.format(n + first)} double" for n in reversed(range(rank)))
        frame = spark.createDataFrame(
            [(each, *row[::-1], 1) for each, row in rows.items()], f"id string, {columns}, y2020 int"
        )
        frame.write.parquet(f"{tmp_path}/{name}")
        return rows

    items, users = written("items", list("abcdef"), 0), written("users", ["u", "v"], 1)
    world = World(dict(items), dict(users), dict.fromkeys(items, 1), 1.0)
    imported(tmp_path, world, spark, items=tmp_path / "items", users=tmp_path / "users")


def test_what_was_never_learned_is_not_recommended_and_knows_nothing(spark: SparkSession, tmp_path: Path) -> None:
    """An item of zeros would be first wherever all others' products are negative; a user of zeros would get the ids' order."""
    items = {"a": [-1.0, 0.5], "b": [-2.0, 0.1], "never met": [0.0, 0.0]}
    users = {"u": [1.0, 0.0], "zero": [0.0, 0.0]}
    for name, rows in (("items", items), ("users", users)):
        spark.createDataFrame(list(rows.items()), "id string, vector array<double>").write.parquet(f"{tmp_path}/{name}")
    places = {"items": tmp_path / "items", "users": tmp_path / "users"}
    known = World({name: items[name] for name in "ab"}, {"u": users["u"]}, {"b": 5, "a": 2}, 1.0)
    version = imported(tmp_path, known, spark, **places)
    assert version.notes[1:2] + version.notes[3:] == [
        (
            "1 item has a vector of zeros, such as 'never met': nobody met it, so it is left out of the model, as an item without interactions is of a "
            "training."
        ),
        "1 user has a vector of zeros, such as 'zero': it gets the popular items, as an unknown user does.",
    ]
    model = model_of(Catalog(tmp_path / "catalog"), Arn.parse(version.arn))
    zero, nobody = answer(
        RECIPES[UP], model, Settings(5), [b'{"userId":"zero"}', b'{"userId":"nobody"}']
    ).data.splitlines()
    assert zero.replace(b"zero", b"nobody") == nobody
    spark.createDataFrame([("u", [0.0, 0.0])], "id string, vector array<double>").write.parquet(f"{tmp_path}/none")
    with pytest.raises(DataError, match="the vectors of all users are zero, so nothing was learned"):
        import_model(
            Catalog(tmp_path / "catalog"),
            "s",
            UP,
            items=tmp_path / "items",
            users=tmp_path / "none",
            counts=tmp_path / "counts.csv",
            spark=spark,
        )
