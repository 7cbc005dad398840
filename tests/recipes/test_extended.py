"""What is asked beyond the service, against brute force over whole rankings."""

from __future__ import annotations

import json
import math
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
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection
from personalize_spark.testing.recipe_tests import lines_of
from personalize_spark.testing.toy import NEIGHBOURS, model_of, random_world
from tests.oracle import answer_line

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


def only(*types: RecipeType) -> pytest.MarkDecorator:
    """For the recipes of these types; the others refuse what is asked."""
    names = sorted(name for name, each in RECIPES.items() if each.type in types)
    return pytest.mark.parametrize("recipe", names, indirect=True, scope="module")


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
    """Some categories for each item: one or two, or none with an even seed, where an item without any fills most lists."""
    random = np.random.default_rng(seed)
    return [sorted(random.permutation(names)[: random.integers(seed % 2, 3)].tolist()) for _ in range(count)]


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


@pytest.mark.slow
@given(
    seed=st.integers(0, 99),
    n=st.sampled_from([1, 3, 10, 60]),
    names=st.sampled_from([1, 2, 7, 200]),
    filtered=st.booleans(),
    few=st.booleans(),
)
@settings(
    max_examples=min(12, settings().max_examples),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
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


def listing(lines: Sequence[str], names: Sequence[str], seed: int) -> list[str]:
    """The lines, most of them with lists of items that they may or must not get; some of these are unknown, some null."""
    random = np.random.default_rng(seed)
    longer = []
    for line in lines:
        record = json.loads(line) if line.startswith("{") else None
        if record is not None:
            for key, share in (("allowList", 0.6), ("denyList", 0.2)):
                if random.random() < 0.7:
                    listed = [name for name in names if random.random() < share]
                    record[key] = [[*listed, "?", 7, None, *listed[:1]], listed[:3], [], None][random.integers(0, 4)]
        longer.append(line if record is None else json.dumps(record, ensure_ascii=False))
    return longer


def narrowed(line: Mapping[str, Any]) -> Any:
    """What is left of a whole ranking by the line's own lists."""
    if line["error"] is not None:
        return line
    asked, output = line["input"], line["output"]
    kept = [
        place
        for place, item in enumerate(output["recommendedItems"])
        if item not in (asked.get("denyList") or ()) and (asked.get("allowList") is None or item in asked["allowList"])
    ]
    return {**line, "output": {name: [values[place] for place in kept] for name, values in output.items()}}


@pytest.mark.slow
@only(*{*RecipeType} - {RecipeType.PERSONALIZED_RANKING})
@given(seed=st.integers(0, 99), n=st.sampled_from([1, 10, 400]), filtered=st.booleans(), capped=st.booleans())
@settings(
    max_examples=min(10, settings().max_examples),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_lines_may_have_lists_of_their_own(
    recipe: Recipe, model: Model, seed: int, n: int, filtered: object, capped: object
) -> None:
    names = model.item_ids()
    lines = listing([line for line in lines_of(recipe, 30) if line.strip()], names, seed)
    most = [2, 1, 2, 1]
    categories = categories_of(seed, len(names), 4) if capped else [[]] * len(names)
    whole = answered(recipe, model, len(names), lines, extended.NOTHING, filtered=bool(filtered))
    of = dict(zip(names, categories, strict=True))
    expected = [greedy(narrowed(line), of, most, n) for line in whole]
    extras = Extras(caps_of(categories, most) if capped else None, line_keys=["allowList", "denyList"])
    assert answered(recipe, model, n, lines, extras, filtered=bool(filtered)) == expected


def test_lists_have_no_effect_unless_they_are_asked_for(recipe: Recipe, model: Model) -> None:
    lines = listing([line for line in lines_of(recipe, 30) if line.strip()], model.item_ids(), 1)
    plain = answered(
        recipe, model, 5, [line for line in lines_of(recipe, 30) if line.strip()], extended.NOTHING, filtered=False
    )
    told = answered(recipe, model, 5, lines, extended.NOTHING, filtered=False)
    assert [line["output"] for line in told] == [line["output"] for line in plain]


def test_lists_that_are_none_refuse_their_line(recipe: Recipe, model: Model) -> None:
    line = json.loads(lines_of(recipe, 60)[0 if recipe.type is RecipeType.USER_PERSONALIZATION else 3]) | {
        "denyList": "a"
    }
    line |= {"userId": "u1", "itemId": "i1", "itemList": ["i1"]}
    [told] = answered(recipe, model, 5, [json.dumps(line)], Extras(line_keys=["denyList"]), filtered=False)
    assert told["error"] == "User error: denyList must be an array of strings"


def merged_list(recipe: str, asked: Sequence[str], n: int) -> list[str]:
    """What is like several items together, by plain Python."""
    world = random_world()
    popular = sorted(world.items, key=lambda item: (-world.counts[item], item.encode()))
    known = [item for item in dict.fromkeys(asked) if item in world.items]
    if recipe == "aws-sims":
        places: dict[str, list[int]] = {}
        for item in known:
            alike = json.loads(answer_line(world, recipe, json.dumps({"itemId": item}), NEIGHBOURS) or "")
            for place, name in enumerate(alike["output"]["recommendedItems"]):
                places.setdefault(name, []).append(place)
        best = sorted(places, key=lambda name: (min(places[name]), -len(places[name]), popular.index(name)))
    elif known:
        query = [float(np.float32(sum(world.items[item][k] for item in known))) for k in range(8)]
        if recipe == "aws-semantic-similarity":
            query[-2:] = [0.0, 0.0]
        product = {
            name: math.fsum(a * b for a, b in zip(query, each, strict=True)) for name, each in world.items.items()
        }
        best = sorted(product, key=lambda name: (-product[name], name.encode()))
    else:
        best = []
    return [name for name in dict.fromkeys([*best, *popular]) if name not in known][:n]


@pytest.mark.slow
@only(RecipeType.RELATED_ITEMS)
@given(
    asked=st.lists(st.sampled_from([*list(random_world().items)[:40], "?", "!"]), max_size=6),
    n=st.sampled_from([1, 25, 300]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_several_items_have_one_list(recipe: Recipe, model: Model, asked: list[str], n: int) -> None:
    lines = [json.dumps(each).encode() for each in ({"itemIds": asked}, {"itemId": "i1"}, {"itemIds": ["i1"]})]
    told = answer(recipe, model, Settings(n, several=True), lines, extras=Extras(line_keys=["itemIds"])).data
    several, one, alone = [json.loads(line) for line in told.splitlines()]
    assert several["output"]["recommendedItems"] == merged_list(recipe.name, asked, n)
    assert (several["error"], one["output"]) == (None, alone["output"])
    plain = answer(recipe, model, Settings(n), [lines[1]]).data
    assert json.loads(plain) == one


@only(RecipeType.RELATED_ITEMS)
def test_a_line_names_one_item_or_several(recipe: Recipe, model: Model) -> None:
    lines = [b'{"itemId":"i1","itemIds":["i3"]}', b'{"itemIds":"i3"}', b'{"itemIds":null}', b'{"itemIds":["?"]}']
    found = answer(recipe, model, Settings(5, several=True), lines, extras=Extras(line_keys=["itemIds"]))
    assert [json.loads(line)["error"] for line in found.data.splitlines()] == [
        "User error: A line has either itemId or itemIds",
        "User error: itemIds must be an array of strings",
        "User error: Required fields for the provided recipe are itemId",
        None,
    ]
    assert found.outcomes.remarks["UnknownItem"].lines == 1


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
