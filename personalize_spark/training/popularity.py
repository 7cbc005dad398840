"""Popularity: how often each item was interacted with."""

from __future__ import annotations

from personalize_spark.training.factors import Factors
from personalize_spark.training.interactions import collect_items, number_items
from personalize_spark.training.training import Training


def train_popularity(training: Training) -> Factors:
    """Count."""
    return Factors(collect_items(number_items(training.pairs)))
