"""What is imported after a training counts in the next job, without another training; a job sees what was there when it was created."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pyspark.sql import SparkSession

import personalize_spark as ps
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model, updated
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.job.run import run_job
from personalize_spark.job.spark_executor import SparkExecutor
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.testing.toy import NO_EXPLORATION, request
from personalize_spark.training.fold_in import AlsFoldIn, Histories
from tests.solutions.test_train import interactions

pytestmark = pytest.mark.spark

USERS = ["üser-0", "üser-1", "üser-39", "late", "nobody"]
NEWS = [("üser-0", "item-3", 5000), ("üser-0", "item-3", 5001), ("üser-1", "fresh", 5002), ("late", "item-4", 5003)]
Answer = dict[str, Any]


def write(path: Path, rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("USER_ID", "ITEM_ID", "TIMESTAMP"), *rows])
    return path


class World:
    """A catalog in which something happens between two jobs."""

    def __init__(self, spark: SparkSession, folder: Path, recipe: str, training_jobs: int = 1) -> None:
        self.spark, self.folder, self.catalog = spark, folder, Catalog(f"file://{folder}/catalog")
        self.load(interactions(), "FULL")
        small: dict[str, Any] = {"rank": 4, "iterations": 3, "training_jobs": training_jobs}
        version = ps.train(self.catalog, "films", recipe, "films", spark=spark, **small)
        self.arn = Arn.parse(version.arn)
        (folder / "in.json").write_text("\n".join(json.dumps({"userId": user}, ensure_ascii=False) for user in USERS))

    def load(self, rows: Iterable[Sequence[object]], mode: Literal["FULL", "INCREMENTAL"]) -> dict[str, int]:
        path = write(self.folder / f"{mode}.csv", rows)
        report = ps.import_datasets(self.catalog, "films", interactions=path, import_mode=mode, spark=self.spark)
        return report.refreshed

    def run(self, config: Any = NO_EXPLORATION, between: Callable[[], object] = lambda: None) -> dict[str, Answer]:
        asked = request(
            self.arn, f"file://{self.folder}/in.json", f"file://{self.folder}/out/", batchInferenceJobConfig=config
        )
        job = create_batch_inference_job(self.catalog, asked)
        between()
        run_job(SparkExecutor(self.spark), self.catalog, job, lambda _: None)
        lines = map(json.loads, (self.folder / "out" / "in.json.out").read_text().splitlines())
        return {line["input"]["userId"]: line["output"] for line in lines}


@pytest.mark.parametrize(
    ("recipe", "training_jobs"), [("aws-user-personalization", 3), ("aws-user-personalization-v2", 1)]
)
def test_an_import_refreshes_its_users_and_nobody_else(
    spark: SparkSession, tmp_path: Path, recipe: str, training_jobs: int
) -> None:
    world = World(spark, tmp_path, recipe, training_jobs)
    assert read_model(Pinned(**world.catalog.read(world.arn).fields["model"]).open()).sparse is not None
    before = world.run()
    assert before["late"] == before["nobody"]
    assert world.run(between=lambda: world.load(NEWS, "INCREMENTAL")) == before
    after = world.run()
    assert {user for user in USERS if before[user] != after[user]} == {"üser-0", "late"}
    assert world.load([("nobody at all", "unheard of", 6000)], "INCREMENTAL") == {str(world.arn): 3}
    assert world.run() == after


EVERYTHING = {"itemExplorationConfig": {"explorationWeight": "1.0", "explorationItemAgeCutOff": "1"}}


@pytest.fixture(scope="module")
def world(_spark_session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world with news, among them an item that is forty days younger than all others."""
    world = World(_spark_session, tmp_path_factory.mktemp("world"), "aws-user-personalization")
    news = [*NEWS, ("late", "fresh too", 40 * 86_400)]
    assert world.load(news, "INCREMENTAL") == {str(world.arn): 3}
    return world


def test_a_refreshed_user_is_what_a_training_would_make_of_it(world: World) -> None:
    fields = world.catalog.read(world.arn).fields
    artifact = Pinned(**fields["model"]).open()
    model = updated(read_model(artifact), Pinned(**fields["update"]).open())
    assert model.matrix is not None
    assert model.users is not None
    rows = [item for user, item, _ in [*interactions(), *NEWS] if user == "üser-0"]
    items, events = np.unique(model.rows_of(rows), return_counts=True)
    histories = Histories(
        Ragged(np.array([0, len(items)]), items.astype(np.int32)),
        events.astype(np.float32),
        np.zeros(len(items), np.int64),
    )
    properties = artifact.properties["foldIn"]
    fold_in = AlsFoldIn(artifact.column("gram"), properties["alpha"], properties["regularization"])
    found = model.users.lookup(["üser-0"])
    folded_in = fold_in.vectors(model.matrix.factors[:, :-1], histories)
    np.testing.assert_allclose(found.vectors[:, :-1], folded_in, rtol=1e-5)
    np.testing.assert_allclose(found.vectors[:, -1], properties["last"], rtol=1e-6)
    exponents = artifact.properties["temperature"] * found.vectors.astype(np.float64) @ model.matrix.factors.T
    np.testing.assert_allclose(found.log_normalisers, np.log(np.exp(exponents).sum(axis=1)), rtol=1e-9)


def test_new_items_join_exploration_and_the_others_shrink_by_one_factor(world: World) -> None:
    plain, exploring = world.run(), world.run(EVERYTHING)
    for user in ("üser-0", "üser-39", "late"):
        lists = [each[user] for each in (plain, exploring)]
        was, now = (dict(zip(each["recommendedItems"], each["scores"], strict=True)) for each in lists)
        assert now["fresh too"] > min(was.values())
        shrunk = 1 - now["fresh too"]
        assert all(now[item] == pytest.approx(was[item] * shrunk, abs=2e-7) for item in now.keys() & was.keys())
    assert plain["nobody"] == exploring["nobody"]


def test_an_older_version_gets_no_new_items(world: World) -> None:
    copy = Arn.parse(f"{world.arn}").sibling("solution", "films", "later")
    world.catalog.create(copy, {**world.catalog.read(world.arn).fields, "arn": str(copy)})
    try:
        assert all("fresh too" not in each["recommendedItems"] for each in world.run(EVERYTHING).values())
    finally:
        world.catalog.delete(world.catalog.read(copy))


def test_a_copy_of_a_catalog_is_complete_and_leaves_the_original_alone(world: World, tmp_path: Path) -> None:
    answers = world.run(EVERYTHING)
    shutil.copytree(world.folder, tmp_path / "all")
    hidden = world.folder.rename(tmp_path / "hidden")  # what the copy needs of the original is not there
    try:
        other = copy(world)
        other.folder, other.catalog = tmp_path / "all", Catalog(f"file://{tmp_path}/all/catalog")
        assert other.run(EVERYTHING) == answers
        assert other.load([("nobody at all", "item-3", 50 * 86_400)], "INCREMENTAL") == {str(world.arn): 4}
        again = ps.train(
            other.catalog, "films", "aws-user-personalization", "films", rank=4, iterations=3, spark=other.spark
        )
        assert again.arn != str(world.arn)
    finally:
        hidden.rename(world.folder)
    assert world.run(EVERYTHING) == answers
