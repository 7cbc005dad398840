"""Calls like those of AWS's own batch sample, from the schema to the answers: nothing but the client is ours."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest

import personalize_spark as ps

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROLE = "arn:aws:iam::111122223333:role/PersonalizeBatch"
SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
    "version": "1.0",
}


def interactions() -> str:
    """A CSV file: 1,500 interactions of 40 users with 30 items, the first items more often."""
    chance = random.Random(1)
    items = chance.choices(range(30), range(30, 0, -1), k=1500)
    rows = (f"u{chance.randrange(40)},i{item},watch,{1_700_000_000 + n}" for n, item in enumerate(items))
    return "\n".join(["USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP", *rows, ""])


def wait(describe: Callable[[], dict[str, Any]]) -> None:
    """The loop of the sample, with shorter pauses."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        described = describe()
        if described["status"] == "ACTIVE":
            return
        assert described["status"] in {"CREATE PENDING", "CREATE IN_PROGRESS"}, described
        time.sleep(0.1)
    pytest.fail("it takes too long")


def import_interactions(personalize: Any, bucket: str) -> str:
    """The dataset group, with the interactions that lie in the bucket."""
    schema = personalize.create_schema(name="clicks", schema=json.dumps(SCHEMA))["schemaArn"]
    group: str = personalize.create_dataset_group(name="shop")["datasetGroupArn"]
    wait(lambda: personalize.describe_dataset_group(datasetGroupArn=group)["datasetGroup"])
    dataset = personalize.create_dataset(
        name="shop-clicks", schemaArn=schema, datasetGroupArn=group, datasetType="Interactions"
    )["datasetArn"]
    job = personalize.create_dataset_import_job(
        jobName="first",
        datasetArn=dataset,
        dataSource={"dataLocation": f"{bucket}/interactions.csv"},
        roleArn=ROLE,
    )["datasetImportJobArn"]
    wait(lambda: personalize.describe_dataset_import_job(datasetImportJobArn=job)["datasetImportJob"])
    assert personalize.describe_dataset(datasetArn=dataset)["dataset"]["schemaArn"] == schema
    return group


def train(personalize: Any, group: str) -> str:
    """A solution version of a recipe that the service lists."""
    recipes = [each["recipeArn"] for each in personalize.list_recipes()["recipes"]]
    recipe = next(each for each in recipes if each.endswith("/aws-user-personalization"))
    solution = personalize.create_solution(name="home", datasetGroupArn=group, recipeArn=recipe)["solutionArn"]
    version: str = personalize.create_solution_version(solutionArn=solution)["solutionVersionArn"]
    wait(lambda: personalize.describe_solution_version(solutionVersionArn=version)["solutionVersion"])
    assert "precision_at_5" in personalize.get_solution_metrics(solutionVersionArn=version)["metrics"]
    return version


@pytest.mark.spark
def test_the_story_of_a_batch_inference_job(spark: SparkSession, s3: str) -> None:
    bucket, files = s3.removeprefix("s3://"), boto3.client("s3")
    files.put_object(Bucket=bucket, Key="interactions.csv", Body=interactions().encode())
    files.put_object(Bucket=bucket, Key="in/users.json", Body=b'{"userId":"u1"}\n{"userId":"u2"}\nbroken\n')
    personalize = ps.client(f"{s3}/catalog", engine="local", spark=spark)
    group = import_interactions(personalize, s3)
    version = train(personalize, group)
    expression = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")'
    filtering = personalize.create_filter(name="seen", datasetGroupArn=group, filterExpression=expression)["filterArn"]
    wait(lambda: personalize.describe_filter(filterArn=filtering)["filter"])
    asked = {
        "jobName": "weekly",
        "solutionVersionArn": version,
        "filterArn": filtering,
        "numResults": 5,
        "jobInput": {"s3DataSource": {"path": f"{s3}/in/users.json"}},
        "jobOutput": {"s3DataDestination": {"path": f"{s3}/out/"}},
        "roleArn": ROLE,
    }
    job = personalize.create_batch_inference_job(**asked)["batchInferenceJobArn"]
    wait(lambda: personalize.describe_batch_inference_job(batchInferenceJobArn=job)["batchInferenceJob"])
    answers = files.get_object(Bucket=bucket, Key="out/users.json.out")["Body"].read()
    assert [json.loads(line)["error"] is None for line in answers.splitlines()] == [True, True, False]
    files.delete_object(Bucket=bucket, Key="out/users.json.out")
    ps.run_batch_inference(ps.Catalog(f"{s3}/catalog"), {**asked, "jobName": "again"}, engine="local")
    assert files.get_object(Bucket=bucket, Key="out/users.json.out")["Body"].read() == answers
    pages = personalize.get_paginator("list_batch_inference_jobs").paginate(PaginationConfig={"PageSize": 1})
    assert [each["jobName"] for page in pages for each in page["batchInferenceJobs"]] == ["again", "weekly"]
