"""Recipes: one file each, one line in `RECIPES`."""

from __future__ import annotations

from personalize_spark.recipes.recipe import Recipe, Settings
from personalize_spark.recipes.registry import RECIPES, recipe_named

__all__ = ["RECIPES", "Recipe", "Settings", "recipe_named"]
