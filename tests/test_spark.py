"""Delta and S3A come with the jars, and nothing comes twice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyspark
import pytest
from delta import DeltaTable
from pyspark.sql import SparkSession

from personalize_spark.errors import EnvironmentProblem
from personalize_spark.spark import check_delta, ensure_jars, jars_folder


@pytest.fixture(params=["files", pytest.param("s3", marks=pytest.mark.s3)])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A path for a table, as Hadoop spells it."""
    if request.param == "files":
        return f"{tmp_path}/table"
    return f"{request.getfixturevalue('s3')}/table".replace("s3:", "s3a:")


@pytest.mark.spark
def test_a_delta_table_is_written_and_merged(spark: SparkSession, table: str) -> None:
    columns = "id string, count int"
    spark.createDataFrame([("a", 1), ("b", 1)], columns).write.format("delta").save(table)
    changes = spark.createDataFrame([("b", 2), ("c", 2)], columns)
    merge = DeltaTable.forPath(spark, table).alias("old").merge(changes.alias("new"), "old.id = new.id")
    merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()
    merged = spark.read.format("delta").load(table).orderBy("id").collect()
    assert [tuple(row) for row in merged] == [("a", 1), ("b", 2), ("c", 2)]


@pytest.mark.parametrize(("extensions", "has"), [("io.delta.sql.DeltaSparkSessionExtension", True), ("", False)])
def test_a_session_without_delta_is_told(extensions: str, *, has: bool) -> None:
    session: Any = SimpleNamespace(conf={"spark.sql.extensions": extensions})
    with nullcontext() if has else pytest.raises(EnvironmentProblem, match="has no Delta"):
        check_delta(session)


def test_no_jar_is_one_that_spark_ships_in_any_version() -> None:
    shipped = {_artifact(jar) for jar in (Path(pyspark.__file__).parent / "jars").glob("*.jar")}
    assert not shipped & {_artifact(jar) for jar in ensure_jars()}


def test_the_set_is_slim() -> None:
    assert 20e6 < sum(jar.stat().st_size for jar in ensure_jars()) < 40e6


def test_complete_jars_are_neither_fetched_nor_locked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_jars()
    (tmp_path / "resolved").write_text((jars_folder() / "resolved").read_text())
    (tmp_path / "delta.jar").touch()
    monkeypatch.setenv("PERSONALIZE_SPARK_JARS", str(tmp_path))
    assert ensure_jars() == [tmp_path / "delta.jar"]
    assert not (tmp_path / "lock").exists()


@pytest.mark.spark  # starts a JVM
def test_without_the_repository_one_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONALIZE_SPARK_JARS", str(tmp_path))
    monkeypatch.setenv("DEFAULT_ARTIFACT_REPOSITORY", "http://127.0.0.1:9/")
    # The one other place where Spark looks is out of reach as well.
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=9")
    with pytest.raises(
        EnvironmentProblem, match=r"could not be fetched.*DEFAULT_ARTIFACT_REPOSITORY.*without a network"
    ):
        ensure_jars()
    assert not list(tmp_path.glob("*.jar"))
    assert not (tmp_path / "resolved").exists()


def test_the_command_prints_the_folder() -> None:
    command = [sys.executable, "-m", "personalize_spark.spark"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout == f"{jars_folder()}\n"


def _artifact(jar: Path) -> str:
    return re.split(r"-\d", jar.name)[0]
