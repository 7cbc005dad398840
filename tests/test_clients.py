"""Real clients against two real servers on one catalog: the AWS CLI and the SDK for JavaScript, as their users have them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from personalize_spark.cli.main import main
from personalize_spark.recipes import RECIPES
from tests.server.test_serve import KEYS, connect, serving
from tests.servers import new_bucket
from tests.test_story import ROLE, SCHEMA, interactions, wait

pytestmark = [pytest.mark.slow, pytest.mark.spark, pytest.mark.s3]

LINES = b'{"userId":"u1"}\n{"userId":"nobody"}\nbroken\n'
KEY = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "very secret"}


@dataclass(frozen=True)
class World:
    """Two servers on a catalog, and a bucket with interactions and input lines. Only the first one imports and trains: it has Spark."""

    folder: Path
    urls: tuple[str, str]
    s3: str
    bucket: str

    def job(self, name: str) -> dict[str, Any]:
        """A request without a solution version."""
        return {
            "jobName": name,
            "numResults": 3,
            "jobInput": {"s3DataSource": {"path": f"{self.bucket}/in.json"}},
            "jobOutput": {"s3DataDestination": {"path": f"{self.bucket}/{name}/"}},
            "roleArn": ROLE,
        }

    def run(self, asked: dict[str, Any]) -> bytes:
        """What `personalize-spark run` answers to the same request."""
        request = {**asked, "jobName": f"ours-{asked['jobName']}", "jobOutput": self.job("ours")["jobOutput"]}
        (self.folder / "request.json").write_text(json.dumps(request))
        command = ["run", "--request", str(self.folder / "request.json"), "--engine", "local"]
        assert main([*command, "--catalog", str(self.folder / "catalog")]) == 0
        bucket = self.bucket.removeprefix("s3://")
        answers: bytes = boto3.client("s3").get_object(Bucket=bucket, Key="ours/in.json.out")["Body"].read()
        return answers


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, _s3_server: str) -> Iterator[World]:
    folder, bucket = tmp_path_factory.mktemp("clients"), new_bucket("clients")
    (folder / "keys").write_text(KEYS)
    for name, data in {"interactions.csv": interactions().encode(), "in.json": LINES}.items():
        boto3.client("s3").put_object(Bucket=bucket.removeprefix("s3://"), Key=name, Body=data)
    keys = ("--access-keys", str(folder / "keys"))
    with serving(folder, *keys) as (one, _), serving(folder, *keys) as (other, _):
        yield World(folder, (one, other), _s3_server, bucket)


@dataclass(frozen=True)
class Aws:
    """The AWS CLI against one server."""

    clients: Path
    url: str

    def __call__(self, operation: str, *options: str, refused: bool = False, service: str = "personalize") -> str:
        """What it prints, or its error. A call takes a second: the tool reads its own data first."""
        program = [str(self.clients / "bin" / "python"), "-m", "awscli", service, operation, *options]
        place = {"AWS_ENDPOINT_URL": self.url, "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}
        settings = {**os.environ, **KEY, **place, "AWS_DEFAULT_OUTPUT": "text"}
        settings.pop("PYTHONPATH", None)
        done = subprocess.run(program, env=settings, capture_output=True, text=True, check=False)
        assert bool(done.returncode) == refused, done.stderr
        return done.stderr if refused else done.stdout.strip()

    def wait(self, kind: str, arn: str) -> None:
        """Ask until it is ACTIVE, by boto3 as long as it is not: each call of the tool takes a second of the processor that works for us."""
        client = connect(self.url, *KEY.values())
        name = kind.replace("-", "_")
        member = "".join(part.capitalize() for part in kind.split("-"))
        member = member[0].lower() + member[1:]
        wait(lambda: getattr(client, f"describe_{name}")(**{f"{member}Arn": arn})[member])
        assert self(f"describe-{kind}", f"--{kind}-arn", arn, "--query", "*.status") == "ACTIVE"


def test_the_aws_cli_drives_the_whole_story(clients: Path, world: World) -> None:
    aws, other = (Aws(clients, url) for url in world.urls)  # the other server knows as much
    schema = aws("create-schema", "--name", "clicks", "--schema", json.dumps(SCHEMA))
    group = other("create-dataset-group", "--name", "cli-shop", "--tags", "tagKey=team,tagValue=crm")
    kind = ("--dataset-type", "Interactions")
    dataset = aws("create-dataset", "--name", "c", "--schema-arn", schema, "--dataset-group-arn", group, *kind)
    assert dataset.endswith("dataset/cli-shop/INTERACTIONS")
    source = ("--data-source", f"dataLocation={world.bucket}/interactions.csv")
    rest = ("--job-name", "first", "--dataset-arn", dataset, "--role-arn", ROLE)
    other.wait("dataset-import-job", aws("create-dataset-import-job", *rest, *source))
    listed = aws("list-recipes", "--page-size", "4", "--query", "recipes[].recipeArn").split()
    assert len(listed) == len(RECIPES)
    [recipe] = [each for each in listed if each.endswith("/aws-user-personalization")]
    of_group = ("--dataset-group-arn", group)
    learning = ("--solution-config", "algorithmHyperParameters={rank=4,iterations=2}")
    solution = aws("create-solution", "--name", "home", *of_group, "--recipe-arn", recipe, *learning)
    version = aws("create-solution-version", "--solution-arn", solution)
    other.wait("solution-version", version)
    expression = ("--filter-expression", 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")')
    filtering = other("create-filter", "--name", "cli-seen", *of_group, *expression)
    asked = {**world.job("cli"), "solutionVersionArn": version, "filterArn": filtering}
    other.wait("batch-inference-job", aws("create-batch-inference-job", "--cli-input-json", json.dumps(asked)))
    answers = Aws(clients, world.s3)("cp", f"{world.bucket}/cli/in.json.out", "-", service="s3")
    items = [json.loads(line)["output"]["recommendedItems"] for line in answers.splitlines()]
    assert [len(each) for each in items] == [3, 3, 0]
    assert f"{answers}\n".encode() == world.run(asked)
    error = other("create-batch-inference-job", "--cli-input-json", json.dumps(asked), refused=True)
    assert "An error occurred (ResourceAlreadyExistsException) when calling the CreateBatchInferenceJob" in error


def test_the_sdk_for_javascript_drives_the_whole_story(clients: Path, world: World) -> None:
    story = Path(__file__).parent / "clients" / "story.cjs"
    place = {"Bucket": world.bucket.removeprefix("s3://"), "Key": "js/in.json.out"}
    output = boto3.client("s3").generate_presigned_url("get_object", Params=place)
    parameters = {"bucket": world.bucket, "output": output, "roleArn": ROLE, "job": world.job("js")}
    program = [str(clients / "bin" / "node"), str(story), str(clients), world.urls[0]]
    asked = json.dumps({"schema": json.dumps(SCHEMA), **parameters})
    done = subprocess.run([*program, asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("answers").encode() == world.run(told.pop("asked"))
    assert told == {
        "data": {"status": "ACTIVE", "dataset": True},
        "recipes": sorted(RECIPES),
        "model": {"status": "ACTIVE", "solution": True},
        "status": "ACTIVE",
        "taken": "ResourceAlreadyExistsException true 400",
        "missing": "ResourceNotFoundException true 400",
        "campaign": "InvalidInputException true 400",
    }
