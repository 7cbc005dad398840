"""Users' rows that are more than a host may hold are gathered for each split: the answers are the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from personalize_spark.artifacts import shards
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.datasets.imports import CsvSource, ImportMode, import_files
from personalize_spark.errors import JobFailed
from personalize_spark.job import gather, spark_executor, splits
from personalize_spark.job.run import run_job
from personalize_spark.job.spark_executor import SparkExecutor
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.service.filters import create_filter
from personalize_spark.solutions.refresh_users import refresh_users
from personalize_spark.solutions.train import Hyperparameters, train
from personalize_spark.testing.toy import NO_EXPLORATION, request

pytestmark = pytest.mark.spark

HEADER = "USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP"


class World:
    """A model of a hundred users in many shards, some of whom have moved since, and a filter that looks at what they did."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark, self.folder, self.catalog = spark, folder, Catalog(f"file://{folder}/catalog")
        rows = [f"u{n % 100},i{n * n % 37},{'watch' if n % 3 else 'click'},{n}" for n in range(1_000)]
        self.load(rows, ImportMode.FULL)
        self.arn = train(spark, self.catalog, "shop", "aws-user-personalization", "home", Hyperparameters(rank=4))
        self.load(["u3,i1,watch,2000", "late,i4,watch,2001"], ImportMode.INCREMENTAL)
        [group] = self.catalog.list("dataset-group")
        expression = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")'
        params = {"name": "watched", "datasetGroupArn": str(group.arn), "filterExpression": expression}
        self.filter = create_filter(self.catalog, params)["filterArn"]
        (folder / "in").mkdir()
        lines = [f'{{"userId":"u{n % 120}","n":{n}}}' if n % 9 else "broken" for n in range(500)]
        (folder / "in" / "a.json").write_text("\n".join(lines))
        (folder / "in" / "b.json").write_text('{"userId":"late"}\n{"userId":"?"}\n')

    def load(self, rows: list[str], mode: ImportMode) -> None:
        (self.folder / "i.csv").write_text("\n".join([HEADER, *rows]))
        source = CsvSource(f"file://{self.folder}/i.csv")
        import_files(self.spark, self.catalog, "shop", {"Interactions": source}, mode)
        refresh_users(self.spark, self.catalog, "shop")

    def run(self, version: Arn, **more: Any) -> list[bytes]:
        asked = request(version, f"file://{self.folder}/in/", f"file://{self.folder}/out/", **more)
        run_job(
            SparkExecutor(self.spark), self.catalog, create_batch_inference_job(self.catalog, asked), lambda _: None
        )
        return [(self.folder / "out" / f"{name}.json.out").read_bytes() for name in "ab"]

    def rename_shards(self, old: str, new: str) -> None:
        folders = [each for each in (self.folder / "catalog").rglob(old) if each.is_dir()]
        assert len(folders) >= 4  # of the model, its update, and both views
        for each in folders:
            each.rename(each.with_name(new))


@pytest.fixture(scope="module")
def world(_spark_session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "ROWS_PER_SHARD", 8)
        patch.setattr(splits, "MAX_LINES", 40)
        yield World(_spark_session, tmp_path_factory.mktemp("gather"))
    _spark_session.conf.unset(gather.BUDGET)


def test_what_was_gathered_is_all_that_a_task_looks_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"filterArn": world.filter, "batchInferenceJobConfig": NO_EXPLORATION}
    expected = world.run(world.arn, **more)

    def gathered(*arguments: Any) -> list[splits.Split]:
        found = gather.gather(*arguments)
        assert len(found) > 10
        assert all(split.gathered for split in found)
        world.rename_shards("users", "hidden")
        return found

    world.spark.conf.set(gather.BUDGET, "1k")
    monkeypatch.setattr(spark_executor, "gather", gathered)
    assert world.run(world.arn, **more) == expected
    world.rename_shards("hidden", "users")


def test_a_host_that_has_room_gathers_nothing_and_a_setting_that_is_no_size_is_refused(world: World) -> None:
    world.spark.conf.set(gather.BUDGET, "1g")
    expected = world.run(world.arn)
    world.spark.conf.set(gather.BUDGET, "much")
    with pytest.raises(JobFailed, match=r"spark\.personalize\.hostBudget must be a size such as 20g, not 'much'"):
        world.run(world.arn)
    world.spark.conf.set(gather.BUDGET, "0")
    assert world.run(world.arn) == expected
