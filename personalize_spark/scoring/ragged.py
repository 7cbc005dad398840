"""Lists of different lengths, one behind the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
        return np.isin(lines << 32 | items, self.lines() << 32 | self.items)

    def _where(self, wanted: NDArray[np.bool_]) -> Ragged:
        ends = np.concatenate([[0], np.cumsum(wanted)])
        return Ragged(ends[self.indptr], self.items[wanted])
