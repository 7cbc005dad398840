"""What a stage does for the Python worker that runs its tasks, and what is told when Spark is gone."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from itertools import chain
from pathlib import Path
from zipimport import zipimporter

import pytest
from pyspark.sql import SparkSession

from personalize_spark import api
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.status import Status
from personalize_spark.cli.main import main
from personalize_spark.job.spark_executor import _forget_finders
from personalize_spark.testing.toy import golden_version, request


def test_archives_are_found_again_when_they_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "shipped.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("shipped_one.py", "NUMBER = 1")
        file.writestr("shipped_two.py", "NUMBER = 2")
    monkeypatch.syspath_prepend(str(archive))
    assert importlib.import_module("shipped_one").NUMBER == 1
    assert str(archive) in sys.path_importer_cache
    _forget_finders()
    assert not [each for each in sys.path_importer_cache.values() if isinstance(each, zipimporter)]
    importlib.invalidate_caches()  # what Spark calls before a task
    assert importlib.import_module("shipped_two").NUMBER == 2


LINES = 1_000_000


def begun(folder: Path) -> tuple[subprocess.Popen[str], Catalog]:
    """A driver on Spark, some of whose lines are answered, and its catalog."""
    catalog = Catalog(f"file://{folder}/catalog")
    (folder / "users.json").write_text('{"userId":"u1"}\n' * LINES)
    asked = request(golden_version(catalog), f"file://{folder}/users.json", f"file://{folder}/out/", numResults=3)
    command = [sys.executable, "-m", "personalize_spark", "run", "--catalog", catalog.uri]
    driver = subprocess.Popen([*command, "--request", json.dumps(asked)], stderr=subprocess.PIPE, text=True)
    while not list(folder.glob("out/_staging/*/*/pieces/*/*")):
        assert driver.poll() is None
        time.sleep(0.01)
    return driver, catalog


@pytest.mark.slow
@pytest.mark.spark
def test_a_job_whose_jvm_was_killed_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    driver, catalog = begun(tmp_path)
    while not list(tmp_path.glob("out/_staging/*/*/manifests/*")):
        assert driver.poll() is None
        time.sleep(0.01)
    children = [each.read_text().split() for each in Path(f"/proc/{driver.pid}/task").glob("*/children")]
    for child in chain.from_iterable(children):
        os.kill(int(child), signal.SIGKILL)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 1
    assert "The JVM of the driver is gone: it was killed, or ended by itself." in said
    assert "Traceback" not in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_CHECK", "_staging"]
    [record] = catalog.list("batch-inference-job")
    assert record.status is Status.FAILED
    assert record.fields["failureReason"].endswith(f"Continue it with: personalize-spark resume {record.arn}")
    command = record.fields["failureReason"].partition("personalize-spark ")[2].split()
    assert main([*command, "--engine", "local", "--catalog", catalog.uri]) == 0
    assert "The job was resumed: " in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name != "_CHECK"] == ["users.json.out"]
    check_answers(tmp_path)


def check_answers(folder: Path) -> None:
    answers = (folder / "out/users.json.out").read_bytes().splitlines()
    assert (len(answers), len(set(answers))) == (LINES, 1)


@pytest.mark.slow
def test_a_driver_that_spot_capacity_takes_away_is_resumed(spark: SparkSession, tmp_path: Path) -> None:
    driver, catalog = begun(tmp_path)
    driver.send_signal(signal.SIGTERM)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 130, said
    assert "Continue it with: personalize-spark resume arn:" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("out/*.out"))
    before = len(list(tmp_path.glob("out/_staging/*/*/pieces/*/*")))
    [record] = catalog.list("batch-inference-job")
    report = api.resume(catalog, str(record.arn), spark=spark)
    assert 0 < before < report.splits
    assert report.lines == LINES
    check_answers(tmp_path)
    assert [note for note in report.notes if "resumed" in note]
