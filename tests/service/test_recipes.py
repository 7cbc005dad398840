"""Recipes, as the service tells of them."""

from __future__ import annotations

import pytest

from personalize_spark.errors import InvalidInputException
from personalize_spark.recipes import RECIPES
from personalize_spark.service.recipes import describe_recipe, list_recipes


def test_all_recipes_are_listed_and_none_of_a_domain() -> None:
    assert [each["name"] for each in list_recipes({})["recipes"]] == list(RECIPES)
    assert list_recipes({"domain": "ECOMMERCE"}) == {"recipes": []}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aws-hrnn", "USER_PERSONALIZATION"),
        ("aws-popularity-count", "USER_PERSONALIZATION"),
        ("aws-personalized-ranking-v2", "PERSONALIZED_RANKING"),
        ("aws-semantic-similarity", "RELATED_ITEMS"),
    ],
)
def test_a_recipe_has_the_type_of_its_lines(name: str, kind: str) -> None:
    arn = f"arn:aws:personalize:::recipe/{name}"
    recipe = describe_recipe({"recipeArn": arn})["recipe"]
    assert recipe == {"name": name, "recipeArn": arn, "status": "ACTIVE", "recipeType": kind}


def test_a_recipe_without_batch_inference_is_refused() -> None:
    with pytest.raises(InvalidInputException, match="does not support batch inference"):
        describe_recipe({"recipeArn": "arn:aws:personalize:::recipe/aws-trending-now"})
