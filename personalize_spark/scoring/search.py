"""The search of `topn`: a batch of users goes over tiles of candidates and holds what can still be among the best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring import bounds
from personalize_spark.scoring.candidates import Candidates, Exclusions
from personalize_spark.scoring.products import paired_products

TILE_WIDTH = 2048
"""Candidates per tile of many users."""
_WIDEST = 2
"""Tiles that few users go over at once."""
_BLOCK_USERS = 256
"""Users per product with a tile: 2 MiB of scores, which numpy goes over again while they are in cache."""
_GROUP = 16
"""Items that share one maximum, at most."""
_HITS = 1 << 13
"""Groups that are looked into at once."""
_POOL = 1 << 17
"""Survivors that searches side by side hold together before they are settled in float64."""
_PLACE_BITS = 21
_LOWEST = np.finfo(np.float32).min

Lists = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


class _Survivors:
    """Pairs of user and position that can still be among the best, with their float32 score, in any order."""

    def __init__(self) -> None:
        self.replace(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))

    def replace(self, rows: NDArray[np.int64], positions: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        self._parts = [(rows, positions, scores)]
        self.held = len(rows)

    def add(self, rows: NDArray[np.int64], positions: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        self._parts.append((rows, positions, scores))
        self.held += len(rows)

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        rows, positions, scores = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        self.replace(rows, positions, scores)
        return rows, positions, scores


class Workspace:
    """What the searches of one thread work in: scores float32 (users x width of a block), gathered float32 (widest tile, d)."""

    def __init__(self, rank: int) -> None:
        self.scores = np.empty(_BLOCK_USERS * TILE_WIDTH, np.float32)
        self.gathered = np.empty((_WIDEST * TILE_WIDTH, rank), np.float32)


class Search:
    """Users of one set of candidates on their way over its tiles: `step` until it is False, then `settle`.

    Of `beside` searches that go side by side, each holds its share of what may be held.
    Every user has a *cut*: a float32 score below which an item is not among the user's best n, whatever its rounding.
    """

    def __init__(
        self, users: NDArray[np.float32], candidates: Candidates, n: int, excluded: Exclusions, beside: int = 1
    ) -> None:
        self.users, self.candidates, self.n, self.excluded = users, candidates, n, excluded
        self.pool = max(_POOL // beside, 8 * n * len(users))
        basis, item = candidates.items.basis, candidates.largest()
        lengths = bounds.norms(users)
        self.shifts = bounds.shifts(lengths, item)
        self.scaled = np.ldexp(users, self.shifts[:, None])
        self.margins = bounds.margins(np.ldexp(lengths, self.shifts), item, users.shape[1])
        self.reach = np.ldexp(lengths if basis is None else bounds.norms(users, bounds.dual(basis)), self.shifts)
        self.cut = np.full(len(users), _LOWEST, np.float32)
        self.survivors = _Survivors()
        self.active, self.start = np.flatnonzero(self.reach), 0

    def step(self, workspace: Workspace) -> bool:
        """Go over one more tile; False where no further one can change a list."""
        bound = self.reach[self.active] * self.candidates.largest(self.start)
        self.active = self.active[bound >= self.cut[self.active]]
        if self.start >= len(self.candidates) or not len(self.active):
            return False
        width = TILE_WIDTH * min(_WIDEST, max(1, _BLOCK_USERS // len(self.active)))
        stop = min(self.start + width, len(self.candidates))
        self._tile(stop, workspace)
        self.start = stop
        if self.survivors.held > 2 * self.n * len(self.users):
            self._tighten()
        return True

    def _tile(self, stop: int, workspace: Workspace) -> None:
        start, active = self.start, self.active
        factors = self.candidates.factors(start, stop, workspace.gathered)
        columns, places = self.excluded.tile(start, stop, len(self.users), active)
        for low in range(0, len(active), _BLOCK_USERS):
            inside = (places >= low) & (places < low + _BLOCK_USERS)
            excluded = columns[inside], places[inside] - low
            self._block(active[low : low + _BLOCK_USERS], factors, start, excluded, workspace.scores)

    def _block(
        self,
        rows: NDArray[np.int64],
        factors: NDArray[np.float32],
        start: int,
        excluded: tuple[NDArray[np.int64], NDArray[np.int64]],
        buffer: NDArray[np.float32],
    ) -> None:
        """Multiply some users with one tile of items and hold what reaches their cuts.

        With the items along the first axis, item ``depth * groups + group``, the maxima of all groups are a few passes
        over long contiguous runs.
        """
        lines, count, depths = len(rows), len(factors), _GROUP
        while start == 0 and depths > 1 and count < 2 * self.n * depths:
            depths >>= 1
        groups = -(-count // depths)
        scores = buffer[: lines * depths * groups].reshape(depths * groups, lines)
        np.matmul(factors, self.scaled[rows].T, out=scores[:count])
        scores[count:] = -np.inf
        scores[excluded] = -np.inf
        grouped = scores.reshape(depths, groups * lines)
        maxima = grouped.max(axis=0).reshape(groups, lines)
        if start == 0 and groups >= self.n:
            self._guess(rows, maxima)
        hits = np.flatnonzero(maxima >= self.cut[rows])
        for low in range(0, len(hits), _HITS):
            self._hold(rows, grouped, hits[low : low + _HITS], start)

    def _hold(self, rows: NDArray[np.int64], grouped: NDArray[np.float32], hits: NDArray[np.int64], start: int) -> None:
        """Hold the items that reach their users' cuts, among the groups that do: flat places in (groups, users)."""
        lines = len(rows)
        group = hits // lines
        line = hits - group * lines
        near = grouped.take(hits, axis=1)
        found = np.flatnonzero(near >= self.cut[rows][line])
        depth = found // len(hits)
        hit = found - depth * len(hits)
        positions = start + depth * (grouped.shape[1] // lines) + group[hit]
        self.survivors.add(rows[line[hit]], positions, near.reshape(-1)[found])
        if self.survivors.held > self.pool:
            self.settle()

    def _guess(self, rows: NDArray[np.int64], maxima: NDArray[np.float32]) -> None:
        """First cuts: the maxima of disjoint groups, float32 (groups, users), are the scores of distinct items."""
        rivals = maxima.T.copy()
        place = rivals.shape[1] - self.n
        rivals.partition(place, axis=1)
        self._raise_cuts(rows, rivals[:, place])

    def _raise_cuts(self, rows: NDArray[np.int64], nth: NDArray[np.float32]) -> None:
        """N distinct items of each of these users have at least this score."""
        cut = np.nextafter((nth - 2 * self.margins[rows]).astype(np.float32), np.float32(-np.inf))
        self.cut[rows] = np.maximum(cut, self.cut[rows])

    def _tighten(self) -> None:
        """Raise the cuts to the n-th best of what is held, and let go of what falls below."""
        rows, positions, scores = self.survivors.columns()
        order = _by_row_then_score(rows, scores)
        ordered = rows[order]
        starts = np.searchsorted(ordered, np.arange(len(self.users) + 1))
        full = np.flatnonzero(np.diff(starts) >= self.n)
        self._raise_cuts(full, scores[order[starts[full] + self.n - 1]])
        order = order[scores[order] >= self.cut[ordered]]
        self.survivors.replace(rows[order], positions[order], scores[order])

    def settle(self) -> Lists:
        """Reduce what is held to the best n of each user so far, by exact products and ranks.

        Returns:
            (users, places in their lists, rows of the item matrix, products), by user, then place.
        """
        self._tighten()
        rows, positions, scores = self.survivors.columns()
        found = self.candidates.at(positions)
        exact = paired_products(self.users, rows, self.candidates.items.factors, found)
        order = self._exact_order(rows, found, exact)
        places = np.arange(len(rows)) - np.searchsorted(rows, np.arange(len(self.users)))[rows]
        inside = np.flatnonzero(places < self.n)
        rows, order, places = rows[inside], order[inside], places[inside]
        self.survivors.replace(rows, positions[order], scores[order])
        return rows, places, found[order], exact[order]

    def _exact_order(
        self, rows: NDArray[np.int64], found: NDArray[np.int64], exact: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """The order by user, descending product and rank of what is in the order of user and float32 score.

        That is the same order for nearly every user; only the others are sorted again.
        """
        order = np.arange(len(rows))
        other = np.zeros(len(self.users), np.bool_)
        other[rows[1:][(rows[1:] == rows[:-1]) & (exact[1:] >= exact[:-1])]] = True
        part = np.flatnonzero(other[rows])
        order[part] = part[np.lexsort((self.candidates.items.ranks[found[part]], -exact[part], rows[part]))]
        return order


def _by_row_then_score(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The order by ascending row, then descending score: `lexsort` as one sort of packed keys (row, score, place)."""
    if len(rows) >> _PLACE_BITS:
        order: NDArray[np.int64] = np.lexsort((-scores, rows))
        return order
    bits = scores.view(np.int32)
    # the bits of floats, read as integers, ascend as they do, once those of the negative ones are flipped
    ascending = (bits >> 31 & 0x7FFFFFFF) ^ bits
    keys = rows << 32
    keys -= ascending
    keys += 0x7FFFFFFF
    keys <<= _PLACE_BITS
    keys += np.arange(len(rows))
    unsigned = keys.view(np.uint64)
    unsigned.sort()
    unsigned &= np.uint64((1 << _PLACE_BITS) - 1)
    return keys
