"""Popularity-Count: the items with the most interactions, the same list for everybody, without scores."""

from __future__ import annotations

from personalize_spark.recipes.recipe import Recipe, Settings, popular
from personalize_spark.records import Recommendations, Records
from personalize_spark.scoring.model import Model


def _recommend(model: Model, records: Records, settings: Settings) -> Recommendations:
    return Recommendations(popular(model, len(records.objects), settings), None)


POPULARITY_COUNT = Recipe("aws-popularity-count", ("userId",), _recommend)
