"""Jobs that may write no more: a limit on the size of files stands for a disk that is full (`RLIMIT_FSIZE`), as it needs no mount."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.testing.toy import golden_version, request

pytestmark = pytest.mark.slow

LINE = b'{"userId":"u1"}\n'


def failed(folder: Path, data: bytes, most: int) -> str:
    """Run a job whose processes may write no file of more bytes; gives its failureReason."""
    catalog = Catalog(folder / "catalog")
    (folder / "users.json.gz").write_bytes(gzip.compress(data))
    asked = request(golden_version(catalog), f"file://{folder}/users.json.gz", f"file://{folder}/out/", numResults=3)
    command = [sys.executable, "-m", "personalize_spark", "run", "--engine", "local", "--catalog", catalog.uri]
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2);"
        "sys.argv = sys.argv[1:]; runpy.run_module('personalize_spark', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", limited, str(most), *command[3:], "--request", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("out/*.out"))
    assert not list(folder.glob("out/_staging/*")), "something is left"
    [record] = catalog.list("batch-inference-job")
    assert record.fields["status"] == "CREATE FAILED"
    reason: str = record.fields["failureReason"]
    return reason


def test_a_full_disk_of_the_output_is_told_with_its_folder(tmp_path: Path) -> None:
    said = failed(tmp_path, LINE * 2_000, 100_000)
    assert f"{tmp_path}/out/_staging/" in said
    assert "File too large" in said


def test_a_full_disk_of_what_is_laid_down_for_a_while_is_told_with_the_way_on(tmp_path: Path) -> None:
    said = failed(tmp_path, LINE * 150_000, 17 << 20)
    assert "File too large. Free some space there, or name another local folder (spark.local.dir, TMPDIR" in said
