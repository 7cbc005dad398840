"""What every recipe keeps. A new recipe adds a line to `RECIPES`, and is held to all of this."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personalize_spark.answer import answer
from personalize_spark.artifacts.artifact import Artifact
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import InvalidInputException
from personalize_spark.recipes import RECIPES, Settings, recipe_named
from personalize_spark.scoring.model import Model
from personalize_spark.storage.location import open_store
from tests.oracle import World, answer_line, keys_of
from tests.toy import write_version

GOLDEN = Path(__file__).parents[1] / "golden"


def world(seed: int = 1, items: int = 300, users: int = 40, rank: int = 8) -> World:
    """Random factors; a tenth of the items are twins of others, so that scores tie."""
    random = np.random.default_rng(seed)
    factors = random.normal(0, 0.6, (items, rank)).astype(np.float32)
    factors[random.choice(items, items // 10, replace=False)] = factors[0]
    ids = sorted((f"i{n}" if n % 7 else f'i"é{n}' for n in range(items)), key=str.encode)
    vectors = random.normal(0, 0.8, (users, rank)).astype(np.float32)
    return World(
        items={name: list(map(float, row)) for name, row in zip(ids, factors, strict=True)},
        users={f"u{n}": list(map(float, row)) for n, row in enumerate(vectors)},
        counts={name: int(count) for name, count in zip(ids, random.integers(0, 9, items), strict=True)},
        temperature=1.7,
    )


def model_of(world: World, recipe: str, folder: Path) -> Model:
    """The world as a solution version on disk, read as a task reads it."""
    catalog = Catalog(f"file://{folder}")
    arn = write_version(
        catalog,
        recipe,
        list(world.items),
        np.array(list(world.items.values()), np.float32),
        {user: np.array(vector, np.float32) for user, vector in world.users.items()},
        list(world.counts.values()),
        temperature=world.temperature,
    )
    record = catalog.read(arn).fields
    return read_model(Artifact(open_store(record["model"]), record["modelSha256"]))


@pytest.fixture(params=sorted(RECIPES), scope="module")
def recipe(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def model(recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model_of(world(), recipe, tmp_path_factory.mktemp("catalog"))


def lines_of(recipe: str, count: int) -> list[str]:
    """Lines of every kind: of known and unknown users and items, broken ones, and ones for another recipe."""
    names = list(world().items)
    chance = random.Random(count)
    kinds: list[Callable[[int], object]] = [
        lambda n: {"userId": f"u{n % 50}"},
        lambda n: {"userId": f"stranger-{n}"},
        lambda n: {"itemId": names[n % len(names)], "n": n},
        lambda n: {"itemId": f"strange-{n}", "userId": "u1"},
        lambda n: {"userId": n, "itemList": [*chance.sample(names, n % 40), "?", *chance.sample(names, 3), n, "?"]},
        lambda n: {"userId": f"u{n % 50}", "itemList": chance.choices(names, k=n % 30)},
        lambda n: {"userId": "nobody", "itemList": chance.choices(names, k=n % 30)},
        lambda n: {"userId": "u1", "itemList": [["a"], [], ["?"], ["?", 4]][n % 4]},
        lambda n: [{}, [], "text", None][n % 4],
    ]
    if "ranking" in recipe:
        kinds *= 3
    lines = [json.dumps(kinds[n % len(kinds)](n), ensure_ascii=False) for n in range(count)]
    return [line for n, line in enumerate(lines) for line in ([line, " ", f"broken {n}"] if n % 20 == 0 else [line])]


def good_lines(recipe: str) -> list[bytes]:
    """A line about what is known, and one about what is not."""
    if "ranking" in recipe:
        items = json.dumps(list(world().items)[:50])
        return [f'{{"userId":"{user}","itemList":{items}}}'.encode() for user in ("u1", "?")]
    key = keys_of(recipe)[0]
    return [b'{"%b":"%b"}' % (key.encode(), each) for each in (b"u1" if key == "userId" else b"i1", b"?")]


def test_every_answer_is_that_of_the_oracle(recipe: str, model: Model) -> None:
    lines = lines_of(recipe, 200)
    for n in (1, 25, 500):
        data = answer(RECIPES[recipe], model, Settings(n), [line.encode() for line in lines]).data.decode()
        expected = [answer_line(world(), recipe, line, n) for line in lines]
        assert data.splitlines() == [line for line in expected if line is not None]


def test_one_line_alone_is_answered_like_among_many(recipe: str, model: Model) -> None:
    lines = [line.encode() for line in lines_of(recipe, 60)]
    alone = b"".join(answer(RECIPES[recipe], model, Settings(10), [line]).data for line in lines)
    assert answer(RECIPES[recipe], model, Settings(10), lines).data == alone


@given(order=st.permutations(range(24)))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_lines_changes_nothing_else(recipe: str, model: Model, order: list[int]) -> None:
    lines = [line.encode() for line in lines_of(recipe, 40) if line.strip()][:24]
    straight = answer(RECIPES[recipe], model, Settings(5), lines).data.splitlines()
    mixed = answer(RECIPES[recipe], model, Settings(5), [lines[n] for n in order]).data.splitlines()
    assert mixed == [straight[n] for n in order]


def test_a_second_run_gives_the_same_bytes(recipe: str, model: Model, tmp_path: Path) -> None:
    lines = [line.encode() for line in lines_of(recipe, 120)]
    again = model_of(world(), recipe, tmp_path)
    assert answer(RECIPES[recipe], again, Settings(25), lines) == answer(RECIPES[recipe], model, Settings(25), lines)


def test_lists_are_whole_distinct_and_descending(recipe: str, model: Model) -> None:
    data = answer(RECIPES[recipe], model, Settings(50), good_lines(recipe)).data
    for line in map(json.loads, data.splitlines()):
        items, scores = line["output"]["recommendedItems"], line["output"].get("scores")
        assert len(set(items)) == len(items) == 50
        assert scores is None or scores == sorted(scores, reverse=True)


def test_a_small_catalogue_gives_a_short_list(recipe: str, tmp_path: Path) -> None:
    small = world(items=3)
    model = model_of(small, recipe, tmp_path)
    lines = good_lines(recipe)
    for line, data in zip(lines, answer(RECIPES[recipe], model, Settings(25), lines).data.splitlines(), strict=True):
        assert data.decode() == answer_line(small, recipe, line.decode(), 25)
    if "ranking" not in recipe:
        [line] = answer(RECIPES[recipe], model, Settings(25), lines[1:]).data.splitlines()
        assert len(json.loads(line)["output"]["recommendedItems"]) == 3


@pytest.mark.parametrize("influence", [(0.0, 0.0), (0.7, 0.0), (0.0, 0.3), (1.0, 1.0)])
def test_ranking_influence_is_a_part_of_the_product(tmp_path: Path, influence: tuple[float, float]) -> None:
    recipe = "aws-semantic-similarity"
    model = model_of(world(), recipe, tmp_path)
    lines = lines_of(recipe, 60)
    data = answer(RECIPES[recipe], model, Settings(20, *influence), [line.encode() for line in lines]).data.decode()
    expected = [answer_line(world(), recipe, line, 20, *influence) for line in lines]
    assert data.splitlines() == [line for line in expected if line is not None]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_golden_file_is_matched_to_the_byte(name: str, tmp_path: Path) -> None:
    given_world = World(**json.loads((GOLDEN / "world.json").read_text()))
    lines = (GOLDEN / "input.json").read_bytes().splitlines()
    expected = (GOLDEN / f"{name}.out").read_bytes()
    assert answer(RECIPES[name], model_of(given_world, name, tmp_path), Settings(5), lines).data == expected
    told = [answer_line(given_world, name, line.decode(), 5) for line in lines]
    assert expected.decode().splitlines() == [line for line in told if line is not None]


def test_an_unknown_recipe_is_refused_with_a_hint() -> None:
    with pytest.raises(InvalidInputException, match="Did you mean 'aws-user-personalization'"):
        recipe_named("aws-user-personalisation")
