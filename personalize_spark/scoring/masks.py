"""Which items lines may get: a few masks of all items, each packed to a bit an item, and which of them is each line's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.ragged import Ragged

_HOLE = 3
"""What a hole costs, in items that need not be gathered once more."""
_HOLES = 1 << 18
"""Of a union, at most."""


@dataclass(frozen=True)
class Masks:
    """A mask for each of U lines, out of G different ones.

    Attributes:
        bits: uint8 (G, at least I / 8), as `numpy.packbits` packs them; what is behind bit I has no meaning.
        of: int64 (U,), each line's mask. The search is fastest where lines of one mask lie together.
    """

    bits: NDArray[np.uint8]
    of: NDArray[np.int64]

    @classmethod
    def same(cls, mask: NDArray[np.bool_], lines: int) -> Self:
        """One mask, bool (I,), for all lines."""
        return cls(np.packbits(mask)[None], np.zeros(lines, np.int64))

    def mask(self, number: int, items: int) -> NDArray[np.bool_]:
        """Bool (items,): the head of a mask."""
        return np.unpackbits(self.bits[number], count=items).view(np.bool_)

    def of_lines(self, lines: NDArray[np.int64]) -> Masks:
        """Those of some of the lines."""
        return replace(self, of=self.of[lines])

    def without(self, items: NDArray[np.int64]) -> Masks:
        """The same, but no line may get these items."""
        kept = np.full(self.bits.shape[1], 0xFF, np.uint8)
        np.bitwise_and.at(kept, items >> 3, ~_bit(items))
        return replace(self, bits=self.bits & kept)

    def holds(self, lines: NDArray[np.int64], items: NDArray[Any]) -> NDArray[np.bool_]:
        """Bool (m,): whether the mask of line lines[k] has items[k]."""
        held: NDArray[np.bool_] = self.bits[self.of[lines], items >> 3] & _bit(items) != 0
        return held

    def unions(self, items: int) -> Iterator[tuple[slice, NDArray[np.bool_], Ragged | None]]:
        """Lines in runs of equal or nearly equal masks, so that a search can go over the items of many at once.

        A line's *holes* are the items that it must not get, though others of its run may. A mask joins a run where that
        spares more items from being gathered again than its holes cost.

        Yields:
            The lines of a run; bool (items,), what any of them may get; and by line its holes. `None`: there are none.
        """
        starts = np.flatnonzero(np.diff(self.of, prepend=-1)).tolist()
        first, union, size, holes = 0, np.zeros(self.bits.shape[1], np.uint8), 0, 0
        for start, stop in pairwise([*starts, len(self.of)]):
            mask = self.bits[self.of[start]]
            count, together = _count(mask), _count(union | mask)
            more = (start - first) * (together - size) + (stop - start) * (together - count)
            if _HOLE * more > size + count - together or holes + more > _HOLES:
                yield self._union(first, start, union, items)
                first, union, together, holes, more = start, mask, count, 0, 0
            union, size, holes = union | mask, together, holes + more
        if starts:
            yield self._union(first, len(self.of), union, items)

    def _union(
        self, first: int, stop: int, union: NDArray[np.uint8], items: int
    ) -> tuple[slice, NDArray[np.bool_], Ragged | None]:
        starts = first + np.flatnonzero(np.diff(self.of[first:stop], prepend=-1))
        holes = [_places(union & ~self.bits[number], items) for number in self.of[starts]]
        sizes = np.diff(starts, append=stop)
        counts = np.repeat([len(each) for each in holes], sizes)
        by_line = [np.tile(each, size) for each, size in zip(holes, sizes, strict=True)]
        lists = Ragged(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(by_line))
        mask = np.unpackbits(union, count=items).view(np.bool_)
        return slice(first, stop), mask, lists if len(lists.items) else None

    def groups(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each mask that is a line's, with its lines, ascending."""
        order = np.argsort(self.of, kind="stable")
        starts = np.flatnonzero(np.diff(self.of[order], prepend=-1))
        for lines in np.split(order, starts[1:]):
            if len(lines):
                yield int(self.of[lines[0]]), lines


def _bit(items: NDArray[Any]) -> NDArray[np.uint8]:
    bits: NDArray[np.uint8] = (0x80 >> (items & 7)).astype(np.uint8)
    return bits


def _count(bits: NDArray[np.uint8]) -> int:
    return int(np.count_nonzero(np.unpackbits(bits).view(np.bool_)))


def _places(bits: NDArray[np.uint8], items: int) -> NDArray[np.int32]:
    """The places of the bits that are set, below `items` and ascending; fastest where few are."""
    held = np.flatnonzero(bits)
    found = held.repeat(8) * 8 + np.tile(np.arange(8), len(held))
    found = found[np.unpackbits(bits[held]).view(np.bool_)]
    return found[found < items].astype(np.int32)
