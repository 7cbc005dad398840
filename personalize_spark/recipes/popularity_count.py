"""Popularity-Count: the items with the most interactions, the same list for everybody, without scores."""

from __future__ import annotations

from collections.abc import Sequence

from personalize_spark.recipes.recipe import Settings
from personalize_spark.recommendations import Recommendations
from personalize_spark.records import Object
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import Selection, popular_of


def recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """Answer good lines; see `Recipe.recommend`."""
    return Recommendations.of(popular_of(model.popularity_order, len(lines), settings.num_results, selection), None)
