"""Which items may be recommended to which lines, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.products import paired_products
from personalize_spark.scoring.topn import ItemMatrix, TopN, top_n


@dataclass(frozen=True)
class Ragged:
    """A list of items for each of U lines: line u has `items[indptr[u]:indptr[u + 1]]`.

    Attributes:
        indptr: int64 (U + 1,).
        items: int32 (m,), rows of the model's items, none twice in a line.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int32]

    def lines(self) -> NDArray[np.int64]:
        """int64 (m,): the line of each item."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def of_lines(self, lines: NDArray[np.int64]) -> Ragged:
        """The lists of some of the lines."""
        counts = np.diff(self.indptr)[lines]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        positions = np.arange(indptr[-1]) + np.repeat(self.indptr[lines] - indptr[:-1], counts)
        return Ragged(indptr, self.items[positions])

    @classmethod
    def of(cls, lines: NDArray[np.int64], items: NDArray[np.int64], count: int) -> Ragged:
        """From pairs (line, item) in any order, of `count` lines; doubles go."""
        keys = np.unique(lines << 32 | items)
        indptr = np.searchsorted(keys >> 32, np.arange(count + 1)).astype(np.int64)
        return cls(indptr, (keys & 0xFFFFFFFF).astype(np.int32))


@dataclass(frozen=True)
class Selection:
    """What U lines of one binding may get: the kept items but the excluded ones, and the extra ones.

    Attributes:
        keep: bool (I,), for all lines; `None` keeps every item.
        excluded: by line, items that `keep` keeps; `None`: none.
        extra: by line, items that `keep` does not keep; `None`: none.
    """

    keep: NDArray[np.bool_] | None = None
    excluded: Ragged | None = None
    extra: Ragged | None = None

    def of(self, lines: NDArray[np.int64]) -> Selection:
        """What some of the lines may get; `lines` are ascending."""
        return Selection(
            self.keep, self.excluded and self.excluded.of_lines(lines), self.extra and self.extra.of_lines(lines)
        )


EVERYTHING = Selection()


def best_of(vectors: NDArray[np.float32], matrix: ItemMatrix, n: int, selection: Selection) -> TopN:
    """The exact top n of each line, among what it may get.

    Args:
        vectors: float32 (U, d), of the selection's U lines.
        matrix: the item side.
        n: length of the lists.
        selection: see there.
    """
    gone = selection.excluded
    excluded = None if gone is None else (gone.indptr, gone.items)
    best = top_n(vectors, matrix, n, keep=selection.keep, excluded=excluded)
    return best if selection.extra is None else _merged(best, vectors, matrix, selection.extra)


def popular_of(popular: NDArray[np.int32], count: int, n: int, selection: Selection) -> NDArray[np.int32]:
    """int32 (count, n): the n most popular items of each line, among what it may get; -1 past the end.

    Args:
        popular: int32 (I,), all items, the most popular first.
        count: how many lines, U.
        n: length of the lists.
        selection: see there.
    """
    kept = popular if selection.keep is None else popular[selection.keep[popular]]
    if selection.excluded is None and selection.extra is None:
        return np.broadcast_to(_padded(kept[:n], n), (count, n))
    place = np.empty(len(popular), np.int64)
    place[popular] = np.arange(len(popular))
    return (
        np.stack([_line(kept, place, popular, n, selection, line) for line in range(count)])
        if count
        else np.empty((0, n), np.int32)
    )


def _line(
    kept: NDArray[np.int32],
    place: NDArray[np.int64],
    popular: NDArray[np.int32],
    n: int,
    selection: Selection,
    line: int,
) -> NDArray[np.int32]:
    gone = _of_line(selection.excluded, line)
    head = kept[: n + len(gone)]
    places = np.concatenate([place[head[~np.isin(head, gone)]], place[_of_line(selection.extra, line)]])
    return _padded(popular[np.sort(places)[:n]], n)


def _of_line(ragged: Ragged | None, line: int) -> NDArray[np.int32]:
    return np.empty(0, np.int32) if ragged is None else ragged.items[ragged.indptr[line] : ragged.indptr[line + 1]]


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
