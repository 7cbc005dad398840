"""Which items lines may get: a few masks of all items, each packed to a bit an item, and which of them is each line's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


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
