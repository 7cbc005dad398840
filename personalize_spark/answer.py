"""The pure function at the heart: lines in, lines out. No Spark, no storage, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from personalize_spark.filters.selector import Group
from personalize_spark.recipes.recipe import Recipe, Settings
from personalize_spark.records import Recommendations, Records, count_errors, ids_of, parse, render
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import EVERYTHING


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


class LineFilter(Protocol):
    """A filter, ready for lines."""

    def select(self, users: Sequence[bytes], filter_values: Sequence[Any]) -> tuple[list[Group], dict[int, str]]:
        """The lines in groups with what each may get, and by line the error of those that cannot be filtered."""


def answer(
    recipe: Recipe, model: Model, settings: Settings, lines: Sequence[bytes], line_filter: LineFilter | None = None
) -> Answers:
    """Answer lines, in their order; each answer depends on nothing but its own line."""
    records = parse(lines, recipe.required)
    if line_filter is None:
        recommendations = recipe.recommend(model, records.objects, settings, EVERYTHING)
    else:
        records, recommendations = _filtered(recipe, model, settings, records, line_filter)
    return Answers(render(records, recommendations, model.texts), len(records.inputs), count_errors(records))


def _filtered(
    recipe: Recipe, model: Model, settings: Settings, records: Records, line_filter: LineFilter
) -> tuple[Records, Recommendations]:
    values = [each.get("filterValues") for each in records.objects]
    groups, refused = line_filter.select(ids_of(records.objects, "userId"), values)
    items = np.full((len(records.objects), settings.num_results), -1, np.int32)
    scores = np.zeros(items.shape)
    scored = False
    for group in groups:
        objects = [records.objects[line] for line in group.lines]
        part = recipe.recommend(model, objects, settings, group.selection)
        items[group.lines] = part.items
        if part.scores is not None:
            scores[group.lines], scored = part.scores, True
    kept = np.delete(np.arange(len(items)), list(refused))
    return records.without(refused), Recommendations(items[kept], scores[kept] if scored else None)
