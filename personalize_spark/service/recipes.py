"""DescribeRecipe and ListRecipes: the recipes that support batch inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalize_spark.catalog.catalog import Fields
from personalize_spark.catalog.status import Status
from personalize_spark.recipes import RECIPES, Recipe, recipe_of
from personalize_spark.request import validate


def describe_recipe(params: Mapping[str, Any]) -> Fields:
    """A recipe.

    Raises:
        InvalidInputException: there is none that supports batch inference.
    """
    validate("DescribeRecipe", params)
    recipe = recipe_of(params["recipeArn"])
    return {"recipe": _listed(recipe) | {"recipeType": recipe.type}}


def list_recipes(params: Mapping[str, Any]) -> Fields:
    """All recipes; none of a domain, as those do not support batch inference."""
    validate("ListRecipes", params)
    return {"recipes": [] if params.get("domain") else [_listed(recipe) for recipe in RECIPES.values()]}


def _listed(recipe: Recipe) -> Fields:
    return {"name": recipe.name, "recipeArn": recipe.arn, "status": Status.ACTIVE}
