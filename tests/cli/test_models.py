"""`import`, `train` and `import-model`: what they refuse, and that a request for the service runs on an imported model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from personalize_spark.catalog.arns import Arn
from personalize_spark.cli.main import main
from personalize_spark.testing.toy import request
from tests.external.factors import numbered, world, write_counts, write_npz
from tests.oracle import answer_line

ARN = "arn:aws:personalize:eu-west-1:111122223333:solution/films/1a2b3c4d"


def run(*arguments: str, catalog: Path) -> subprocess.CompletedProcess[str]:
    """Run a command where no jar is, nor can be fetched: one that needs Delta fails."""
    command = [sys.executable, "-m", "personalize_spark", *arguments]
    own = {"PERSONALIZE_SPARK_JARS": f"{catalog}-jars", "DEFAULT_ARTIFACT_REPOSITORY": "http://127.0.0.1:1"}
    environment = {**os.environ, **own, "PERSONALIZE_SPARK_CATALOG": str(catalog)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.spark
def test_a_request_for_the_service_runs_on_an_imported_model(tmp_path: Path) -> None:
    model, catalog = numbered(world()), tmp_path / "catalog"
    write_npz(tmp_path, model)
    recipe = "aws-user-personalization"
    given = ["--items", str(tmp_path / "model.npz"), "--counts", write_counts(tmp_path, model)]
    named = ["--solution", "films", "--recipe", recipe, "--arn", ARN]
    imported = run("import-model", *named, *given, catalog=catalog)
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.splitlines()[-1] == ARN
    assert not Path(f"{catalog}-jars").exists()
    lines = [json.dumps({"userId": user}) for user in [*model.users, "stranger"]]
    (tmp_path / "users.json").write_text("\n".join(lines))
    params = request(Arn.parse(ARN), f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/", numResults=7)
    (tmp_path / "request.json").write_text(json.dumps(params))
    done = run("run", "--request", str(tmp_path / "request.json"), catalog=catalog)
    assert done.returncode == 0, done.stderr
    out = (tmp_path / "out" / "users.json.out").read_text()
    assert out.splitlines() == [answer_line(model, recipe, line, 7) for line in lines]


@pytest.mark.spark
def test_what_is_wrong_is_said_and_the_exit_code_tells(tmp_path: Path) -> None:
    model, catalog = numbered(world()), tmp_path / "catalog"
    write_npz(tmp_path, model, item_factors=np.full((40, 5), np.nan, np.float32))
    named = ["--solution", "films", "--recipe", "aws-hrnn", "--items", str(tmp_path / "model.npz")]
    refused = run("import-model", *named, catalog=catalog)
    assert refused.returncode == 2
    assert "give --counts" in refused.stderr
    failed = run("import-model", *named, "--counts", write_counts(tmp_path, model), catalog=catalog)
    assert failed.returncode == 1
    assert "40 of 40 items have a vector or bias that is not finite, the first is '0'" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("import-model --solution s --recipe aws-hrn", "id you mean 'aws-hrnn'"),
        ("import-model --solution s --recipe aws-hrnn --items /nowhere.npy", "give --counts"),
        (
            "import-model --solution s --recipe aws-hrnn --items /nowhere.npy --counts items.csv",
            "There is nothing at file:///nowhere.npy",
        ),
        ("import-model --solution s --recipe aws-hrnn --items items.csv --group g", "no dataset group 'g'"),
        ("import-model --solution s --recipe aws-popularity-count --counts words.txt", "words.txt is not a table"),
        ("import-model --solution s --recipe aws-popularity-count --counts no.csv", "There is nothing at file:"),
        (
            "import-model --solution s --recipe aws-hrnn --items items.csv --counts items.csv --item-ids words.txt",
            "words.txt is not a table",
        ),
        ("import --group g", "Nothing to import"),
        ("import --group ../../evil --items items.csv", "../../evil' is no name of a dataset group"),
        ("import --group g --items /nowhere.csv", "file:///nowhere.csv has no file with content"),
        ("import --group g --items items.csv --items-schema {}", "The schema of Items is not valid"),
        ("train --group g --recipe aws-hrnn --solution s --rank 0", "rank must be above 0"),
    ],
)
def test_what_needs_no_spark_is_refused_without_it(
    arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("items.csv").write_text("ITEM_ID\na\n")
    Path("words.txt").write_text("a\n")
    monkeypatch.setattr("personalize_spark.spark.open_session", None)
    assert main([*arguments.split(), "--catalog", "catalog"]) != 0
    assert said in capsys.readouterr().err
    assert not Path("catalog").exists()
