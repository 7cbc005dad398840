"""What is asked beyond the service, against brute force over whole rankings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personalize_spark.answer import answer
from personalize_spark.filters.selector import Group
from personalize_spark.recipes import RECIPES, Recipe, RecipeType, Settings, extended
from personalize_spark.recipes.extended import Extras
from personalize_spark.records import Object
from personalize_spark.scoring.caps import Caps
from personalize_spark.scoring.exploration import Cold, hashes
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.model import JsonTexts, Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection
from personalize_spark.testing.recipe_tests import lines_of
from personalize_spark.testing.toy import model_of, random_world

Lists = list[tuple[list[str], list[float] | None]]


class ByLine:
    """A filter that lets line u get what mask u % 2 has."""

    required: Sequence[str] = ()
    varies = True

    def __init__(self, items: int) -> None:
        self._bits = np.stack([np.packbits(np.arange(items) % modulus != 0) for modulus in (3, 4)])

    def select(self, lines: Sequence[Object]) -> tuple[Iterable[Group], dict[int, str]]:
        every = np.arange(len(lines))
        excluded = Ragged.of_lengths(np.ones(len(lines), np.int64), np.full(len(lines), 5, np.int32))
        also = Ragged.of_lengths(np.ones(len(lines), np.int64), np.zeros(len(lines), np.int32))
        return [Group(every, Selection(Masks(self._bits, every % 2), excluded, also))], {}


@pytest.fixture(params=sorted(RECIPES), scope="module")
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]


@pytest.fixture(scope="module")
def model(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Model:
    found = model_of(random_world(), recipe.name, tmp_path_factory.mktemp("catalog"))
    return exploring(found) if recipe.explores else found


def exploring(model: Model) -> Model:
    new = ["new-0", "new-1", "new-2"]
    more = model.with_items(JsonTexts.of([json.dumps(name).encode() for name in new]))
    names = sorted(["i1", "i3", "i4", *new], key=lambda name: int(more.rows_of([name])[0]))
    return replace(more, cold=Cold(more.rows_of(names), np.arange(6) % 3, hashes(names), 0.9, 7))


def answered(
    recipe: Recipe, model: Model, n: int, lines: Sequence[str], extras: Extras, *, filtered: bool
) -> list[dict[str, Any]]:
    line_filter = ByLine(len(model.item_ids_json)) if filtered else None
    data = answer(recipe, model, Settings(n), [line.encode() for line in lines], line_filter, None, extras).data
    return [json.loads(line) for line in data.splitlines()]


def categories_of(seed: int, count: int, names: int) -> list[list[int]]:
    """Some categories for each item: none, one or two."""
    random = np.random.default_rng(seed)
    return [sorted(random.permutation(names)[: random.integers(0, 3)].tolist()) for _ in range(count)]


def caps_of(categories: Sequence[Sequence[int]], most: Sequence[int]) -> Caps:
    rows = [*categories, []]
    lengths = np.array([len(row) for row in rows], np.int64)
    return Caps(Ragged.of_lengths(lengths, np.array([each for row in rows for each in row], np.int32)), np.array(most))


def greedy(line: Mapping[str, Any], of: Mapping[str, Sequence[int]], most: Sequence[int], n: int) -> Any:
    """The list that is left of a whole ranking."""
    held: Counter[int] = Counter()
    output = line["output"]
    kept: list[int] = []
    for place, item in enumerate(output["recommendedItems"]):
        codes = of.get(item, ())
        if len(kept) < n and all(held[code] < most[code] for code in codes):
            kept.append(place)
            held.update(codes)
    chosen = {name: [values[place] for place in kept] for name, values in output.items()}
    return {**line, "output": chosen}


@given(
    seed=st.integers(0, 99),
    n=st.sampled_from([1, 3, 10, 60]),
    names=st.sampled_from([1, 2, 7, 200]),
    filtered=st.booleans(),
    few=st.booleans(),
)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_list_has_more_of_a_category_and_the_next_best_move_up(
    recipe: Recipe, model: Model, seed: int, n: int, names: int, filtered: object, few: object
) -> None:
    count = len(model.item_ids_json)
    categories = categories_of(seed, count, names)
    most = np.random.default_rng(seed).integers(1, 3, names).tolist()
    lines = [line for line in lines_of(recipe, 30) if line.strip()][: 3 if few else 30]
    whole = answered(recipe, model, count, lines, extended.NOTHING, filtered=bool(filtered))
    n = count if recipe.type is RecipeType.PERSONALIZED_RANKING else n
    expected = [greedy(line, dict(zip(model.item_ids(), categories, strict=True)), most, n) for line in whole]
    told = answered(recipe, model, n, lines, Extras(caps_of(categories, most)), filtered=bool(filtered))
    assert told == expected


def test_lines_are_asked_again_in_parts(model: Model, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for line in lines_of(recipe, 40) if line.strip()]
    extras = Extras(caps_of(categories_of(1, len(model.item_ids_json), 3), [1, 1, 1]))
    whole = answered(recipe, model, 20, lines, extras, filtered=False)
    monkeypatch.setattr(extended, "_MASK_BYTES", 100)
    assert answered(recipe, model, 20, lines, extras, filtered=False) == whole


def test_columns_stand_beside_the_items(recipe: Recipe, model: Model) -> None:
    names = model.item_ids()
    columns = {
        "TITLE": pa.array([json.dumps(name.upper()).encode() for name in names] + [b"null"], pa.binary()),
        "PRICE": pa.array([b"%d" % row for row in range(len(names))] + [b"null"], pa.binary()),
    }
    lines = [line for line in lines_of(recipe, 60) if line.strip()]
    plain = answered(recipe, model, 5, lines, extended.NOTHING, filtered=False)
    told = answered(recipe, model, 5, lines, Extras(columns=columns), filtered=False)
    rows = {name: row for row, name in enumerate(names)}
    for line in plain:
        if line["error"] is None:
            items = line["output"]["recommendedItems"]
            line["output"]["itemColumns"] = {
                "TITLE": [item.upper() if item in rows else None for item in items],
                "PRICE": [rows.get(item) for item in items],
            }
    assert told == plain
