"""Real clients against two real servers on one catalog: the AWS CLI and the SDK for JavaScript, as their users have them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.recipes import RECIPES
from personalize_spark.testing.toy import golden_group, golden_version, request
from tests.server.test_serve import KEYS, serving
from tests.test_story import SCHEMA

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("clients")]

LINES = '{"userId":"u1"}\n{"userId":"nobody"}\nbroken\n'


@pytest.fixture(scope="module")
def clients() -> Path:
    """The folder that `bin/make-clients` has made."""
    given = os.environ.get("PERSONALIZE_SPARK_CLIENTS")
    folder = Path(given) if given else Path(__file__).resolve().parents[1] / ".clients"
    if not (folder / "node_modules").exists():
        pytest.skip(f"no clients in {folder}: make clients, or set PERSONALIZE_SPARK_CLIENTS to their folder")
    return folder


@dataclass(frozen=True)
class World:
    """Two servers on a catalog with a toy version and its dataset group; `asked` is a request, but for its name and filter."""

    folder: Path
    urls: tuple[str, str]
    group: str
    asked: dict[str, Any]

    def answers(self) -> bytes:
        """The output, which is then gone."""
        file = self.folder / "out" / "in.json.out"
        data = file.read_bytes()
        file.unlink()
        return data


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("clients")
    (folder / "keys").write_text(KEYS)
    (folder / "in.json").write_text(LINES)
    catalog = Catalog(folder / "catalog")
    group, version = golden_group(catalog), golden_version(catalog)
    catalog.update(catalog.read(version), datasetGroupArn=str(group.arn))
    asked = request(version, f"file://{folder}/in.json", f"file://{folder}/out/", numResults=3)
    keys = ("--access-keys", str(folder / "keys"))
    with serving(folder, *keys) as (one, _), serving(folder, *keys) as (other, _):
        yield World(folder, (one, other), str(group.arn), asked)


@pytest.fixture(scope="module")
def expected(world: World) -> bytes:
    """What `personalize-spark run` answers."""
    catalog = ["--catalog", str(world.folder / "catalog")]
    made = ["create-filter", "--name", "cheap", "--dataset-group-arn", world.group]
    assert main([*made, "--filter-expression", "INCLUDE ItemID WHERE Items.PRICE = 1", *catalog]) == 0
    filtering = world.group.replace("dataset-group/shop", "filter/cheap")
    (world.folder / "request.json").write_text(json.dumps({**world.asked, "jobName": "ours", "filterArn": filtering}))
    assert main(["run", "--request", str(world.folder / "request.json"), "--engine", "local", *catalog]) == 0
    answers = world.answers()
    items = [json.loads(line)["output"]["recommendedItems"] for line in answers.splitlines()]
    assert items == [["a", "new", "c"], ["a", "c", "d"], []]  # one is explored
    return answers


@dataclass(frozen=True)
class Aws:
    """The AWS CLI against one server."""

    clients: Path
    url: str

    def __call__(self, operation: str, *options: str, refused: bool = False) -> str:
        """What it prints, or its error. A call takes a second: the tool reads its own data first."""
        program = [str(self.clients / "bin" / "python"), "-m", "awscli", "personalize", operation, *options]
        keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "very secret"}
        place = {"AWS_ENDPOINT_URL": self.url, "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}
        settings = {**os.environ, **keys, **place, "AWS_DEFAULT_OUTPUT": "text"}
        settings.pop("PYTHONPATH", None)
        done = subprocess.run(program, env=settings, capture_output=True, text=True, check=False)
        assert bool(done.returncode) == refused, done.stderr
        return done.stderr if refused else done.stdout.strip()


def test_the_aws_cli_drives_a_job_to_the_bytes_of_run(clients: Path, world: World, expected: bytes) -> None:
    aws, other = (Aws(clients, url) for url in world.urls)
    schema = aws("create-schema", "--name", "clicks", "--schema", json.dumps(SCHEMA))
    group = other("create-dataset-group", "--name", "cli-shop", "--tags", "tagKey=team,tagValue=crm")
    kind = ("--dataset-type", "Interactions")
    dataset = aws("create-dataset", "--name", "c", "--schema-arn", schema, "--dataset-group-arn", group, *kind)
    assert dataset.endswith("dataset/cli-shop/INTERACTIONS")
    listed = aws("list-recipes", "--page-size", "4", "--query", "recipes[].recipeArn").split()
    assert len(listed) == len(RECIPES)
    [recipe] = [each for each in listed if each.endswith("/aws-user-personalization")]
    solution = aws("create-solution", "--name", "home", "--dataset-group-arn", group, "--recipe-arn", recipe)
    assert solution.endswith("solution/home")
    expression = ("--filter-expression", "INCLUDE ItemID WHERE Items.PRICE = 1")
    filtering = aws("create-filter", "--name", "cli-cheap", "--dataset-group-arn", world.group, *expression)
    asked = {**world.asked, "jobName": "cli", "filterArn": filtering}
    job = aws("create-batch-inference-job", "--cli-input-json", json.dumps(asked))
    status = "CREATE PENDING"
    while status in {"CREATE PENDING", "CREATE IN_PROGRESS"}:  # the other server knows as much
        status = other("describe-batch-inference-job", "--batch-inference-job-arn", job, "--query", "*.status")
    assert status == "ACTIVE"
    assert world.answers() == expected
    error = other("create-batch-inference-job", "--cli-input-json", json.dumps(asked), refused=True)
    assert "An error occurred (ResourceAlreadyExistsException) when calling the CreateBatchInferenceJob" in error


def test_the_sdk_for_javascript_drives_a_job_to_the_bytes_of_run(clients: Path, world: World, expected: bytes) -> None:
    story = Path(__file__).parent / "clients" / "story.cjs"
    job = {**world.asked, "jobName": "js", "datasetGroupArn": world.group}
    parameters = json.dumps({"schema": json.dumps(SCHEMA), "job": job})
    program = [str(clients / "bin" / "node"), str(story), str(clients), world.urls[1], parameters]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "dataset": True,
        "recipes": sorted(RECIPES),
        "solution": True,
        "status": "ACTIVE",
        "taken": "ResourceAlreadyExistsException true 400",
        "missing": "ResourceNotFoundException true 400",
        "campaign": "InvalidInputException true 400",
    }
    assert world.answers() == expected
