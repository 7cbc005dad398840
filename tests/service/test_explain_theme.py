from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.status import Status
from personalize_spark.cli.main import main
from personalize_spark.errors import InvalidInputException, ResourceNotFoundException
from personalize_spark.schemas import ITEMS, Column, Schema
from personalize_spark.service.explain_theme import ThemeExplanation, explain_theme
from personalize_spark.testing.toy import themed_version, write_version
from personalize_spark.themes.choice import Candidate

SCHEMA = Schema(
    ITEMS,
    (Column("ITEM_ID", "string"), Column("TITLE", "string"), Column("TEXT", "string", nullable=True, textual=True)),
)
WALKS = [("a", "Lead"), ("b", "Towel"), ("c", "Dog Bed"), ("d", "Coat")]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Four things for muddy walks, four for other ends."""
    catalog = Catalog(f"file://{tmp_path_factory.mktemp('themes')}/catalog")
    rows = [(item, name, f"A {name.lower()} for muddy walks.") for item, name in WALKS]
    rows += [(item, f"Pan {item}", f"Golden number{item}.") for item in "efgh"]
    table = pa.table(dict(zip(SCHEMA.names, map(list, zip(*rows, strict=True)), strict=True)))
    version = themed_version(catalog, table, SCHEMA, np.repeat(np.eye(2, dtype=np.float32), 4, axis=0))
    catalog.create(version.sibling("solution", version.name), {"name": version.name, "status": Status.ACTIVE})
    return catalog


def test_the_choice_is_explained(catalog: Catalog) -> None:
    found = explain_theme(catalog, "a", num_results=3)
    assert (found.theme, found.known) == ("Muddy walks", True)
    assert {item for item, _ in found.items} == {"b", "c", "d"}
    scores = [relevance for _, relevance in found.items]
    assert scores == sorted(scores, reverse=True)
    assert found.candidates[0].text == "Muddy walks"
    assert found.candidates[0].coverage == 1.0
    assert "100% of the items have it, 2.0 times as many as in the catalogue" in found.why()


def test_a_choice_that_has_not_the_highest_score_is_explained() -> None:
    told, common = (
        Candidate("Muddy walks", (0,), 0.5, 2.0, 0.0, 1.0, 0.4),
        Candidate("Dogs", (1,), 1.0, 1.1, 0.0, 1.0, 0.9),
    )
    found = ThemeExplanation(
        "a", "arn", known=True, theme=told.text, items=[], candidates=[told, common], of_candidates=2
    )
    assert (
        "the highest score of those that are 1.2 times as frequent here as in the catalogue, or more: 50%"
        in found.why()
    )
    assert "the highest score: 50%" in replace(found, candidates=[told]).why()


def test_an_unknown_item_is_said_to_be_one(catalog: Catalog) -> None:
    assert "does not know nobody: these are the popular items" in str(explain_theme(catalog, "nobody", num_results=3))


def test_the_command_prints_it(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["explain-theme", "--item", "a", "--num-results", "7", "--catalog", catalog.uri]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert said.startswith("Theme     Muddy walks\nWhy       Of ")
    assert "(below 0.1: drop it)" in said
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["theme"] == told["candidates"][0]["text"] == "Muddy walks"
    assert len(told["items"]) == 7


def test_what_cannot_be_explained_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputException, match="'TITEL', which is no column of names .did you mean 'TITLE'"):
        explain_theme(catalog, "a", item_name="TITEL")
    empty = Catalog(f"file://{tmp_path}/catalog")
    with pytest.raises(ResourceNotFoundException, match="No solution version of the catalog has themes"):
        explain_theme(empty, "a")
    plain = write_version(empty, "aws-sims", ["a", "b"], np.eye(2, dtype=np.float32), {}, [2, 1])
    with pytest.raises(InvalidInputException, match="has no themes: they need the recipe aws-similar-items"):
        explain_theme(empty, "a", solution_version=str(plain))
