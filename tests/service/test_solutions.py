"""Solutions and their versions, as the service tells of them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog import lease
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.status import Status
from personalize_spark.datasets.imports import CsvSource, ImportMode, import_files
from personalize_spark.errors import (
    InvalidInputException,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from personalize_spark.recipes import RECIPES
from personalize_spark.service import solutions
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.service.work import Background, Compute, Work
from personalize_spark.solutions.versions import creation
from personalize_spark.testing.toy import golden_version, request

GROUP = Arn("aws", "us-east-1", "000000000000", "dataset-group", "shop")
RECIPE = "arn:aws:personalize:::recipe/aws-user-personalization"
METRICS = {"coverage": 0.5, "mean_reciprocal_rank_at_25": 0.1, "precision_at_5": 0.2, "logLoss": 8.0}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(f"file://{tmp_path}")
    catalog.create(GROUP, {"name": "shop"})
    return catalog


def params(**more: Any) -> dict[str, Any]:
    return {"name": "home", "datasetGroupArn": str(GROUP), "recipeArn": RECIPE, **more}


def test_a_solution_is_created_described_listed_and_deleted(catalog: Catalog) -> None:
    config = {"eventValueThreshold": "3", "algorithmHyperParameters": {"rank": "8"}}
    arn = solutions.create_solution(catalog, params(eventType="watch", solutionConfig=config))["solutionArn"]
    assert arn == "arn:aws:personalize:us-east-1:000000000000:solution/home"
    with pytest.raises(ResourceAlreadyExistsException):
        solutions.create_solution(catalog, params())
    described = solutions.describe_solution(catalog, {"solutionArn": arn})["solution"]
    assert (described["status"], described["recipeArn"], described["solutionConfig"]) == ("ACTIVE", RECIPE, config)
    assert described["eventType"] == "watch"
    assert "latestSolutionVersion" not in described
    listed = solutions.list_solutions(catalog, {"datasetGroupArn": str(GROUP)})["solutions"]
    assert [each["name"] for each in listed] == ["home"]
    assert solutions.delete_solution(catalog, {"solutionArn": arn}) == {}
    with pytest.raises(ResourceNotFoundException):
        solutions.describe_solution(catalog, {"solutionArn": arn})


@pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-user-personalization-v2"])
def test_a_choice_of_the_model_is_kept_with_its_budget(catalog: Catalog, recipe: str) -> None:
    config = {"hpoConfig": {"hpoResourceConfig": {"maxNumberOfTrainingJobs": "3"}}}
    asked = params(recipeArn=RECIPES[recipe].arn, performHPO=True, solutionConfig=config)
    arn = solutions.create_solution(catalog, asked)["solutionArn"]
    described = solutions.describe_solution(catalog, {"solutionArn": arn})["solution"]
    assert (described["performHPO"], described["solutionConfig"]) == (True, config)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"recipeArn": RECIPES["aws-sims"].arn, "performHPO": True}, "performHPO is for recipes for users"),
        (
            {"solutionConfig": {"hpoConfig": {"hpoObjective": {"type": "max"}}}},
            "hpoObjective is not supported: the candidates are",
        ),
        (
            {"solutionConfig": {"hpoConfig": {"hpoResourceConfig": {"maxNumberOfTrainingJobs": "0"}}}},
            "whole number from 1 on",
        ),
        ({"performAutoML": True}, "performAutoML is not supported"),
        ({"recipeArn": "arn:aws:personalize:::recipe/aws-trending-now"}, "does not support batch inference"),
        ({"recipeArn": None}, "recipeArn is required"),
        ({"solutionConfig": {"algorithmHyperParameters": {"hidden_dimension": "9"}}}, "known: rank, iterations"),
        ({"solutionConfig": {"algorithmHyperParameters": {"rank": "many"}}}, "give a whole number"),
        ({"solutionConfig": {"eventValueThreshold": "3"}}, "needs an eventType"),
        ({"eventType": "w", "solutionConfig": {"eventValueThreshold": "x"}}, "must be a number"),
        ({"performAutoTraining": True}, "call CreateSolutionVersion"),
        ({"performIncrementalUpdate": True}, "CreateSolutionVersion with the trainingMode UPDATE"),
        ({"solutionConfig": {"optimizationObjective": {"itemAttribute": "PRICE"}}}, "solutionConfig takes"),
    ],
)
def test_what_cannot_be_trained_is_refused(catalog: Catalog, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputException, match=said):
        solutions.create_solution(catalog, params(**more))
    assert list(catalog.list("solution")) == []


def test_versions_and_their_metrics_are_told(catalog: Catalog, tmp_path: Path) -> None:
    arn = golden_version(catalog)
    solution = arn.sibling("solution", arn.name)
    catalog.create(solution, {"name": arn.name, "solutionArn": str(solution), "status": "ACTIVE"})
    catalog.update(catalog.read(arn), metrics=METRICS, trainingMode="FULL", trainingHours=0.1)
    found = solutions.describe_solution_version(catalog, {"solutionVersionArn": str(arn)})["solutionVersion"]
    assert (found["status"], found["trainingMode"], found["trainingHours"]) == ("ACTIVE", "FULL", 0.1)
    for asked in ({}, {"solutionArn": str(solution)}):
        [listed] = solutions.list_solution_versions(catalog, asked)["solutionVersions"]
        assert listed["solutionVersionArn"] == str(arn)
    described = solutions.describe_solution(catalog, {"solutionArn": str(solution)})["solution"]
    assert described["latestSolutionVersion"]["solutionVersionArn"] == str(arn)
    off = {"performHPO": False, "performAutoML": False, "performIncrementalUpdate": False}
    assert off.items() <= found.items()
    assert {**off, "performAutoTraining": False}.items() <= described.items()  # its record does not say so
    metrics = solutions.get_solution_metrics(catalog, {"solutionVersionArn": str(arn)})
    assert metrics == {"solutionVersionArn": str(arn), "metrics": {k: v for k, v in METRICS.items() if k != "logLoss"}}
    create_batch_inference_job(catalog, request(arn, f"file://{tmp_path}/in", f"file://{tmp_path}/out"))
    with pytest.raises(ResourceInUseException, match="in use by the batch inference job"):
        solutions.delete_solution(catalog, {"solutionArn": str(solution)})


@pytest.mark.parametrize("operation", ["describe_solution", "delete_solution"])
def test_an_arn_of_something_else_is_refused(catalog: Catalog, operation: str) -> None:
    with pytest.raises(InvalidInputException, match="not the ARN of a solution"):
        getattr(solutions, operation)(catalog, {"solutionArn": str(GROUP)})


def _never(record: Record, work: Work) -> None:
    raise AssertionError(f"{record.arn} was begun for a request that is refused")


@pytest.mark.spark
def test_a_version_learns_from_what_the_configuration_says_and_is_updated(spark: SparkSession, tmp_path: Path) -> None:
    rows = [f"u{n % 59},i{n * n % 23},{'watch' if n % 3 else 'click'},{n % 5},{n}" for n in range(2000)]
    header = "USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,TIMESTAMP"
    (tmp_path / "i.csv").write_text("\n".join([header, *rows, "u1,clicked,click,5,3000", "u1,cheap,watch,1,3001"]))
    catalog = Catalog(f"file://{tmp_path}/catalog")
    source, at_once = CsvSource(f"file://{tmp_path}/i.csv"), lambda _, work: work(Compute(spark=spark))
    import_files(spark, catalog, "shop", {"Interactions": source})
    [group] = catalog.list("dataset-group")
    config = {"eventValueThreshold": "2", "algorithmHyperParameters": {"rank": "4", "iterations": "2"}}
    asked = params(datasetGroupArn=str(group.arn), eventType="Watch", solutionConfig=config)
    arn = solutions.create_solution(catalog, asked)["solutionArn"]
    with pytest.raises(InvalidInputException, match="trained in the mode FULL"):
        solutions.begin_solution_version(catalog, {"solutionArn": arn, "trainingMode": "UPDATE"}, _never)
    with pytest.raises(InvalidInputException, match="AUTOTRAIN is not supported; supported: FULL and UPDATE"):
        solutions.begin_solution_version(catalog, {"solutionArn": arn, "trainingMode": "AUTOTRAIN"}, _never)
    first = solutions.begin_solution_version(catalog, {"solutionArn": arn}, at_once)["solutionVersionArn"]
    fields = catalog.read(Arn.parse(first)).fields
    model = read_model(Pinned(**fields["model"]).open())
    names = {row.split(",")[1] for row in rows if "watch" in row and int(row.split(",")[3]) >= 2}
    assert set(model.item_ids()) == names
    assert model.matrix is not None  # a rank is given: ALS
    assert model.matrix.factors.shape[1] == 5
    metrics = solutions.get_solution_metrics(catalog, {"solutionVersionArn": first})["metrics"]
    assert len(metrics) == 8
    (tmp_path / "i.csv").write_text(f"{header}\nu1,brand new,watch,5,4000\nu2,brand new,watch,5,{int(time.time())}\n")
    import_files(spark, catalog, "shop", {"Interactions": source}, ImportMode.INCREMENTAL)
    update = {"solutionArn": arn, "trainingMode": "UPDATE"}
    second = solutions.begin_solution_version(catalog, update, at_once)["solutionVersionArn"]
    fields = catalog.read(Arn.parse(second)).fields
    assert (fields["trainingMode"], fields["status"]) == ("UPDATE", "ACTIVE")
    assert set(read_model(Pinned(**fields["model"]).open()).item_ids()) == {*names, "brand new"}


def test_an_update_turns_nothing_on(catalog: Catalog) -> None:
    arn = {"solutionArn": solutions.create_solution(catalog, params())["solutionArn"]}
    assert solutions.update_solution(catalog, {**arn, "performAutoTraining": False}) == arn
    update = solutions.describe_solution(catalog, arn)["solution"]["latestSolutionUpdate"]
    assert (update["status"], update["performAutoTraining"]) == ("ACTIVE", False)
    schedule = {"autoTrainingConfig": {"schedulingExpression": "rate(7 days)"}}
    for more in ({"performAutoTraining": True}, {"solutionUpdateConfig": schedule}):
        with pytest.raises(InvalidInputException, match="training does not start automatically"):
            solutions.update_solution(catalog, {**arn, **more})


def test_a_training_that_is_killed_ends_and_its_solution_can_be_deleted(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
import os, signal, sys
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.solutions.versions import creation
catalog = Catalog(sys.argv[1])
with creation(catalog, catalog.read(Arn.parse(sys.argv[2]))) as store:
    store.create("items/ids", b"half of a model")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    solution = {"solutionArn": solutions.create_solution(catalog, params())["solutionArn"]}
    arn = GROUP.sibling("solution", "home", "1a2b3c4d")
    version = {"solutionVersionArn": str(arn)}
    catalog.create(arn, {**version, "status": "CREATE PENDING"})
    assert subprocess.run([sys.executable, "-c", program, catalog.uri, str(arn)], check=False).returncode == -9
    assert catalog.read(arn).status is Status.IN_PROGRESS
    with pytest.raises(ResourceInUseException, match="is being trained"):
        solutions.delete_solution(catalog, solution)
    with pytest.raises(ResourceInUseException, match="it has metrics when it is ACTIVE"):
        solutions.get_solution_metrics(catalog, version)
    monkeypatch.setattr(lease, "STALE_SECONDS", 0.0)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    described = solutions.describe_solution_version(catalog, version)["solutionVersion"]
    assert (described["status"], described["failureReason"]) == (
        "CREATE FAILED",
        "Its driver is gone: it no longer sends a heartbeat. Create it again under a new name.",
    )
    assert solutions.delete_solution(catalog, solution) == {}
    assert not list(catalog.store.list("models/"))


def test_a_training_is_stopped_and_its_tasks_too(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalize_spark.catalog.lease.BEAT_SECONDS", 0.02)
    arn = GROUP.sibling("solution", "home", "1a2b3c4d")
    version = catalog.create(arn, {"solutionVersionArn": str(arn), "status": "CREATE PENDING"})
    stopped = threading.Event()

    class Stoppable(Compute):
        def stop(self, record: Record) -> bool:
            assert record.arn == arn
            stopped.set()
            return True

    def work(_: Compute) -> None:
        with creation(catalog, version):
            begun.set()
            assert stopped.wait(60)

    begun, background = threading.Event(), Background(catalog, Stoppable("local", data=False))
    monkeypatch.setattr(background._compute, "prepare", lambda _: None)
    background.begin(version, work)
    assert begun.wait(60)
    assert solutions.stop_solution_version_creation(catalog, {"solutionVersionArn": str(arn)}) == {}
    background.close(60)
    assert stopped.is_set()
    described = solutions.describe_solution_version(catalog, {"solutionVersionArn": str(arn)})["solutionVersion"]
    assert described["status"] == "CREATE STOPPED"
    with pytest.raises(InvalidInputException, match="only a training that goes on can be stopped"):
        solutions.stop_solution_version_creation(catalog, {"solutionVersionArn": str(arn)})
    with pytest.raises(InvalidInputException, match="CREATE STOPPED: train another one"):
        create_batch_inference_job(catalog, request(arn, "s3://acme/in/", "s3://acme/out/"))
