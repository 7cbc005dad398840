"""Every recipe keeps the contract, gives what the oracle says, and the golden files to the byte."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from personalize_spark.answer import answer
from personalize_spark.errors import InvalidInputException
from personalize_spark.recipes import RECIPES, ModelKind, Recipe, RecipeType, Settings, recipe_of
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.topn import products_of
from personalize_spark.testing.recipe_tests import RecipeTests, good_lines, lines_of
from personalize_spark.testing.toy import World, model_of, random_world, sparse_model_of
from tests.oracle import answer_line

GOLDEN = Path(__file__).parents[1] / "golden"


class TestEveryRecipe(RecipeTests):
    @pytest.fixture(params=sorted(RECIPES), scope="class")
    @classmethod
    def recipe(cls, request: pytest.FixtureRequest) -> Recipe:
        return RECIPES[request.param]

    @pytest.mark.slow
    def test_every_answer_is_that_of_the_oracle(self, recipe: Recipe, model: Model) -> None:
        lines = lines_of(recipe, 200)
        for n in (1, 25, 500):
            data = answer(recipe, model, Settings(n), [line.encode() for line in lines]).data.decode()
            expected = [answer_line(random_world(), recipe.name, line, n) for line in lines]
            assert data.splitlines() == [line for line in expected if line is not None]

    def test_a_small_catalogue_gives_the_list_of_the_oracle(self, recipe: Recipe, tmp_path: Path) -> None:
        small, lines = random_world(items=3), good_lines(recipe)
        model = model_of(small, recipe.name, tmp_path)
        for line, data in zip(lines, answer(recipe, model, Settings(25), lines).data.splitlines(), strict=True):
            assert data.decode() == answer_line(small, recipe.name, line.decode(), 25)
        if recipe.type is not RecipeType.PERSONALIZED_RANKING:
            [line] = answer(recipe, model, Settings(25), lines[1:]).data.splitlines()
            assert len(json.loads(line)["output"]["recommendedItems"]) == 3


class TestSparseModels(RecipeTests):
    """The recipes that read what items lead to."""

    @pytest.fixture(params=[each.name for each in RECIPES.values() if each.model is ModelKind.SEQUENCES], scope="class")
    @classmethod
    def recipe(cls, request: pytest.FixtureRequest) -> Recipe:
        return RECIPES[request.param]

    @classmethod
    def model_from(cls, world: World, recipe: Recipe, folder: Path) -> Model:
        return sparse_model_of(world, recipe.name, folder)

    def test_scores_are_the_softmax_of_the_sums(self, recipe: Recipe, model: Model) -> None:
        items, users = model.sides()
        [line] = answer(recipe, model, Settings(25), good_lines(recipe)[:1]).data.splitlines()
        told = json.loads(line)["output"]
        rows = model.rows_of(told["recommendedItems"])
        products = products_of(users.lookup(["u1"]).vectors, np.zeros(len(rows), np.int64), items, rows)
        exponents = np.log1p(0.3 * random_world().temperature * products) / 0.3
        ratios = np.array(told["scores"]) / told["scores"][0]
        np.testing.assert_allclose(ratios, np.exp(exponents - exponents[0]), atol=1e-5)
        assert recipe.scored is None or sum(told["scores"]) < 1


def test_a_ranking_has_the_order_of_the_sums_and_the_scores_of_their_curve(tmp_path: Path) -> None:
    world = random_world()
    model = sparse_model_of(world, "aws-personalized-ranking", tmp_path)
    items, users = model.sides()
    ids = model.item_ids()[5:25]
    lines = [json.dumps({"userId": user, "itemList": ids}).encode() for user in ("u1", "nobody")]
    told, unknown = (
        json.loads(line)["output"]
        for line in answer(RECIPES["aws-personalized-ranking"], model, Settings(25), lines).data.splitlines()
    )
    rows = model.rows_of(told["recommendedItems"])
    products = products_of(users.lookup(["u1"]).vectors, np.zeros(20, np.int64), items, rows)
    assert sorted(told["recommendedItems"]) == sorted(ids)
    assert (np.diff(products) <= 0).all()
    powers = (1 + 0.3 * world.temperature * products) ** (1 / 0.3)
    np.testing.assert_allclose(told["scores"], powers / powers.sum(), atol=1e-7)
    shares = model.popularity[model.rows_of(unknown["recommendedItems"])]
    np.testing.assert_allclose(unknown["scores"], shares / shares.sum(), atol=1e-7)


@pytest.mark.parametrize("influence", [(0.0, 0.0), (0.7, 0.0), (0.0, 0.3), (1.0, 1.0)])
def test_ranking_influence_is_a_part_of_the_product(tmp_path: Path, influence: tuple[float, float]) -> None:
    recipe = RECIPES["aws-semantic-similarity"]
    model = model_of(random_world(), recipe.name, tmp_path)
    lines = lines_of(recipe, 60)
    data = answer(recipe, model, Settings(20, *influence), [line.encode() for line in lines]).data.decode()
    expected = [answer_line(random_world(), recipe.name, line, 20, *influence) for line in lines]
    assert data.splitlines() == [line for line in expected if line is not None]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_golden_file_is_matched_to_the_byte(name: str, tmp_path: Path) -> None:
    given_world = World(**json.loads((GOLDEN / "world.json").read_text()))
    lines = (GOLDEN / "input.json").read_bytes().splitlines()
    expected = (GOLDEN / f"{name}.out").read_bytes()
    assert answer(RECIPES[name], model_of(given_world, name, tmp_path), Settings(5), lines).data == expected
    told = [answer_line(given_world, name, line.decode(), 5) for line in lines]
    assert expected.decode().splitlines() == [line for line in told if line is not None]


def test_a_recipe_is_found_by_its_name_and_by_its_arn() -> None:
    for recipe in RECIPES.values():
        assert recipe_of(recipe.name) is recipe_of(recipe.arn) is recipe


def test_an_unknown_recipe_is_refused_with_a_hint() -> None:
    with pytest.raises(InvalidInputException, match="did you mean 'aws-user-personalization'"):
        recipe_of("aws-user-personalisation")
