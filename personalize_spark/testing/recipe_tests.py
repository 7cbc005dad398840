"""What every recipe keeps: subclass `RecipeTests` and name the recipe.

    class TestMyRecipe(RecipeTests):
        @pytest.fixture(scope="class")
        @classmethod
        def recipe(cls) -> Recipe:
            return MY_RECIPE

A recipe whose model is none of the toy's overrides `model_from` as well.
"""

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
from personalize_spark.recipes.recipe import Recipe, RecipeType, Settings
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection
from personalize_spark.testing.toy import World, model_of, random_world


def lines_of(recipe: Recipe, count: int) -> list[str]:
    """Lines of every kind: of known and unknown users and items, broken ones, and ones for another recipe."""
    names = list(random_world().items)
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
    if recipe.type is RecipeType.PERSONALIZED_RANKING:
        kinds *= 3
    lines = [json.dumps(kinds[n % len(kinds)](n), ensure_ascii=False) for n in range(count)]
    return [line for n, line in enumerate(lines) for line in ([line, " ", f"broken {n}"] if n % 20 == 0 else [line])]


def good_lines(recipe: Recipe) -> list[bytes]:
    """A line about what is known, and one about what is not."""
    if recipe.type is RecipeType.PERSONALIZED_RANKING:
        items = json.dumps(list(random_world().items)[:50])
        return [f'{{"userId":"{user}","itemList":{items}}}'.encode() for user in ("u1", "?")]
    key = recipe.required[0]
    return [b'{"%b":"%b"}' % (key.encode(), each) for each in (b"u1" if key == "userId" else b"i1", b"?")]


class RecipeTests:
    """The contract of a recipe, one promise a test."""

    @pytest.fixture(scope="class")
    @classmethod
    def recipe(cls) -> Recipe:
        """The recipe that is held to all of this."""
        raise NotImplementedError

    @classmethod
    def model_from(cls, world: World, recipe: Recipe, folder: Path) -> Model:
        """A model of the kind that the recipe reads, with the world's items, users and counts."""
        return model_of(world, recipe.name, folder)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Model:
        """The model of `random_world()`."""
        return cls.model_from(random_world(), recipe, tmp_path_factory.mktemp("catalog"))

    def test_every_line_has_its_answer_in_its_place(self, recipe: Recipe, model: Model) -> None:
        lines = [line for line in lines_of(recipe, 200) if line.strip()]
        answers = answer(recipe, model, Settings(5), [line.encode() for line in lines])
        told = [json.loads(line) for line in answers.data.splitlines()]
        for line, out in zip(lines, told, strict=True):
            assert out["input"] == (json.loads(line) if line.startswith("{") else line)
            assert list(out) == ["input", "output", "error"]
            assert out["error"] is None or not out["output"]["recommendedItems"]
        assert answers.outcomes.error_lines == sum(out["error"] is not None for out in told)

    def test_one_line_alone_is_answered_like_among_many(self, recipe: Recipe, model: Model) -> None:
        lines = [line.encode() for line in lines_of(recipe, 60)]
        alone = b"".join(answer(recipe, model, Settings(10), [line]).data for line in lines)
        assert answer(recipe, model, Settings(10), lines).data == alone

    @given(order=st.permutations(range(24)))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_the_order_of_lines_changes_nothing_else(self, recipe: Recipe, model: Model, order: list[int]) -> None:
        lines = [line.encode() for line in lines_of(recipe, 40) if line.strip()][:24]
        straight = answer(recipe, model, Settings(5), lines).data.splitlines()
        mixed = answer(recipe, model, Settings(5), [lines[n] for n in order]).data.splitlines()
        assert mixed == [straight[n] for n in order]

    def test_a_second_run_gives_the_same_bytes(self, recipe: Recipe, model: Model, tmp_path: Path) -> None:
        lines = [line.encode() for line in lines_of(recipe, 120)]
        again = self.model_from(random_world(), recipe, tmp_path)
        assert answer(recipe, again, Settings(25), lines) == answer(recipe, model, Settings(25), lines)

    def test_lists_are_whole_distinct_and_descending(self, recipe: Recipe, model: Model) -> None:
        data = answer(recipe, model, Settings(50), good_lines(recipe)).data
        for line in map(json.loads, data.splitlines()):
            items, scores = line["output"]["recommendedItems"], line["output"].get("scores")
            assert len(set(items)) == len(items) == 50
            assert scores is None or scores == sorted(scores, reverse=True)

    def test_no_line_gets_an_item_that_its_selection_forbids(self, recipe: Recipe, model: Model) -> None:
        objects = [json.loads(line) for line in good_lines(recipe)]
        known, lines = len(model.item_ids_json), np.arange(len(objects))
        odd = np.packbits(np.arange(known) % 2 == 1)
        even = np.packbits(np.arange(known) % 2 == 0)
        excluded, also = (
            Ragged.of_lengths(np.ones(len(lines), np.int64), np.full(len(lines), row, np.int32)) for row in (1, 2)
        )
        selection = Selection(Masks(np.stack([odd, even]), lines % 2), excluded, also)
        lists = recipe.recommend(model, objects, Settings(25), selection).items
        of, items = np.repeat(lines, np.diff(lists.indptr)), lists.values
        assert len(items) > 0
        assert selection.allows(of[items < known], items[items < known]).all()

    def test_a_small_catalogue_gives_a_short_list(self, recipe: Recipe, tmp_path: Path) -> None:
        model = self.model_from(random_world(items=3), recipe, tmp_path)
        for line in answer(recipe, model, Settings(25), good_lines(recipe)).data.splitlines():
            items = json.loads(line)["output"]["recommendedItems"]
            assert len(set(items)) == len(items)
            assert recipe.type is RecipeType.PERSONALIZED_RANKING or len(items) <= 3
