"""A file system without hard links and locks, such as Databricks's /Volumes: a whole job reads and writes there, and a catalog is refused.

A test cannot count on mounting one. So a library between Python and the C library has both calls fail, in the command and its workers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.testing.toy import golden_version, request

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library; the environment has a C compiler, or zig's (bin/make-venv)."""
    compiler = ["cc"] if shutil.which("cc") else [sys.executable, "-m", "ziglang", "cc"]
    path = tmp_path_factory.mktemp("library") / "without_links.so"
    source = Path(__file__).with_name("without_links.c")
    subprocess.run([*compiler, "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
    return path


def python(library: Path, volumes: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in which the folder has neither."""
    own = {"LD_PRELOAD": str(library), "WITHOUT_LINKS": str(volumes)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False)


def run(library: Path, volumes: Path, catalog: Path, version: Arn) -> subprocess.CompletedProcess[str]:
    """A job whose request, input and output lie on the volumes."""
    (volumes / "in").mkdir(parents=True)
    (volumes / "in" / "users.json").write_text("".join(f'{{"userId":"u{n % 3}"}}\n' for n in range(20_000)))
    asked = request(version, f"file://{volumes}/in/", f"file://{volumes}/out/")
    (volumes / "request.json").write_text(json.dumps(asked))
    command = ["-m", "personalize_spark", "run", "--engine", "local", "--request", str(volumes / "request.json")]
    return python(library, volumes, *command, "--catalog", str(catalog))


def test_the_folder_has_neither_and_others_have_both(library: Path, tmp_path: Path) -> None:
    program = """
import fcntl, os, sys
for call in (lambda: os.link("a", "b"), lambda: fcntl.flock(open("a"), fcntl.LOCK_EX)):
    try:
        print(call())
    except OSError as error:
        print(error.strerror)
"""
    said = []
    for folder in ("volumes", "disk"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").touch()
        there = program.replace('"a"', f'"{tmp_path}/{folder}/a"').replace('"b"', f'"{tmp_path}/{folder}/b"')
        said.append(python(library, tmp_path / "volumes", "-c", there).stdout.splitlines())
    assert said == [["Operation not permitted", "Operation not supported"], ["None", "None"]]


def test_a_whole_job_reads_and_writes_there(library: Path, tmp_path: Path) -> None:
    version = golden_version(Catalog(tmp_path / "catalog"))
    done = run(library, tmp_path / "volumes", tmp_path / "catalog", version)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "volumes" / "out" / "users.json.out").read_bytes().count(b"\n") == 20_000


def test_a_catalog_there_is_refused(library: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "volumes" / "catalog"
    version = golden_version(Catalog(catalog))  # made where it could be, and copied there
    done = run(library, tmp_path / "volumes", catalog, version)
    assert done.returncode != 0
    assert f"The file system of file://{catalog}/ has no hard links" in done.stderr
    assert "Keep catalogs on s3:// or on a disk" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "volumes" / "out").exists()
