"""Which items may be recommended to which lines, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.topn import Items, TopN, products_of, top_n


@dataclass(frozen=True)
class Selection:
    """What U lines may get: the included items without the excluded ones, and the also included ones.

    Attributes:
        included: by line, a mask of the items; `None` includes every item.
        excluded: by line, items that it must not get; `None`: none.
        also_included: by line, items that its mask does not include; `None`: none.
        unknown_items: bool (U,), whether a line may get an item that the model does not know; `None`: all may.
    """

    included: Masks | None = None
    excluded: Ragged[np.int32] | None = None
    also_included: Ragged[np.int32] | None = None
    unknown_items: NDArray[np.bool_] | None = None

    @property
    def is_everything(self) -> bool:
        """Whether every line may get every item."""
        return all(each is None for each in vars(self).values())

    def take(self, lines: NDArray[np.int64]) -> Selection:
        """What some of the lines may get; `lines` are ascending."""
        excluded, also_included = (part and part.take(lines) for part in (self.excluded, self.also_included))
        unknown_items = None if self.unknown_items is None else self.unknown_items[lines]
        return Selection(self.included and self.included.take(lines), excluded, also_included, unknown_items)

    def without(self, excluded: Ragged[np.int32]) -> Selection:
        """The same, but no line may get what is in its row."""
        return replace(
            self,
            excluded=excluded if self.excluded is None else self.excluded.union(excluded),
            also_included=self.also_included and self.also_included.difference(excluded),
        )

    def only(self, items: Ragged[np.int32], count: int) -> Selection:
        """What there is of it in the line's row; of `count` items."""
        allowed = items.where(self.allows(items.row_ids(), items.values))
        return Selection(Masks.same(np.zeros(count, np.bool_), len(items)), also_included=allowed)

    def within(self, masks: Masks) -> Selection:
        """The same, but no line may get what its mask has not."""
        also = self.also_included
        return replace(
            self,
            included=masks if self.included is None else self.included.intersection(masks),
            also_included=also and also.where(masks.contains(also.row_ids(), also.values)),
        )

    def without_items(self, items: NDArray[np.int64], count: int, lines: int) -> Selection:
        """The same, but no line may get these; of `count` items and so many lines."""
        included = self.included or Masks.same(np.ones(count, np.bool_), lines)
        also = self.also_included and self.also_included.where(~np.isin(self.also_included.values, items))
        return replace(self, included=included.without(items), also_included=also)

    def below(self, count: int) -> Selection:
        """What there is of it among the first `count` items."""
        excluded, also_included = (
            part and part.where(part.values < count) for part in (self.excluded, self.also_included)
        )
        return replace(self, excluded=excluded, also_included=also_included)

    def allows(self, lines: NDArray[np.int64], items: NDArray[Any]) -> NDArray[np.bool_]:
        """Bool (m,): whether line lines[k] may get items[k], for all k."""
        allowed = np.ones(len(items), np.bool_) if self.included is None else self.included.contains(lines, items)
        if self.excluded is not None:
            allowed &= ~self.excluded.contains(lines, items)
        if self.also_included is not None:
            allowed |= self.also_included.contains(lines, items)
        return allowed

    def sizes(self, items: int, lines: int) -> NDArray[np.int64]:
        """Int64 (U,): how many of the items each of so many lines may get."""
        masks, excluded = self.included, self.excluded
        sizes = np.full(lines, items, np.int64) if masks is None else masks.sizes(items)
        if excluded is not None:
            there = excluded if masks is None else excluded.where(masks.contains(excluded.row_ids(), excluded.values))
            sizes = sizes - np.diff(there.indptr)
        return sizes if self.also_included is None else sizes + np.diff(self.also_included.indptr)


EVERYTHING = Selection()


