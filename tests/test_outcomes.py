"""What became of lines: the same numbers however the lines are cut, and the numbers of what was written."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personalize_spark.answer import answer
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.outcomes import Example, Expected, Finding, Outcomes, sampled
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.recommendations import Recommendations
from personalize_spark.records import parse
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.testing.toy import golden_version, random_world, world_version

LINES = [
    b'{"userId":"u1","itemList":["a","?"]}',
    b'{"userId":"nobody","itemList":["a"]}',
    b'{"userId":7,"itemList":[]}',
    b"broken",
    b"",
    b"{}",
    b'{"userId":"\xff"}',
]
RECIPE = "aws-personalized-ranking"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    catalog = Catalog(f"file://{tmp_path_factory.mktemp('catalog')}")
    return read_model(Pinned(**catalog.read(golden_version(catalog, RECIPE)).fields["model"]).open())


def outcomes(model: Model, lines: list[bytes]) -> Outcomes:
    return answer(RECIPES[RECIPE], model, Settings(3), lines).outcomes


@given(lines=st.lists(st.sampled_from(LINES)), cuts=st.lists(st.integers(0, 30)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_outcomes_do_not_depend_on_how_lines_are_cut(model: Model, lines: list[bytes], cuts: list[int]) -> None:
    total, places = Outcomes(), sorted({0, len(lines), *(each for each in cuts if each < len(lines))})
    for start, end in pairwise(places):
        total.add(outcomes(model, lines[start:end]))
    assert total == (outcomes(model, lines) if lines else Outcomes())


def test_each_kind_has_its_number_and_its_first_line(model: Model) -> None:
    found = outcomes(model, [b"", *LINES, *LINES])
    assert (found.read, found.answered) == (15, 12)
    wanted = "Required fields for the provided recipe are userId, itemList"
    assert found.errors == {
        "MalformedJson": Finding(2, Example(5, "broken", "The line is not valid JSON at character 1")),
        "MissingField": Finding(2, Example(7, "{}", wanted)),
        "InvalidUtf8": Finding(2, Example(8, '{"userId":"\ufffd"}', "The line is not valid UTF-8 at byte 12")),
    }
    assert found.remarks == {
        "EmptyList": Finding(2, Example(4, LINES[2].decode())),
        "UnknownItemInList": Finding(2, Example(2, LINES[0].decode())),
        "UnknownUser": Finding(4, Example(3, LINES[1].decode())),
    }
    assert found.unknown_ids == ["nobody", "7"]
    assert found.values == {}


def test_a_line_is_shown_by_its_beginning(model: Model) -> None:
    [error] = outcomes(model, [b"x" * 5_000]).errors.values()
    assert error.first.text == "x" * 200


def test_empty_and_short_lists_and_what_filter_values_did_it() -> None:
    values = ["'Drama'", "'Drama'", '"x"']
    lines = [json.dumps({"userId": "u", "filterValues": {"GENRE": each}}).encode() for each in values]
    records = parse(lines, ["userId"])
    lists = Ragged.of_lengths(np.array([0, 1, 0]), np.array([4]))
    found = Outcomes.of(lines, records, Recommendations(lists, None), Expected(2, None, "userId", filtered=True))
    assert {kind: each.lines for kind, each in found.remarks.items()} == {"EmptyList": 2, "ShortList": 1}
    assert found.remarks["ShortList"].first.line == 2
    assert found.values == {'{"GENRE":"\'Drama\'"}': 1, '{"GENRE":"\\"x\\""}': 1}
    assert found.short_values == {'{"GENRE":"\'Drama\'"}': 1}
    found.add(found)
    assert found.short_values == {'{"GENRE":"\'Drama\'"}': 2}


def test_the_first_item_of_each_list_is_looked_at() -> None:
    lines = [b'{"userId":"u"}'] * 4
    lists = Ragged.of_lengths(np.array([2, 1, 0, 1]), np.array([0, 9, 9, 4]))
    scores = np.array([1.0, 0.5, 0.0, 0.04])
    deciles = np.arange(10, dtype=np.int8)
    expected = Expected(2, None, "userId", deciles=deciles)
    found = Outcomes.of(lines, parse(lines, ["userId"]), Recommendations(lists, scores), expected)
    assert {bin_: count for bin_, count in enumerate(found.scores) if count} == {0: 1, 11: 1, 13: 1}
    assert found.popularity == [1, 0, 0, 0, 1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_says_what_it_does_not_know(recipe: str, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    of_recipe = read_model(
        Pinned(**catalog.read(world_version(catalog, random_world(), recipe)).fields["model"]).open()
    )
    lines = [b'{"userId":"u1","itemId":"i1","itemList":["i1"]}', b'{"userId":"?","itemId":"?","itemList":["i1"]}']
    found = answer(RECIPES[recipe], of_recipe, Settings(3), lines).outcomes
    unknown = {
        kind: (each.lines, each.first.line) for kind, each in found.remarks.items() if kind.startswith("Unknown")
    }
    kind = "UnknownItem" if "itemId" in RECIPES[recipe].required else "UnknownUser"
    assert unknown == ({} if recipe == "aws-popularity-count" else {kind: (1, 2)})


@pytest.mark.parametrize("items", [3, 40_000])
def test_which_items_there_are_adds_up(items: int) -> None:
    lines, step = [b'{"userId":"u"}'] * 2, sampled(items)
    records, expected = parse(lines, ["userId"]), Expected(2, None, "userId", catalogue=items)
    total = Outcomes()
    assert total.coverage == 0.0
    for first in (0, step):
        lists = Ragged.of_lengths(np.array([1, 1]), np.array([first, items + 5]))  # the last one is unknown
        total.add(Outcomes.of(lines, records, Recommendations(lists, None), expected))
    assert total.coverage == pytest.approx(2 / -(-items // step))
