"""All recipes that a batch inference job can run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from personalize_spark.errors import InvalidInputException
from personalize_spark.recipes.popularity_count import POPULARITY_COUNT
from personalize_spark.recipes.recipe import Recipe
from personalize_spark.recipes.user_personalization import USER_PERSONALIZATION

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        USER_PERSONALIZATION,
        POPULARITY_COUNT,
    )
}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        InvalidInputException: there is none that supports batch inference.
    """
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, 1, 0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    supported = ", ".join(sorted(RECIPES))
    raise InvalidInputException(f"The recipe '{name}' does not support batch inference; supported: {supported}.{hint}")
