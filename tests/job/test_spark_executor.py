"""What a stage does for the Python worker that runs its tasks."""

from __future__ import annotations

import importlib
import sys
import zipfile
from pathlib import Path
from zipimport import zipimporter

import pytest

from personalize_spark.job.spark_executor import _forget_finders


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