def best_of(vectors: NDArray[Any], matrix: Items, n: int, selection: Selection) -> TopN:
    """The exact top n of each line, among what it may get.

    Args:
        vectors: float32 (U, d) or int32 (U, K), of the selection's U lines.
        matrix: the item side.
        n: length of the lists.
        selection: see there.
    """
    best = top_n(vectors, matrix, n, included=selection.included, excluded=selection.excluded)
    return best if selection.also_included is None else _merged(best, vectors, matrix, selection.also_included)


def popular_of(order: NDArray[np.int32], lines: int, n: int, selection: Selection) -> NDArray[np.int32]:
    """int32 (lines, n): the n most popular items of each line, among what it may get; -1 past the end.

    Args:
        order: int32 (I,), all items, the most popular first.
        lines: how many there are.
        n: length of the lists.
        selection: of these lines.
    """
    result = np.empty((lines, n), np.int32)
    if not lines:
        return result
    place, dropped = np.empty(len(order), np.int64), np.zeros(len(order), np.bool_)
    place[order] = np.arange(len(order))
    masks = selection.included
    groups = [(0, np.arange(lines))] if masks is None else masks.groups()
    for number, members in groups:
        included = order if masks is None else order[masks.mask(number, len(order))[order]]
        if selection.excluded is None and selection.also_included is None:
            result[members] = _padded(included[:n], n)
        else:
            result[members] = [_line(included, place, order, n, selection, line, dropped) for line in members.tolist()]
    return result


def first_of(lists: Ragged[np.int32], n: int, selection: Selection) -> NDArray[np.int32]:
    """int32 (U, n): the first n items of each list that its line may get; -1 past the end."""
    return lists.where(selection.allows(lists.row_ids(), lists.values)).padded(n, -1)


def filled(items: NDArray[np.int32], order: NDArray[np.int32], selection: Selection) -> NDArray[np.int32]:
    """int32 (U, n): the lists, where they are too short followed by the most popular of the other items that each line may get.

    Args:
        items: int32 (U, n), -1 behind the last item of a list.
        order: int32 (I,), all items, the most popular first.
        selection: of the U lines.
    """
    short = np.flatnonzero((items < 0).any(axis=1))
    if not len(short):
        return items
    lines, places = np.nonzero(items[short] >= 0)
    listed = Ragged.of_pairs(lines, items[short][lines, places].astype(np.int64), len(short))
    more = popular_of(order, len(short), items.shape[1], selection.take(short).without(listed))
    result = items.copy()
    for line, row in enumerate(short):
        count = np.count_nonzero(items[row] >= 0)
        result[row, count:] = more[line, : items.shape[1] - count]
    return result


def _line(
    included: NDArray[np.int32],
    place: NDArray[np.int64],
    order: NDArray[np.int32],
    n: int,
    selection: Selection,
    line: int,
    dropped: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """The items of one line; `dropped`, bool (I,), is false before and after."""
    nothing = np.empty(0, np.int32)
    excluded, also_included = (
        nothing if each is None else each.row(line) for each in (selection.excluded, selection.also_included)
    )
    head = included[: n + len(excluded)]
    dropped[excluded] = True
    places = np.concatenate([place[head[~dropped[head]]], place[also_included]])
    dropped[excluded] = False
    return _padded(order[np.sort(places)[:n]], n)


def _padded(items: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    return np.concatenate([items, np.full(n - len(items), -1, np.int32)])


def _merged(best: TopN, vectors: NDArray[Any], matrix: Items, others: Ragged[np.int32]) -> TopN:
    """The best of two disjoint sets of candidates, by the same products in the same order."""
    count, n = best.items.shape
    there = best.items >= 0
    lines = np.concatenate([np.nonzero(there)[0], others.row_ids()])
    items = np.concatenate([best.items[there], others.values])
    products = products_of(vectors, others.row_ids(), matrix, others.values.astype(np.int64))
    products = np.concatenate([best.products[there], products])
    order = np.lexsort((matrix.ranks[items], -products, lines))
    lists = Ragged.grouped(lines[order], items[order], count)
    return TopN(lists.padded(n, -1), lists.with_values(products[order]).padded(n, -np.inf))
