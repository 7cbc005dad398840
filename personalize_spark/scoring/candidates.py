"""Which items may be in a list: those that a filter keeps, less what each user must not get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring import bounds
from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.screen import Screen

BATCH_USERS = 2048
"""Users that go over the tiles together, at most."""


@dataclass(frozen=True)
class Candidates:
    """The items that may be recommended, by descending norm; a *position* counts among them.

    Attributes:
        items: the item side.
        rows: int32 (C,), their rows in it, ascending; None: all.
    """

    items: ItemMatrix
    rows: NDArray[np.int32] | None

    @classmethod
    def of(cls, items: ItemMatrix, included: NDArray[np.bool_] | None) -> Candidates:
        """All items, or those that ``included``, bool (I,), has."""
        return cls(items, None if included is None else np.flatnonzero(included).astype(np.int32))

    def __len__(self) -> int:
        return len(self.items.norms if self.rows is None else self.rows)

    def largest(self, start: int = 0) -> float:
        """An upper bound of the norms from a position on; 0 where there is none."""
        if start >= len(self):
            return 0.0
        return bounds.finite(self.items.norms[start if self.rows is None else self.rows[start]])

    def factors(self, start: int, stop: int, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """The factors of the positions from ``start`` to ``stop``, gathered in ``buffer``, float32 (>= stop - start, d), if need be."""
        if self.rows is None:
            return self.items.factors[start:stop]
        # clip, as numpy copies once more where it has to raise
        return self.items.factors.take(self.rows[start:stop], axis=0, out=buffer[: stop - start], mode="clip")

    def at(self, positions: NDArray[np.integer]) -> NDArray[np.int64]:
        """Positions as rows of the item matrix."""
        return (positions if self.rows is None else self.rows[positions]).astype(np.int64, copy=False)

    def positions(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Rows of the item matrix as positions; -1: no candidate."""
        if self.rows is None:
            return rows.astype(np.int64)
        places = np.searchsorted(self.rows, rows)
        return np.where(np.append(self.rows, -1)[places] == rows, places, -1)

    def gathered(self) -> ItemMatrix:
        """The candidates as an item side of their own, with a screen; its rows are the positions."""
        rows = np.arange(len(self)) if self.rows is None else self.rows
        factors = self.items.factors[rows]
        screen = Screen.of(factors, self.items.basis)
        return ItemMatrix(factors, self.items.norms[rows], self.items.ranks[rows], self.items.basis, screen)

    def included(self) -> NDArray[np.bool_] | None:
        """What `of` makes them from."""
        if self.rows is None:
            return None
        included = np.zeros(len(self.items.norms), np.bool_)
        included[self.rows] = True
        return included

    def by_rank(self) -> NDArray[np.int64]:
        """The rows of the item matrix of all candidates, by ascending rank."""
        rows = self.at(np.arange(len(self)))
        return rows[np.argsort(self.items.ranks[rows])]


@dataclass(frozen=True)
class Exclusions:
    """What the users of a search must not get.

    Attributes:
        keys: int64, ascending: position, then user.
    """

    keys: NDArray[np.int64]

    @classmethod
    def of(cls, excluded: Ragged[np.int32] | None, candidates: Candidates) -> Exclusions:
        """Those of some users, `BATCH_USERS` at most, that are candidates at all."""
        if excluded is None:
            return cls(np.empty(0, np.int64))
        positions = candidates.positions(excluded.values)
        inside = positions >= 0
        return cls(np.sort(positions[inside] * BATCH_USERS + excluded.row_ids()[inside]))

    def tile(
        self, start: int, stop: int, users: int, active: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Those from one position to another and of the active ones among ``users``: (columns of the tile, places among the active)."""
        if not len(self.keys):
            return self.keys, self.keys
        first, last = np.searchsorted(self.keys, (start * BATCH_USERS, stop * BATCH_USERS))
        columns, owners = np.divmod(self.keys[first:last] - start * BATCH_USERS, BATCH_USERS)
        places = np.full(users, -1)
        places[active] = np.arange(len(active))
        found = places[owners]
        inside = np.flatnonzero(found >= 0)
        return columns[inside], found[inside]
