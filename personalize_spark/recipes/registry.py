"""All recipes that a batch inference job can run, a line each."""

from __future__ import annotations

from collections.abc import Mapping

from personalize_spark.errors import InvalidInputException, did_you_mean
from personalize_spark.recipes import (
    personalized_ranking,
    popularity_count,
    related_items,
    user_personalization,
    user_personalization_v2,
)
from personalize_spark.recipes.recipe import ModelKind, Recipe, RecipeType

_USERS, _RANKING, _ITEMS = RecipeType.USER_PERSONALIZATION, RecipeType.PERSONALIZED_RANKING, RecipeType.RELATED_ITEMS
_LONGEST_LIST = 500
"""Items of a list at most, `numResults`."""

# fmt: off
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (
    Recipe("aws-user-personalization-v2", _USERS, ModelKind.SEQUENCES, user_personalization_v2.recommend, scored=_LONGEST_LIST),
    Recipe("aws-user-personalization", _USERS, ModelKind.USER_FACTORS, user_personalization.recommend, explores=True, updatable=True),
    Recipe("aws-hrnn", _USERS, ModelKind.USER_FACTORS, user_personalization.recommend),
    Recipe("aws-hrnn-metadata", _USERS, ModelKind.USER_FACTORS, user_personalization.recommend),
    Recipe("aws-hrnn-coldstart", _USERS, ModelKind.USER_FACTORS, user_personalization.recommend, updatable=True),
    Recipe("aws-popularity-count", _USERS, ModelKind.COUNTS, popularity_count.recommend),
    Recipe("aws-personalized-ranking-v2", _RANKING, ModelKind.SEQUENCES, personalized_ranking.recommend),
    Recipe("aws-personalized-ranking", _RANKING, ModelKind.USER_FACTORS, personalized_ranking.recommend),
    Recipe("aws-similar-items", _ITEMS, ModelKind.ITEM_FACTORS, related_items.by_factors, themed=True),
    Recipe("aws-sims", _ITEMS, ModelKind.NEIGHBOURS, related_items.by_neighbours),
    Recipe("aws-semantic-similarity", _ITEMS, ModelKind.WORDS, related_items.by_words, influenced=True),
)}
# fmt: on


_SEGMENTS = {"aws-item-affinity", "aws-item-attribute-affinity"}
_REAL_TIME = {"aws-trending-now", "aws-next-best-action"}
_DOMAINS = ("aws-ecomm-", "aws-vod-")


def recipe_of(name_or_arn: str) -> Recipe:
    """The recipe of that name or ARN.

    Raises:
        InvalidInputException: there is none that supports batch inference.
    """
    name = name_or_arn.rpartition("/")[2]
    if name in RECIPES:
        return RECIPES[name]
    supported = ", ".join(sorted(RECIPES))
    raise InvalidInputException(f"{_lacking(name)}; supported: {supported}.")


def _lacking(name: str) -> str:
    """Why there is no recipe of that name: the service has it, but not for batch inference, or it has none."""
    if name in _SEGMENTS:
        return f"The recipe '{name}' does not support batch inference: it makes user segments (CreateBatchSegmentJob)"
    if name in _REAL_TIME:
        return f"The recipe '{name}' does not support batch inference, nor does it in the service"
    if name.startswith(_DOMAINS):
        return f"The recipe '{name}' does not support batch inference: it is for recommenders of domain dataset groups"
    return f"The recipe '{name}'{did_you_mean(name, RECIPES)} does not support batch inference"
