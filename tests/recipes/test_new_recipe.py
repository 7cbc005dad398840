"""A recipe on a kind of model that exists is one file, here one function, and one line: CONTRIBUTING.md, "Add a recipe"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.recipes import RECIPES, ModelKind, Recipe, RecipeType, Settings
from personalize_spark.recommendations import Recommendations
from personalize_spark.records import Object
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import Selection, popular_of
from personalize_spark.service.recipes import describe_recipe, list_recipes
from personalize_spark.testing.recipe_tests import RecipeTests

NOWHERE = Catalog("/nowhere")


def recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """What is least popular."""
    order = model.popularity_order[::-1]
    return Recommendations.of(popular_of(order, len(lines), settings.num_results, selection), None)


UNPOPULAR = Recipe("own-unpopular-items", RecipeType.USER_PERSONALIZATION, ModelKind.COUNTS, recommend)


class TestNewRecipe(RecipeTests):
    @pytest.fixture(scope="class")
    @classmethod
    def recipe(cls) -> Iterator[Recipe]:
        """The recipe, while the table has its line."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(RECIPES, UNPOPULAR.name, UNPOPULAR)
            yield UNPOPULAR

    def test_the_service_tells_of_it(self, recipe: Recipe) -> None:
        assert recipe.name in [each["name"] for each in list_recipes(NOWHERE, {})["recipes"]]
        assert describe_recipe(NOWHERE, {"recipeArn": recipe.arn})["recipe"]["recipeType"] == "USER_PERSONALIZATION"
