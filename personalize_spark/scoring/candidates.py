"""Which items may be in a list: those that a filter keeps, less what each user must not get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.items import ItemMatrix

Excluded = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Items by user: ``indptr`` int64 (U + 1,), ``indices`` int32; user u's are ``indices[indptr[u]:indptr[u + 1]]``."""

TILE_WIDTH = 2048
"""Candidates per tile."""
BATCH_USERS = 2048
"""Users that go over the tiles together, at most."""
_TILE_KEYS = BATCH_USERS * TILE_WIDTH


@dataclass(frozen=True)
class Candidates:
    """The items that may be recommended, by descending norm; a *position* counts among them.

    Attributes:
        items: the item side.
        rows: int64 (C,), their rows in it, ascending; None: all.
        norms: float32 (C,), descending.
    """

    items: ItemMatrix
    rows: NDArray[np.int64] | None
    norms: NDArray[np.float32]

    @classmethod
    def of(cls, items: ItemMatrix, keep: NDArray[np.bool_] | None) -> Candidates:
        """All items, or those that ``keep``, bool (I,), keeps."""
        rows = None if keep is None else np.flatnonzero(keep)
        return cls(items, rows, items.norms if rows is None else items.norms[rows])

    def factors(self, start: int, stop: int, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """The factors of the positions from ``start`` to ``stop``, gathered in ``buffer``, float32 (>= stop - start, d), if need be."""
        if self.rows is None:
            return self.items.factors[start:stop]
        # clip, as numpy copies once more where it has to raise
        return self.items.factors.take(self.rows[start:stop], axis=0, out=buffer[: stop - start], mode="clip")

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions as rows of the item matrix."""
        return positions if self.rows is None else self.rows[positions]

    def by_rank(self) -> NDArray[np.int64]:
        """The rows of the item matrix of all candidates, by ascending rank."""
        rows = self.at(np.arange(len(self.norms)))
        return rows[np.argsort(self.items.ranks[rows])]


@dataclass(frozen=True)
class Exclusions:
    """What the users of a batch must not get.

    Attributes:
        keys: int64, ascending: tile, then user of the batch, then column of the tile.
    """

    keys: NDArray[np.int64]

    @classmethod
    def of(cls, excluded: Excluded | None, batch: slice, candidates: Candidates) -> Exclusions:
        """Those of the users in ``batch`` that are candidates at all."""
        if excluded is None:
            return cls(np.empty(0, np.int64))
        indptr, indices = excluded
        counts = np.diff(indptr[batch.start : batch.stop + 1])
        owners = np.repeat(np.arange(len(counts)), counts)
        positions = indices[indptr[batch.start] : indptr[batch.stop]].astype(np.int64)
        if candidates.rows is not None:
            places = np.searchsorted(candidates.rows, positions)
            inside = np.flatnonzero(np.append(candidates.rows, -1)[places] == positions)
            positions, owners = places[inside], owners[inside]
        tiles, columns = np.divmod(positions, TILE_WIDTH)
        return cls(np.sort(tiles * _TILE_KEYS + owners * TILE_WIDTH + columns))

    def tile(self, tile: int, users: int, active: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Those of one tile and of the active ones among the batch's users: (places among the active, columns)."""
        if not len(self.keys):
            return self.keys, self.keys
        first, last = np.searchsorted(self.keys, (tile * _TILE_KEYS, (tile + 1) * _TILE_KEYS))
        owners, columns = np.divmod(self.keys[first:last] - tile * _TILE_KEYS, TILE_WIDTH)
        places = np.full(users, -1)
        places[active] = np.arange(len(active))
        found = places[owners]
        inside = np.flatnonzero(found >= 0)
        return found[inside], columns[inside]
