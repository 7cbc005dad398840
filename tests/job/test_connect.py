"""A whole job through a real Spark Connect server, and what a client of it finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.recipes import RECIPES
from personalize_spark.testing.toy import World, golden_version, request, world_version
from tests.servers import connect_server

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"

pytestmark = [pytest.mark.spark]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with connect_server(tmp_path_factory.mktemp("connect")) as url:
        yield url


def client(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    return subprocess.run(
        [sys.executable, *arguments], env=settings | environment, capture_output=True, text=True, check=False
    )


def test_a_job_gives_the_golden_bytes(url: str, tmp_path: Path) -> None:
    world = World(**json.loads((GOLDEN / "world.json").read_text()))
    catalog = Catalog(f"file://{tmp_path}/catalog")
    name = next(iter(RECIPES))
    job = request(
        world_version(catalog, world, name), f"file://{GOLDEN}/input.json", f"file://{tmp_path}/out/", numResults=5
    )
    (tmp_path / "request.json").write_text(json.dumps(job))
    command = ["-m", "personalize_spark", "run", "--request", f"{tmp_path}/request.json", "--catalog", catalog.uri]
    done = client(*command, SPARK_REMOTE=url)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "input.json.out").read_bytes() == (GOLDEN / f"{name}.out").read_bytes()


def test_a_session_is_measured_stopped_and_left_as_it_is(url: str, tmp_path: Path) -> None:
    done = client(str(Path(__file__).with_name("connect_client.py")), url, str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("failure").startswith("LookupError: no such shard")
    assert "OPERATION_CANCELED" in told.pop("interrupted")
    assert told == {"cores": 3, "found": [True, True], "tags": [], "unchanged": True}


def test_the_example_for_databricks_answers_a_table(url: str, tmp_path: Path) -> None:
    """With other names of catalog, version and tables."""
    version = golden_version(Catalog(tmp_path / "catalog"))
    names = {
        "/Volumes/main/recs/catalog": f"{tmp_path}/catalog",
        "arn:aws:personalize:us-east-1:111122223333:solution/home/1a2b3c4d": str(version),
        "main.recs.": "",
    }
    example = (ROOT / "conf" / "databricks_recommend.py").read_text()
    for name, other in names.items():
        assert f'"{name}' in example
        example = example.replace(f'"{name}', f'"{other}')
    before, after = (
        "from pyspark.sql import SparkSession",
        "print(session.table('homepage').orderBy('n').toPandas().to_json())",
    )
    table = "SparkSession.builder.getOrCreate().createDataFrame([(1, 'u1'), (2, 'u2')], 'n INT, user_id STRING')"
    (tmp_path / "example.py").write_text(f"{example}\n{after}\n")
    (tmp_path / "visitors.py").write_text(f"{before}\n{table}.write.saveAsTable('visitors')\n")
    for program in ("visitors.py", "example.py"):
        done = client(str(tmp_path / program), PYTHONPATH=str(ROOT), SPARK_REMOTE=url)
        assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["userId"] == {"0": "u1", "1": "u2"}
    assert [len(items) > 1 for items in told["recommendedItems"].values()] == [True, True]
    assert told["error"] == {"0": None, "1": None}


def test_a_frame_is_answered_with_the_catalog_and_without_it(url: str, tmp_path: Path) -> None:
    version = golden_version(Catalog(tmp_path / "catalog"))
    program = str(Path(__file__).with_name("connect_frames.py"))
    done = client(program, url, f"{tmp_path}/catalog", str(version), PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    read, sent = json.loads(done.stdout)
    assert read == sent
    assert [answer[0] for answer in sent] == [["a", "b"], ["a", "b"], []]
    assert [answer[1] is None for answer in sent] == [True, True, False]
