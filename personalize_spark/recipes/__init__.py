"""Recipes: one file each, one line in `RECIPES`."""

from __future__ import annotations

from personalize_spark.recipes.recipe import ModelKind, Recipe, RecipeType, Settings
from personalize_spark.recipes.registry import RECIPES, recipe_of

__all__ = ["RECIPES", "ModelKind", "Recipe", "RecipeType", "Settings", "recipe_of"]
