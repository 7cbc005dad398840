"""All recipes that a batch inference job can run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from personalize_spark.errors import InvalidInputException
from personalize_spark.recipes.personalized_ranking import PERSONALIZED_RANKING, PERSONALIZED_RANKING_V2
from personalize_spark.recipes.popularity_count import POPULARITY_COUNT
from personalize_spark.recipes.recipe import Recipe
from personalize_spark.recipes.related_items import SEMANTIC_SIMILARITY, SIMILAR_ITEMS, SIMS
from personalize_spark.recipes.user_personalization import HRNN, HRNN_COLDSTART, HRNN_METADATA, USER_PERSONALIZATION
from personalize_spark.recipes.user_personalization_v2 import USER_PERSONALIZATION_V2

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        USER_PERSONALIZATION_V2,
        USER_PERSONALIZATION,
        HRNN,
        HRNN_METADATA,
        HRNN_COLDSTART,
        POPULARITY_COUNT,
        PERSONALIZED_RANKING_V2,
        PERSONALIZED_RANKING,
        SIMILAR_ITEMS,
        SIMS,
        SEMANTIC_SIMILARITY,
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
