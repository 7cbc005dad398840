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

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.status import Status
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


@pytest.mark.slow
@pytest.mark.spark
def test_a_killed_jvm_is_told_in_plain_words(tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "users.json").write_text('{"userId":"u1"}\n' * 400_000)
    asked = request(golden_version(catalog), f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/", numResults=3)
    command = [sys.executable, "-m", "personalize_spark", "run", "--catalog", catalog.uri]
    with subprocess.Popen([*command, "--request", json.dumps(asked)], stderr=subprocess.PIPE, text=True) as driver:
        while not list(tmp_path.glob("out/_staging/*/*/pieces/*/*")):
            assert driver.poll() is None
            time.sleep(0.01)
        children = [each.read_text().split() for each in Path(f"/proc/{driver.pid}/task").glob("*/children")]
        for child in chain.from_iterable(children):
            os.kill(int(child), signal.SIGKILL)
        _, said = driver.communicate(timeout=120)
    assert driver.returncode == 1
    assert "The JVM of the driver is gone: it was killed, or ended by itself." in said
    assert "Traceback" not in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_CHECK"]
    [record] = catalog.list("batch-inference-job")
    assert record.status is Status.FAILED
