"""Rows of different lengths, one behind the other: the one form in which this package holds a list for each of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)
S = TypeVar("S", bound=np.generic)

_CELLS = 1 << 18
"""Values that are sorted at once, of at most as many rows as below."""
_ROWS = 1 << 10


@dataclass(frozen=True)
class Ragged(Generic[T]):
    """R rows: row r is `values[indptr[r]:indptr[r + 1]]`.

    The set operations are for rows of numbers of items, none twice in a row.

    Attributes:
        indptr: int64 or int32 (R + 1,), ascending from 0.
        values: (m,), of any dtype.
    """

    indptr: NDArray[np.signedinteger[Any]]
    values: NDArray[T]

    @classmethod
    def of_lengths(cls, lengths: NDArray[np.int64], values: NDArray[T]) -> Ragged[T]:
        """From the length of each row, int64 (R,)."""
        return Ragged(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), values)

    @classmethod
    def singles(cls, values: NDArray[T]) -> Ragged[T]:
        """A row of one value each."""
        return Ragged(np.arange(len(values) + 1), values)

    @classmethod
    def grouped(cls, row_ids: NDArray[np.integer[Any]], values: NDArray[T], rows: int) -> Ragged[T]:
        """From the row of each value, int (m,), in any order; within a row the order of the values stays."""
        order = np.argsort(row_ids, kind="stable")
        return Ragged(np.searchsorted(row_ids[order], np.arange(rows + 1)).astype(np.int64), values[order])

    @classmethod
    def of_pairs(cls, row_ids: NDArray[np.int64], values: NDArray[np.int64], rows: int) -> Ragged[np.int32]:
        """Sets from pairs (row, value) in any order, each row ascending; doubles go."""
        keys = _sorted_keys(row_ids, values)
        keys = keys[np.append(keys[1:] != keys[:-1], True)[: len(keys)]]
        indptr = np.searchsorted(keys >> 32, np.arange(rows + 1)).astype(np.int64)
        return Ragged(indptr, (keys & 0xFFFFFFFF).astype(np.int32))

    @classmethod
    def stacked(cls, parts: Sequence[Ragged[T]]) -> Self:
        """The rows of all parts, of which there is at least one."""
        ends = np.cumsum([part.indptr[-1] for part in parts]).tolist()
        indptr = [parts[0].indptr, *(part.indptr[1:] + end for part, end in zip(parts[1:], ends, strict=False))]
        return cls(np.concatenate(indptr), np.concatenate([part.values for part in parts]))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 (R,)."""
        return np.diff(self.indptr).astype(np.int64, copy=False)

    def row_ids(self) -> NDArray[np.int64]:
        """int64 (m,): the row of each value."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def place_in_row(self) -> NDArray[np.int64]:
        """int64 (m,): the place of each value in its row, from 0."""
        return np.arange(len(self.values)) - np.repeat(self.indptr[:-1], self.lengths)

    def row(self, row: int) -> NDArray[T]:
        """The values of one row."""
        return self.values[self.indptr[row] : self.indptr[row + 1]]

    def part(self, rows: slice) -> Ragged[T]:
        """Neighbouring rows, without a copy of their values."""
        indptr = self.indptr[rows.start : rows.stop + 1]
        return Ragged(indptr - indptr[0], self.values[indptr[0] : indptr[-1]])

    def positions(self, rows: NDArray[np.int64]) -> Ragged[np.int64]:
        """Where the values of some rows are, for arrays that are parallel to `values`."""
        lengths = self.lengths[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        return Ragged(indptr, np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths))

    def take(self, rows: NDArray[np.int64]) -> Ragged[T]:
        """Some rows, in this order."""
        positions = self.positions(rows)
        return positions.with_values(self.values[positions.values])

    def where(self, wanted: NDArray[np.bool_]) -> Ragged[T]:
        """The same rows without the values that are not wanted, bool (m,)."""
        if wanted.all():
            return self
        ends = np.concatenate([[0], np.cumsum(wanted)])
        return Ragged(ends[self.indptr], self.values[wanted])

    def with_values(self, values: NDArray[S]) -> Ragged[S]:
        """Rows of the same lengths with other values, (m,)."""
        return Ragged(self.indptr, values)

    def means(self: Ragged[np.float64]) -> NDArray[np.float64]:
        """float64 (R,): the mean of each row, of which none is empty."""
        sums: NDArray[np.float64] = np.add.reduceat(self.values, self.indptr[:-1])
        return sums / self.lengths

    def padded(self, width: int, fill: float) -> NDArray[T]:
        """(R, width): the head of each row; `fill` behind the end of a shorter one."""
        result = np.full((len(self), width), fill, self.values.dtype)
        rows, places = self.row_ids(), self.place_in_row()
        head = places < width
        result[rows[head], places[head]] = self.values[head]
        return result

    def union(self: Ragged[np.int32], other: Ragged[np.int32]) -> Ragged[np.int32]:
        """What is in either row, ascending."""
        row_ids = np.concatenate([self.row_ids(), other.row_ids()])
        return Ragged.of_pairs(row_ids, np.concatenate([self.values, other.values]).astype(np.int64), len(self))

    def difference(self: Ragged[np.int32], other: Ragged[np.int32]) -> Ragged[np.int32]:
        """What is in its row and not in the other one's."""
        return self.where(~other.contains(self.row_ids(), self.values))

    def contains(self: Ragged[np.int32], rows: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.bool_]:
        """Bool (n,): whether row rows[k] has values[k]."""
        own, asked = _sorted_keys(self.row_ids(), self.values), rows << 32 | values
        places = np.searchsorted(own, asked)
        found: NDArray[np.bool_] = np.append(own, -1)[places] == asked
        return found

    def argsort(self: Ragged[np.float64]) -> NDArray[np.int64]:
        """int64 (m,): the positions that put each row of finite values in ascending order; equal ones in no order."""
        order = np.arange(len(self.values))
        by_length = np.argsort(self.lengths, kind="stable")
        lengths = self.lengths[by_length]
        first = int(np.searchsorted(lengths, 2))
        while first < len(by_length):
            longest = int(lengths[first : first + _ROWS][-1])
            last = min(len(by_length), first + min(_ROWS, max(1, _CELLS // longest)))
            rows = by_length[first:last]
            width = int(lengths[last - 1])
            inside = np.arange(width) < lengths[first:last, None]
            positions = np.where(inside, self.indptr[rows][:, None] + np.arange(width), 0)
            padded = np.where(inside, self.values[positions], np.inf)
            turned = np.take_along_axis(positions, np.argsort(padded, axis=1), axis=1)
            order[positions[inside]] = turned[inside]
            first = last
        return order


def _sorted_keys(row_ids: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.int64]:
    """int64 (m,): a number for each pair; sorting them beats `np.unique` and `np.isin`, which hash, by far."""
    return np.sort(row_ids << 32 | values)
