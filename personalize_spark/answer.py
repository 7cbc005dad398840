"""The pure function at the heart: lines in, lines out. No Spark, no storage, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from personalize_spark.recipes.recipe import Recipe, Settings
from personalize_spark.records import count_errors, parse, render
from personalize_spark.scoring.model import Model


@dataclass(frozen=True)
class Answers:
    """The output of a block of lines.

    Attributes:
        data: whole output lines, each with its newline.
        lines: how many there are: one for each input line that is not blank.
        errors: how many of them are error lines, by reason.
    """

    data: bytes
    lines: int
    errors: Counter[str]


def answer(recipe: Recipe, model: Model, settings: Settings, lines: Sequence[bytes]) -> Answers:
    """Answer lines, in their order; each answer depends on nothing but its own line."""
    records = parse(lines, recipe.required)
    recommendations = recipe.recommend(model, records, settings)
    return Answers(render(records, recommendations, model.texts), len(records.inputs), count_errors(records))
