"""Delta and S3A come with the jars, in the versions that fit Spark, and nothing comes twice."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from personalize_spark import jars
from personalize_spark.errors import EnvironmentProblem
from personalize_spark.jars import RELEASES, ensure_jars, installed_spark, jars_folder, release_of


def test_each_spark_has_its_own_delta_and_hadoop(capsys: pytest.CaptureFixture[str]) -> None:
    found = {version: release_of(version) for version in ("3.5.9", "4.0.5", "4.1.4", "4.2.0", "4.1.1-amzn-0")}
    assert [each.delta for each in found.values()] == [
        "io.delta:delta-spark_2.12:3.3.3",
        "io.delta:delta-spark_4.0_2.13:4.4.0",
        "io.delta:delta-spark_4.1_2.13:4.4.0",
        "io.delta:delta-spark_4.2_2.13:4.4.0",
        "io.delta:delta-spark_4.1_2.13:4.4.0",
    ]
    assert "com.amazonaws:aws-java-sdk-s3:1.12.262" in found["3.5.9"].packages
    assert "software.amazon.awssdk:s3:2.29.52" in found["4.1.4"].packages
    assert capsys.readouterr().err == ""


def test_hadoop_is_that_of_the_installed_spark() -> None:
    [jar] = (Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar")
    assert jar.name == f"hadoop-client-api-{release_of(pyspark.__version__).hadoop}.jar"


def test_the_documents_show_the_table() -> None:
    text = (Path(__file__).parents[1] / "docs" / "platforms.md").read_text()
    shown = re.findall(r"^\| (\d\.\d) \| `(\S+)` \| (\S+) \| (\S+) \|$", text, re.MULTILINE)
    assert shown == [
        (f"{major}.{minor}", each.delta.removeprefix("io.delta:"), each.hadoop, each.sdk)
        for (major, minor), each in RELEASES.items()
    ]


def test_a_newer_spark_gets_the_newest_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert release_of("5.0.1") == RELEASES[max(RELEASES)]
    assert capsys.readouterr().err == (
        "Spark 5.0.1 is newer than this release of personalize_spark knows: it gets Delta for Spark 4.2.\n"
    )


@pytest.mark.parametrize("version", ["4.3.0", "3.4.4", "2.4.8"])
def test_a_spark_without_delta_is_told_in_one_sentence(version: str) -> None:
    with pytest.raises(EnvironmentProblem, match=rf"^Spark {version} has no Delta, which .* need: use Spark 3\.5 or "):
        release_of(version)


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


def test_a_spark_that_does_not_start_is_not_taken_for_a_repository_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONALIZE_SPARK_JARS", str(tmp_path))
    monkeypatch.setattr(jars, "_START_SPARK", "raise OSError('Name or service not known')")
    with pytest.raises(EnvironmentProblem, match=r"does not start: OSError: Name or service not known$"):
        ensure_jars()


def test_the_command_prints_the_folder() -> None:
    command = [sys.executable, "-m", "personalize_spark.jars"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout == f"{jars_folder()}\n"


def _artifact(jar: Path) -> str:
    return re.split(r"-\d", jar.name)[0]


def test_without_pyspark_the_way_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(EnvironmentProblem, match=r"This needs pyspark, .* pip install 'personalize-spark\[spark\]'"):
        installed_spark()
