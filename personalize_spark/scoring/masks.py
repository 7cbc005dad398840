"""Which items lines may get: a few masks of all items, each packed to a bit an item, and which of them is each line's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.ragged import Ragged

_COST = 3
"""Of an excluded pair, in items that need not be gathered once more."""
_BITS = np.array([number.bit_count() for number in range(256)], np.int64)
_MOST_EXCLUDED = 1 << 18
"""Pairs of a union."""


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

    def take(self, lines: NDArray[np.int64]) -> Masks:
        """Those of some of the lines."""
        return replace(self, of=self.of[lines])

    def without(self, items: NDArray[np.int64]) -> Masks:
        """The same, but no line may get these items."""
        kept = np.full(self.bits.shape[1], 0xFF, np.uint8)
        np.bitwise_and.at(kept, items >> 3, ~_bit(items))
        return replace(self, bits=self.bits & kept)

    def intersection(self, other: Masks) -> Masks:
        """What is in both masks of a line; those of `other` are as many."""
        pairs, of = np.unique(np.stack([self.of, other.of]), axis=1, return_inverse=True)
        width = min(self.bits.shape[1], other.bits.shape[1])
        return Masks(self.bits[pairs[0], :width] & other.bits[pairs[1], :width], of.reshape(-1))

    def sizes(self, items: int) -> NDArray[np.int64]:
        """Int64 (U,): how many of the first `items` items each line's mask has."""
        used, of = np.unique(self.of, return_inverse=True)
        bits = self.bits[used, : -(-items // 8)]
        bits[:, -1] &= 0xFF << (-items % 8) & 0xFF
        counted: NDArray[np.int64] = _BITS[bits].sum(1)[of.reshape(-1)]
        return counted

    def contains(self, lines: NDArray[np.int64], items: NDArray[Any]) -> NDArray[np.bool_]:
        """Bool (m,): whether the mask of line lines[k] has items[k]."""
        found: NDArray[np.bool_] = self.bits[self.of[lines], items >> 3] & _bit(items) != 0
        return found

    def unions(self, items: int) -> Iterator[tuple[slice, NDArray[np.bool_], Ragged[np.int32] | None]]:
        """Lines in runs of equal or nearly equal masks, so that a search can go over the items of many at once.

        Yields:
            The lines of a run; bool (items,), what any of them may get; and by line the items of these that it must not
            get itself. `None`: there are none.
        """
        starts = np.flatnonzero(np.diff(self.of, prepend=-1)).tolist()
        union: _Union | None = None
        for start, stop in pairwise([*starts, len(self.of)]):
            bits = self.bits[self.of[start]]
            one = _Union(slice(start, stop), bits, _count(bits))
            both = one if union is None else union.joined(one)
            if union is not None and not union.gains(one, both):
                yield self._run(union, items)
                both = one
            union = both
        if union is not None:
            yield self._run(union, items)

    def _run(self, union: _Union, items: int) -> tuple[slice, NDArray[np.bool_], Ragged[np.int32] | None]:
        of = self.of[union.lines]
        starts = np.flatnonzero(np.diff(of, prepend=-1))
        excluded = [_places(union.bits & ~self.bits[number], items) for number in of[starts]]
        by_mask = Ragged.of_lengths(np.array([len(each) for each in excluded]), np.concatenate(excluded))
        mask = np.unpackbits(union.bits, count=items).view(np.bool_)
        if not len(by_mask.values):
            return union.lines, mask, None
        return union.lines, mask, by_mask.take(np.repeat(np.arange(len(starts)), np.diff(starts, append=len(of))))

    def groups(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each mask that is a line's, with its lines, ascending."""
        order = np.argsort(self.of, kind="stable")
        starts = np.flatnonzero(np.diff(self.of[order], prepend=-1))
        for lines in np.split(order, starts[1:]):
            if len(lines):
                yield int(self.of[lines[0]]), lines


@dataclass(frozen=True)
class _Union:
    """What neighbouring lines may get together.

    Attributes:
        lines: the lines.
        bits: uint8 (at least I / 8,), the union of their masks.
        size: how many items it has.
        excluded: pairs of a line and an item of the union that is not in the line's own mask.
    """

    lines: slice
    bits: NDArray[np.uint8]
    size: int
    excluded: int = 0

    def joined(self, following: _Union) -> _Union:
        """With the lines that follow."""
        bits = self.bits | following.bits
        size = _count(bits)
        excluded = sum(
            each.excluded + (each.lines.stop - each.lines.start) * (size - each.size) for each in (self, following)
        )
        return _Union(slice(self.lines.start, following.lines.stop), bits, size, excluded)

    def gains(self, one: _Union, both: _Union) -> bool:
        """Whether one search spares more items from being gathered again than the pairs that it excludes cost."""
        spared = self.size + one.size - both.size
        return _COST * (both.excluded - self.excluded) <= spared and both.excluded <= _MOST_EXCLUDED


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
