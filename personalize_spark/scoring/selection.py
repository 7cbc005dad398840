"""Which items may be recommended to which lines, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.products import paired_products
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.topn import ItemMatrix, TopN, top_n


@dataclass(frozen=True)
class Selection:
    """What U lines may get: the kept items but the excluded ones, and the extra ones.

    Attributes:
        keep: by line, a mask of the items; `None` keeps every item.
        excluded: by line, items that it must not get; `None`: none.
        extra: by line, items that `keep` does not keep; `None`: none.
        unknown: bool (U,), whether a line may get an item that the model does not know; `None`: all may.
    """

    keep: Masks | None = None
    excluded: Ragged | None = None
    extra: Ragged | None = None
    unknown: NDArray[np.bool_] | None = None

    def of(self, lines: NDArray[np.int64]) -> Selection:
        """What some of the lines may get; `lines` are ascending."""
        excluded, extra = (part and part.of_lines(lines) for part in (self.excluded, self.extra))
        unknown = None if self.unknown is None else self.unknown[lines]
        return Selection(self.keep and self.keep.of_lines(lines), excluded, extra, unknown)

    def without(self, items: NDArray[np.int64]) -> Selection:
        """The same, but line u must not get items[u] either: int64 (U,)."""
        gone = Ragged(np.arange(len(items) + 1), items.astype(np.int32))
        return self.but(gone)

    def but(self, gone: Ragged) -> Selection:
        """The same, without what is in a list."""
        excluded = gone if self.excluded is None else self.excluded.plus(gone)
        return replace(self, excluded=excluded, extra=self.extra and self.extra.minus(gone))

    def below(self, count: int) -> Selection:
        """What there is of it among the first `count` items."""
        excluded, extra = (part and part.below(count) for part in (self.excluded, self.extra))
        return replace(self, excluded=excluded, extra=extra)

    def allows(self, lines: NDArray[np.int64], items: NDArray[Any]) -> NDArray[np.bool_]:
        """Bool (m,): whether line lines[k] may get items[k], for all k."""
        allowed = np.ones(len(items), np.bool_) if self.keep is None else self.keep.holds(lines, items)
        if self.excluded is not None:
            allowed &= ~self.excluded.holds(lines, items)
        if self.extra is not None:
            allowed |= self.extra.holds(lines, items)
        return allowed


EVERYTHING = Selection()


def best_of(vectors: NDArray[np.float32], matrix: ItemMatrix, n: int, selection: Selection) -> TopN:
    """The exact top n of each line, among what it may get.

    Args:
        vectors: float32 (U, d), of the selection's U lines.
        matrix: the item side.
        n: length of the lists.
        selection: see there.
    """
    best = top_n(vectors, matrix, n, keep=selection.keep, excluded=selection.excluded)
    return best if selection.extra is None else _merged(best, vectors, matrix, selection.extra)


def popular_of(popular: NDArray[np.int32], count: int, n: int, selection: Selection) -> NDArray[np.int32]:
    """int32 (count, n): the n most popular items of each line, among what it may get; -1 past the end.

    Args:
        popular: int32 (I,), all items, the most popular first.
        count: how many lines, U.
        n: length of the lists.
        selection: see there.
    """
    result = np.empty((count, n), np.int32)
    if not count:
        return result
    place = np.empty(len(popular), np.int64)
    place[popular] = np.arange(len(popular))
    everybody = [(0, np.arange(count))] if selection.keep is None else selection.keep.groups()
    for number, lines in everybody:
        kept = popular if selection.keep is None else popular[selection.keep.mask(number, len(popular))[popular]]
        if selection.excluded is None and selection.extra is None:
            result[lines] = _padded(kept[:n], n)
        else:
            result[lines] = [_line(kept, place, popular, n, selection, line) for line in lines.tolist()]
    return result


def first_of(lists: Ragged, n: int, selection: Selection) -> NDArray[np.int32]:
    """int32 (U, n): the first n items of each list that its line may get; -1 past the end."""
    lines = lists.lines()
    there = selection.allows(lines, lists.items)
    lines, items = lines[there], lists.items[there]
    places = np.arange(len(lines)) - np.searchsorted(lines, lines)
    first = places < n
    result = np.full((len(lists.indptr) - 1, n), -1, np.int32)
    result[lines[first], places[first]] = items[first]
    return result


def filled(items: NDArray[np.int32], popular: NDArray[np.int32], selection: Selection) -> NDArray[np.int32]:
    """int32 (U, n): the lists, where they are too short followed by the most popular of the other items that each line may get.

    Args:
        items: int32 (U, n), -1 behind the last item of a list.
        popular: int32 (I,), all items, the most popular first.
        selection: of the U lines.
    """
    short = np.flatnonzero((items < 0).any(axis=1))
    if not len(short):
        return items
    lines, places = np.nonzero(items[short] >= 0)
    listed = Ragged.of(lines, items[short][lines, places].astype(np.int64), len(short))
    more = popular_of(popular, len(short), items.shape[1], selection.of(short).but(listed))
    result = items.copy()
    for line, row in enumerate(short):
        count = np.count_nonzero(items[row] >= 0)
        result[row, count:] = more[line, : items.shape[1] - count]
    return result


def _line(
    kept: NDArray[np.int32],
    place: NDArray[np.int64],
    popular: NDArray[np.int32],
    n: int,
    selection: Selection,
    line: int,
) -> NDArray[np.int32]:
    nothing = np.empty(0, np.int32)
    gone, extra = (nothing if each is None else each.line(line) for each in (selection.excluded, selection.extra))
    head = kept[: n + len(gone)]
    places = np.concatenate([place[head[~np.isin(head, gone)]], place[extra]])
    return _padded(popular[np.sort(places)[:n]], n)


def _padded(items: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    return np.concatenate([items, np.full(n - len(items), -1, np.int32)])


def _merged(best: TopN, vectors: NDArray[np.float32], matrix: ItemMatrix, extra: Ragged) -> TopN:
    """The best of two disjoint sets of candidates, by the same products in the same order."""
    n = best.items.shape[1]
    there = best.items >= 0
    lines = np.concatenate([np.nonzero(there)[0], extra.lines()])
    items = np.concatenate([best.items[there], extra.items]).astype(np.int64)
    products = paired_products(vectors, extra.lines(), matrix.factors, extra.items.astype(np.int64))
    products = np.concatenate([best.products[there], products])
    order = np.lexsort((matrix.ranks[items], -products, lines))
    lines, items, products = lines[order], items[order], products[order]
    places = np.arange(len(lines)) - np.searchsorted(lines, lines)
    first = places < n
    merged = TopN(np.full_like(best.items, -1), np.full_like(best.products, -np.inf))
    merged.items[lines[first], places[first]] = items[first]
    merged.products[lines[first], places[first]] = products[first]
    return merged
