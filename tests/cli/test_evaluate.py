from __future__ import annotations

import json
from pathlib import Path

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.quality.evaluate import evaluate
from tests.quality.test_evaluate import write


def test_the_command_prints_what_the_function_returns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = Catalog(tmp_path / "catalog")
    arn = write(catalog)
    evaluation = evaluate(catalog, arn)
    asked = ["evaluate", "--catalog", str(tmp_path / "catalog"), "--solution-version", arn]
    assert main(asked) == 0
    assert capsys.readouterr() == (f"{evaluation}\n", "")
    page = tmp_path / "page.html"
    assert main([*asked, "--json", "--page", str(page)]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(evaluation.to_dict()))
    assert page.read_text().startswith("<!doctype html>")


def test_notes_go_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arn = write(Catalog(tmp_path / "catalog"), held_out=None)
    (tmp_path / "later.csv").write_text("USER_ID,ITEM_ID\nuser-1,item-01\n")
    asked = ["--solution-version", arn, "--interactions", str(tmp_path / "later.csv")]
    assert main(["evaluate", "--catalog", str(tmp_path / "catalog"), *asked]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("1 of the 1 users in ")
    assert "known" not in said.out
