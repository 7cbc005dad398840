"""What answers the lines of a job: the recipe, the model, the filter and the themes that it pins."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from personalize_spark.answer import Answers, LineFilter, answer
from personalize_spark.artifacts.model import read_model, updated
from personalize_spark.artifacts.shards import USERS, Shards, SplitRows
from personalize_spark.artifacts.view import View, ViewFilter, with_exploration, with_new_items
from personalize_spark.filters.binding import bind
from personalize_spark.job.job import Job
from personalize_spark.job.splits import MAX_LINES
from personalize_spark.recipes import RECIPES
from personalize_spark.recipes.extended import NOTHING, Extras
from personalize_spark.scoring.model import Model

if TYPE_CHECKING:
    from personalize_spark.artifacts.themes import ModelThemes

_SCORES_PER_BLOCK = 1 << 17
_MAX_BLOCK, _LOOKED_UP = 8_192, 16_384


class Prepared:
    """All that a job pins, mapped at the first need of it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.recipe = RECIPES[job.recipe]

    @cached_property
    def row_sources(self) -> Mapping[str, SplitRows]:
        """Where users are looked up, by the side of the plan that knows them."""
        job = self.job
        sides = {"model": job.model, "update": job.update, "view": job.view if job.filter is not None else None}
        return {name: SplitRows(Shards(pinned.open(), USERS)) for name, pinned in sides.items() if pinned}

    @cached_property
    def model(self) -> Model:
        """The model, mapped at the first need of it."""
        job = self.job
        model = read_model(job.model.open(), self.row_sources["model"])
        if job.update is not None:
            model = updated(model, job.update.open(), self.row_sources["update"])
        if job.view is None:
            return model
        view = View(job.view.open())
        if (job.filter is not None or job.extensions.columns) and "itemList" in self.recipe.required:
            model = with_new_items(model, view)
        if job.exploration is not None:
            model = with_exploration(model, view, job.exploration, f"{job.model.sha256}|{job.view.sha256}")
        return model

    @cached_property
    def line_filter(self) -> LineFilter | None:
        """The job's filter, if it has one, bound to the view that the plan pins."""
        job = self.job
        if job.filter is None or job.view is None:
            return None
        from personalize_spark.filters.parser import parse as parse_filter  # lark costs 0.1 s

        view = View(job.view.open(), self.row_sources["view"])
        return ViewFilter(view, bind(parse_filter(job.filter), view.schemas), self.model)

    def phrases(self) -> Mapping[str, str]:
        """What a language model calls sets of items, by `artifacts.themes.set_key`; nothing where none was asked."""
        return {}

    @cached_property
    def themes(self) -> ModelThemes | None:
        """What names the lists, if the job has themes."""
        job = self.job
        if job.themes is None:
            return None
        from personalize_spark.artifacts.themes import ModelThemes  # a tenth of a worker's start, for a few jobs

        return ModelThemes(job.themes.open(), job.item_name, self.model, self.phrases())

    @cached_property
    def extras(self) -> Extras:
        """What the request asks beyond the service."""
        job = self.job
        extras = NOTHING
        if job.view is not None and job.extensions.columns:
            from personalize_spark.artifacts.item_extras import extras_of  # for a few jobs

            extras = extras_of(job.extensions, View(job.view.open()), self.model)
        return replace(extras, line_keys=job.extensions.line_keys)

    @cached_property
    def block(self) -> int:
        """Lines that are answered together: many where a filter cuts them into groups, so that groups are worth their cost."""
        if self.themes is not None:
            return sys.maxsize
        most, scores = _MAX_BLOCK, _SCORES_PER_BLOCK
        if self.line_filter is not None and self.line_filter.varies:
            # fewer, where it looks at users: each may have a history of hundreds of items
            most, scores = _LOOKED_UP if self.line_filter.required else MAX_LINES, scores << 5
        return max(64, min(most, scores // self.job.settings.num_results))

    def answer_lines(self, lines: Sequence[bytes], *, apart: bool = False) -> Answers:
        """Answer lines, in their order; see `answer.answer`."""
        settings, extras = self.job.settings, self.extras
        return answer(self.recipe, self.model, settings, lines, self.line_filter, self.themes, extras, apart=apart)
