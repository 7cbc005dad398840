"""Lists of different lengths, one behind the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CELLS = 1 << 18
"""Values that are sorted at once, of at most as many lists as below."""
_LISTS = 1 << 10


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

    def line(self, line: int) -> NDArray[np.int32]:
        """int32 (any number,): the items of one line."""
        return self.items[self.indptr[line] : self.indptr[line + 1]]

    def part(self, lines: slice) -> Ragged:
        """The lists of neighbouring lines."""
        indptr = self.indptr[lines.start : lines.stop + 1]
        return Ragged(indptr - indptr[0], self.items[indptr[0] : indptr[-1]])

    def of_lines(self, lines: NDArray[np.int64]) -> Ragged:
        """The lists of some of the lines."""
        counts = np.diff(self.indptr)[lines]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        positions = np.arange(indptr[-1]) + np.repeat(self.indptr[lines] - indptr[:-1], counts)
        return Ragged(indptr, self.items[positions])

    @classmethod
    def of(cls, lines: NDArray[np.int64], items: NDArray[np.int64], count: int) -> Ragged:
        """From pairs (line, item) in any order, of `count` lines; doubles go."""
        keys = _sorted_keys(lines, items)
        keys = keys[np.append(keys[1:] != keys[:-1], True)[: len(keys)]]
        indptr = np.searchsorted(keys >> 32, np.arange(count + 1)).astype(np.int64)
        return cls(indptr, (keys & 0xFFFFFFFF).astype(np.int32))

    def plus(self, other: Ragged) -> Ragged:
        """What either has, of the same lines."""
        lines = np.concatenate([self.lines(), other.lines()])
        items = np.concatenate([self.items, other.items]).astype(np.int64)
        return Ragged.of(lines, items, len(self.indptr) - 1)

    def minus(self, other: Ragged) -> Ragged:
        """What it has and the other one has not, of the same lines."""
        return self._where(~other.holds(self.lines(), self.items))

    def outside(self, items: NDArray[np.int64]) -> Ragged:
        """What it has but these items."""
        return self._where(~np.isin(self.items, items))

    def below(self, count: int) -> Ragged:
        """What it has of the first `count` items."""
        return self._where(self.items < count)

    def holds(self, lines: NDArray[np.int64], items: NDArray[Any]) -> NDArray[np.bool_]:
        """Bool (m,): whether line lines[k] has items[k]."""
        own, asked = _sorted_keys(self.lines(), self.items), lines << 32 | items
        places = np.searchsorted(own, asked)
        found: NDArray[np.bool_] = np.append(own, -1)[places] == asked
        return found

    def _where(self, wanted: NDArray[np.bool_]) -> Ragged:
        ends = np.concatenate([[0], np.cumsum(wanted)])
        return Ragged(ends[self.indptr], self.items[wanted])


def _sorted_keys(lines: NDArray[np.int64], items: NDArray[Any]) -> NDArray[np.int64]:
    """int64 (m,): a number for each pair; sorting them beats `np.unique` and `np.isin`, which hash, by far."""
    return np.sort(lines << 32 | items)


def sorted_within(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (m,): the places that put the values of each list in ascending order; equal ones in no order.

    Args:
        values: float64 (m,), finite, list behind list.
        counts: int64 (U,), how many each has.
    """
    starts = np.cumsum(counts) - counts
    order = np.arange(len(values))
    by_count = np.argsort(counts, kind="stable")
    sizes = counts[by_count]
    first = int(np.searchsorted(sizes, 2))
    while first < len(by_count):
        longest = int(sizes[first : first + _LISTS][-1])
        last = min(len(by_count), first + min(_LISTS, max(1, _CELLS // longest)))
        lists = by_count[first:last]
        width = int(sizes[last - 1])
        inside = np.arange(width) < counts[lists][:, None]
        places = np.where(inside, starts[lists][:, None] + np.arange(width), 0)
        padded = np.where(inside, values[places], np.inf)
        turned = np.take_along_axis(places, np.argsort(padded, axis=1), axis=1)
        order[places[inside]] = turned[inside]
        first = last
    return order
