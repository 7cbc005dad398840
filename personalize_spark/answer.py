"""The pure function at the heart: lines in, lines out. No Spark, no storage, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from personalize_spark.filters.selector import Group
from personalize_spark.outcomes import Expected, Outcomes
from personalize_spark.recipes.extended import NOTHING, Extras, Recommend
from personalize_spark.recipes.recipe import ITEM_ID, ITEM_LIST, Recipe, Settings
from personalize_spark.recommendations import Recommendations, merged, render, render_errors
from personalize_spark.records import Object, Records, parse
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import EVERYTHING, Selection

_JUDGED = 256
"""Lines of a group by which the share is judged that a filter leaves them."""


@dataclass(frozen=True)
class Answers:
    """The output of a block of lines.

    Attributes:
        data: whole output lines, each with its newline: one for each input line that is not blank.
        errors: the error lines, where they are to be apart; then `data` has none.
        outcomes: what became of the lines.
    """

    data: bytes
    errors: bytes
    outcomes: Outcomes


class LineFilter(Protocol):
    """A filter, ready for lines.

    Attributes:
        required: the keys that it needs of a line, besides those of the recipe.
        varies: what it keeps may differ from line to line.
    """

    required: Sequence[str]
    varies: bool

    def select(self, lines: Sequence[Object]) -> tuple[Iterable[Group], dict[int, str]]:
        """The lines in groups with what each may get, and by line the error of those that cannot be filtered."""


class Namer(Protocol):
    """Gives lists of items their themes."""

    def themed(self, answers: Recommendations, lines: Sequence[Object]) -> Recommendations:
        """The answers with themes, and with their items by descending relevance; `lines` are the good ones, in their order."""


def answer(  # what a plan prepares
    recipe: Recipe,
    model: Model,
    settings: Settings,
    lines: Sequence[bytes],
    line_filter: LineFilter | None = None,
    namer: Namer | None = None,
    extras: Extras = NOTHING,
    *,
    apart: bool = False,
) -> Answers:
    """Answer lines, in their order; each answer depends on nothing but its own line, but themes on the lines before."""
    if line_filter is None:
        kept, records = 0.0, parse(lines, recipe.required, may_have=extras.line_keys)
        recommendations = extras.recommend(recipe)(model, records.objects, settings, EVERYTHING)
    else:
        records = parse(lines, recipe.required, line_filter.required, extras.line_keys)
        kept, records, recommendations = _filtered(extras.recommend(recipe), model, settings, records, line_filter)
    outcomes = Outcomes.of(lines, records, recommendations, _expected(recipe, model, settings, line_filter))
    outcomes.kept = kept
    if namer is not None:
        recommendations = namer.themed(recommendations, records.objects)
    data = render(records, recommendations, model.item_ids_json, extras.columns, apart=apart)
    return Answers(data, render_errors(records) if apart else b"", outcomes)


def _expected(recipe: Recipe, model: Model, settings: Settings, line_filter: LineFilter | None) -> Expected:
    asked, items = recipe.required[0], len(model.item_ids_json)
    filtered = line_filter is not None
    if ITEM_LIST in recipe.required and model.item_side is not None:
        return Expected(1, len(model.item_side), asked, filtered, model.deciles, items)
    others = items - 1 if asked == ITEM_ID else items  # an item is never recommended for itself
    return Expected(min(settings.num_results, others), None, asked, filtered, model.deciles, items)


def _filtered(
    recommend: Recommend, model: Model, settings: Settings, records: Records, line_filter: LineFilter
) -> tuple[float, Records, Recommendations]:
    groups, refused = line_filter.select(records.objects)
    kept, lines, parts = 0.0, [np.empty(0, np.int64)], []
    for group in groups:
        objects = [records.objects[line] for line in group.lines]
        parts.append(recommend(model, objects, settings, group.selection))
        lines.append(group.lines)
        kept += _kept(group.selection, len(group.lines), len(model.item_ids_json))
    return kept, records.without(refused), merged(parts, np.concatenate(lines), len(model.item_ids_json))


def _kept(selection: Selection, lines: int, items: int) -> float:
    """The shares of the items that lines may get, added up; judged by some of the lines."""
    some = np.arange(0, lines, max(1, lines // _JUDGED))
    sizes = selection.take(some).sizes(items, len(some))
    return float(sizes.mean()) / items * lines if lines and items else 0.0
