"""An imported model with a dataset group is a solution version like any other: filters and exploration work on it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.datasets.imports import CsvSource, import_files
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.service.filters import create_filter
from personalize_spark.solutions.import_model import Sources, Target, import_model
from personalize_spark.testing.toy import NO_EXPLORATION, request
from tests.external.factors import world, write_npy
from tests.oracle import answer_line

pytestmark = pytest.mark.spark

MODEL = world()
DRAMA = sorted(MODEL.items)[::2]
ARN = "arn:aws:personalize:eu-west-1:111122223333:solution/old/1a2b3c4d"


@pytest.fixture(scope="module")
def catalog(_spark_session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A dataset group whose Items hold all of the model and a new one; and the model, under the ARN that it had."""
    folder = tmp_path_factory.mktemp("jobs")
    events = [[user, item, n] for n, item in enumerate(MODEL.items) for user in list(MODEL.users)[n % 3 :: 3]]
    items = [[item, "drama" if item in DRAMA else "comedy", 0] for item in MODEL.items]
    tables: dict[str, list[list[Any]]] = {
        "Interactions": [["USER_ID", "ITEM_ID", "TIMESTAMP"], *events],
        "Items": [["ITEM_ID", "GENRE", "CREATION_TIMESTAMP"], *items, ["brand new", "drama", 40]],
    }
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    catalog = Catalog(f"file://{folder}/catalog")
    sources = {name: CsvSource(f"file://{folder}/{name}.csv") for name in tables}
    import_files(_spark_session, catalog, "shop", sources)
    factors = {name: write_npy(folder, getattr(MODEL, name), name) for name in ("items", "users")}
    target = Target("old", "aws-user-personalization", "shop", ARN)
    import_model(_spark_session, catalog, target, Sources(**factors))
    return catalog


def lists(local: LocalExecutor, catalog: Catalog, folder: Path, **more: Any) -> list[list[str]]:
    """What the model's users get from a job."""
    (folder / "in.json").write_text("\n".join(json.dumps({"userId": user}) for user in MODEL.users))
    asked = request(
        Arn.parse(ARN), f"file://{folder}/in.json", f"file://{folder}/out", numResults=len(MODEL.items) + 1, **more
    )
    run_job(local, catalog, create_batch_inference_job(catalog, asked), lambda _: None)
    lines = (folder / "out" / "in.json.out").read_text().splitlines()
    return [json.loads(line)["output"]["recommendedItems"] for line in lines]


def test_a_filter_takes_items_away_and_changes_nothing_else(
    local: LocalExecutor, catalog: Catalog, tmp_path: Path
) -> None:
    [group] = catalog.list("dataset-group")
    expression = 'INCLUDE ItemID WHERE Items.GENRE IN ("drama")'
    params = {"name": "drama", "datasetGroupArn": str(group.arn), "filterExpression": expression}
    arn = create_filter(catalog, params)["filterArn"]
    found = lists(local, catalog, tmp_path, filterArn=arn, batchInferenceJobConfig=NO_EXPLORATION)
    for user, items in zip(MODEL.users, found, strict=True):
        line = str(answer_line(MODEL, "aws-user-personalization", json.dumps({"userId": user}), len(MODEL.items)))
        assert items == [item for item in json.loads(line)["output"]["recommendedItems"] if item in DRAMA]


def test_it_is_evaluated_by_what_users_came_to_since(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user, item = next(iter(MODEL.users)), next(iter(MODEL.items))
    (tmp_path / "since.csv").write_text(f"USER_ID,ITEM_ID\n{user},{item}\n")
    asked = ["evaluate", "--catalog", catalog.uri, "--solution-version", ARN, "--interactions"]
    assert main([*asked, str(tmp_path / "since.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["coverage"] > 0


@pytest.mark.parametrize(("weight", "lists_with_it"), [("0", 0), ("1", len(MODEL.users))])
def test_exploration_recommends_what_the_model_has_not_learned(
    local: LocalExecutor, catalog: Catalog, tmp_path: Path, weight: str, lists_with_it: int
) -> None:
    config = {"itemExplorationConfig": {"explorationWeight": weight}}
    found = lists(local, catalog, tmp_path, batchInferenceJobConfig=config)
    assert sum("brand new" in items for items in found) == lists_with_it
