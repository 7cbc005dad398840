from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import requires
from importlib.resources import files
from pathlib import Path

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.testing.toy import golden_version, request

BLOCKED = """
import importlib, pkgutil, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pyspark", "pandas", "delta", "scipy"}:
            raise ModuleNotFoundError(name, name=name.partition('.')[0])
sys.meta_path.insert(0, Block())
import personalize_spark
for package in ("artifacts", "catalog", "filters", "quality", "recipes", "scoring", "service", "storage"):
    for module in pkgutil.walk_packages([f"{personalize_spark.__path__[0]}/{package}"], f"personalize_spark.{package}."):
        importlib.import_module(module.name)
for module in ("answer", "cli.main", "request"):
    importlib.import_module(f"personalize_spark.{module}")
"""


FROM_ZIP = """
import importlib, pkgutil, sys
sys.path.insert(0, "./package.zip")
import personalize_spark
assert personalize_spark.__file__.startswith("./package.zip")
for module in pkgutil.walk_packages(personalize_spark.__path__, "personalize_spark."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from personalize_spark.filters.parser import parse
parse('EXCLUDE ItemID WHERE Items.GENRES IN ("drama")')
"""


@pytest.mark.slow
def test_the_zip_has_all_that_modules_read(tmp_path: Path) -> None:
    """As executors have it by --py-files: by a relative path."""
    shutil.make_archive(f"{tmp_path}/package", "zip", Path(__file__).parents[1], "personalize_spark")
    subprocess.run([sys.executable, "-c", FROM_ZIP], check=True, cwd=tmp_path)


@pytest.mark.slow
def test_a_plain_install_needs_no_pyspark() -> None:
    subprocess.run([sys.executable, "-c", BLOCKED], check=True)


@pytest.mark.slow
def test_what_a_plain_install_lacks_is_an_error_of_the_package_in_python(tmp_path: Path) -> None:
    program = f"""{BLOCKED}
import personalize_spark as ps
try:
    ps.train(ps.Catalog(sys.argv[1]), "g", "aws-sims", "s")
except ps.PersonalizeSparkError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "This needs pyspark, which is not installed: pip install 'personalize-spark[spark]'.\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("import --group g --interactions x.csv", ""),
        ("train --group g --recipe aws-sims --solution s", ""),
        ("import-model --recipe aws-popularity-count --solution s --counts x.csv", ""),
        ("run --request request.json", " Or run the job with the engine local, which needs neither Spark nor Java."),
    ],
)
def test_what_a_plain_install_lacks_is_said_in_a_sentence(command: str, instead: str, tmp_path: Path) -> None:
    version = golden_version(Catalog(tmp_path / "catalog"))
    (tmp_path / "users.json").write_text('{"userId":"u1"}\n')
    job = request(version, f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/")
    (tmp_path / "request.json").write_text(json.dumps(job))
    program = f"{BLOCKED}\nimport personalize_spark.cli.main as cli; sys.exit(cli.main(sys.argv[1:]))"
    whole = [sys.executable, "-c", program, *command.split(), "--catalog", f"{tmp_path}/catalog"]
    done = subprocess.run(whole, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = f"This needs pyspark, which is not installed: pip install 'personalize-spark[spark]'.{instead}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_the_types_are_shipped() -> None:
    assert (files("personalize_spark") / "py.typed").is_file()


@pytest.mark.slow
def test_a_job_without_s3_and_filters_loads_neither_boto3_nor_lark() -> None:
    """Each of them would keep a small job waiting for 0.1 to 0.2 s."""
    check = "import sys, personalize_spark.service.batch_inference_jobs, personalize_spark.job.run, personalize_spark.job.task"
    loaded = f"{check}; print({{'boto3', 'botocore', 'lark', 'pyspark'}} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True).stdout == b"set()\n"


@pytest.mark.slow
def test_the_demo_writes_nothing_where_spark_is_missing(tmp_path: Path) -> None:
    program = f"{BLOCKED}\nimport personalize_spark.cli.main as cli; sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "demo", "--keep", str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "This needs pyspark, which is not installed" in done.stderr) == (1, True)
    assert not (tmp_path / "kept").exists()


def test_the_package_does_not_ask_for_pyspark() -> None:
    asked = [each for each in requires("personalize-spark") or () if "extra ==" not in each]
    assert asked
    assert not [each for each in asked if each.startswith(("pyspark", "pandas", "delta"))]


def test_what_the_documents_show_is_what_was_measured() -> None:
    from benchmarks.report import BEGIN, END, ROOT, documents, picture

    results = ROOT / "benchmarks" / "results"
    for name, text in documents(results).items():
        written = (ROOT / name).read_text().partition(BEGIN)[2].partition(END)[0]
        assert written.strip() == text.strip(), name
    assert (results / "endtoend.svg").read_text() == picture(results)
