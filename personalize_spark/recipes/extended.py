"""Recipes with what a request asks beyond the service: wrappers of `Recipe.recommend`, which keep its promises.

A filter takes items away and changes nothing else. So where a list must have no more of a category, the items of that category are
taken away for its line, and the recipe is asked again: the next best items move up, and no score changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from personalize_spark.extensions import ALLOW_LIST, DENY_LIST
from personalize_spark.recipes.recipe import ITEM_LIST, Recipe, Settings
from personalize_spark.recommendations import ColumnTexts, Recommendations, merged
from personalize_spark.records import Object, lists_of
from personalize_spark.scoring.caps import Caps
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection

Recommend = Callable[[Model, Sequence[Object], Settings, Selection], Recommendations]

_AHEAD = 4
"""Items that are asked for each that is wanted."""
_MASK_BYTES = 16 << 20
"""Bytes of the masks of lines that are asked again together."""


@dataclass(frozen=True)
class Extras:
    """What a request asks beyond the service, ready for lines; nothing by default.

    Attributes:
        caps: how many items of a category a list may have.
        columns: what is told of each item of an answer.
        line_keys: the keys that lines may have besides those of the service.
    """

    caps: Caps | None = None
    columns: ColumnTexts = field(default_factory=dict)
    line_keys: Sequence[str] = ()

    def recommend(self, recipe: Recipe) -> Recommend:
        """How the recipe answers good lines."""
        recommend = recipe.recommend
        if {ALLOW_LIST, DENY_LIST} & {*self.line_keys}:
            recommend = _narrowed(recommend, self.line_keys)
        if self.caps is None:
            return recommend
        return _cut(recommend, self.caps) if ITEM_LIST in recipe.required else _Capped(recommend, self.caps)


NOTHING = Extras()


def _narrowed(recommend: Recommend, keys: Sequence[str]) -> Recommend:
    """Lines with lists of items that they must not get, and lists of those that they may get at most."""

    def narrowed(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
        if DENY_LIST in keys and any(line.get(DENY_LIST) for line in lines):
            selection = selection.without(_listed(model, lines, DENY_LIST))
        allowing = [ALLOW_LIST in keys and line.get(ALLOW_LIST) is not None for line in lines]
        if not any(allowing):
            return recommend(model, lines, settings, selection)
        parts = []
        groups = np.flatnonzero(allowing), np.flatnonzero(~np.array(allowing))
        for group, allows in zip(groups, (True, False), strict=True):
            some, of_group = [lines[line] for line in group.tolist()], selection.take(group)
            if allows:
                of_group = of_group.only(_listed(model, some, ALLOW_LIST), len(model.item_ids_json))
            parts.append(recommend(model, some, settings, of_group))
        return merged(parts, np.concatenate(groups), len(model.item_ids_json))

    return narrowed


def _listed(model: Model, lines: Sequence[Object], key: str) -> Ragged[np.int32]:
    """By line, the items of its list that the model knows."""
    lengths, names = lists_of([{key: line.get(key) or ()} for line in lines], key)
    lists = Ragged.of_lengths(lengths, model.rows_of(names))
    lists = lists.where(lists.values >= 0)
    return Ragged.of_pairs(lists.row_ids(), lists.values, len(lists))


def _cut(recommend: Recommend, caps: Caps) -> Recommend:
    """Lists that come back whole lose what is too much."""

    def cut(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
        answers = recommend(model, lines, settings, selection)
        return _where(answers, caps.kept(answers.items)[0])

    return cut


@dataclass(frozen=True)
class _Query:
    """Lines, and what they ask."""

    model: Model
    lines: Sequence[Object]
    settings: Settings
    selection: Selection

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self.model.item_ids_json)

    def ask(self, recommend: Recommend, at: NDArray[np.int64], selection: Selection) -> Recommendations:
        """Longer lists than are wanted, for some of the lines."""
        settings = replace(self.settings, num_results=_AHEAD * self.settings.num_results)
        return recommend(self.model, [self.lines[line] for line in at.tolist()], settings, selection)


@dataclass(frozen=True)
class _Capped:
    """Lists that are filled with the next best items where they lose what is too much."""

    recommend: Recommend
    caps: Caps

    def __call__(
        self, model: Model, lines: Sequence[Object], settings: Settings, selection: Selection
    ) -> Recommendations:
        query, every = _Query(model, lines, settings, selection), np.arange(len(lines))
        found = query.ask(self.recommend, every, selection)
        best, full, short = self._chosen(query, found, found)
        if not len(short):
            return best
        done = np.delete(every, short)
        parts = [(done, _taken(best, done))]
        step = max(1, _MASK_BYTES // (query.items // 8 + 1))
        for first in range(0, len(short), step):
            at = short[first : first + step]
            parts += self._asked_again(query, at, _taken(best, at), full.take(at))
        return merged([part for _, part in parts], np.concatenate([at for at, _ in parts]), query.items)

    def _asked_again(
        self, query: _Query, at: NDArray[np.int64], best: Recommendations, full: Ragged[np.int32]
    ) -> Iterator[tuple[NDArray[np.int64], Recommendations]]:
        """Lines, asked again until each has enough or there is no more for it, and their lists; each round fills a category more."""
        while len(at):
            listed = best.items.with_values(best.items.values.astype(np.int32))
            selection = query.selection.take(at).without(listed).within(self._free(full, query.items))
            more = query.ask(self.recommend, at, selection)
            best, full, short = self._chosen(query, _followed(best, more), more)
            done = np.delete(np.arange(len(at)), short)
            yield at[done], _taken(best, done)
            at, best, full = at[short], _taken(best, short), full.take(short)

    def _chosen(
        self, query: _Query, found: Recommendations, asked: Recommendations
    ) -> tuple[Recommendations, Ragged[np.int32], NDArray[np.int64]]:
        """The first items of each list that there is room for; the categories that are full; the lists that may become longer."""
        n = query.settings.num_results
        kept, full = self.caps.kept(found.items)
        best = _where(found, kept)
        best = _where(best, best.items.place_in_row() < n)
        return best, full, np.flatnonzero((best.items.lengths < n) & (asked.items.lengths >= _AHEAD * n))

    def _free(self, full: Ragged[np.int32], items: int) -> Masks:
        """By line, a mask of the items that are in no full category."""
        sets: dict[tuple[int, ...], int] = {}
        of = [sets.setdefault(tuple(full.row(line).tolist()), len(sets)) for line in range(len(full))]
        return Masks(np.stack([np.packbits(self.caps.without(codes, items)) for codes in sets]), np.array(of))


def _taken(answers: Recommendations, lists: NDArray[np.int64]) -> Recommendations:
    """Some of the answers, in this order."""
    positions = answers.items.positions(lists)
    items = positions.with_values(answers.items.values[positions.values])
    scores = None if answers.scores is None else answers.scores[positions.values]
    unknown = None if answers.unknown is None else answers.unknown[lists]
    return Recommendations(items, scores, answers.unknown_items, unknown=unknown)


def _where(answers: Recommendations, wanted: NDArray[np.bool_]) -> Recommendations:
    """The answers without the items that are not wanted, bool (m,)."""
    scores = None if answers.scores is None else answers.scores[wanted]
    return replace(answers, items=answers.items.where(wanted), scores=scores)


def _followed(answers: Recommendations, more: Recommendations) -> Recommendations:
    """Each list with another one behind it; the items of both are known to the model."""
    row_ids = np.concatenate([answers.items.row_ids(), more.items.row_ids()])
    order = Ragged.grouped(row_ids, np.arange(len(row_ids)), len(answers.items))
    items = order.with_values(np.concatenate([answers.items.values, more.items.values])[order.values])
    if answers.scores is None or more.scores is None:
        return Recommendations(items, None, unknown=answers.unknown)
    scores = np.concatenate([answers.scores, more.scores])[order.values]
    return Recommendations(items, scores, unknown=answers.unknown)
