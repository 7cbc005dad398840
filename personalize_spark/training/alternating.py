"""Implicit ALS in this process, where the pairs fit in its memory: the equation of `fold_in.AlsFoldIn` for all items, then for all users.

A row's left side is a product of two small matrices. Rows of about one length are padded to a batch, whose matrices stay in a core's
cache, and batches are shared among threads. Left sides are added up in float32, as the factors are, and solved in float64. What a
batch is depends on the data alone, so the same pairs give the same bytes on any number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.fold_in import gram
from personalize_spark.training.solver import solve_rows
from personalize_spark.training.threads import all_cores

_TERMS = 1 << 18
"""Float32 of the other side's factors that a batch gathers at once: 1 MiB."""
_SYSTEMS = 256
"""Rows of a batch: 8 MiB of left sides at d = 64."""


@dataclass(frozen=True)
class Pairs:
    """Which users met which items, n pairs, none of them twice; U users and I items.

    Attributes:
        users: int (n,), from 0 to U - 1.
        items: int (n,), from 0 to I - 1.
        events: float32 (n,), how often.
        shape: U and I.
    """

    users: NDArray[np.integer]
    items: NDArray[np.integer]
    events: NDArray[np.float32]
    shape: tuple[int, int]


def alternate(pairs: Pairs, settings: Hyperparameters) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The factors of users, float32 (U, d), and of items, float32 (I, d); zeros for those without a pair.

    The users' first factors are drawn on the unit sphere, as Spark ML draws them. Factors that are not finite: ALS diverged.

    Raises:
        numpy.linalg.LinAlgError: an equation has no single solution.
    """
    from scipy.sparse import csr_array

    met = csr_array((pairs.events, (pairs.users, pairs.items)), pairs.shape).tocsc()
    by_item, by_user = _Side.of(met), _Side.of(met.tocsr())  # each row ascending, whatever the pairs' order
    drawn = np.random.default_rng(settings.seed).standard_normal((pairs.shape[0], settings.rank), np.float32)
    users = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    with all_cores() as pool:
        for _ in range(settings.iterations):
            items = by_item.solve(users, settings, pool)
            users = by_user.solve(items, settings, pool)
    return users, items


@dataclass(frozen=True)
class _Side:
    """The rows of one side: what each met on the other, and how often."""

    met: Ragged[np.int32]
    events: NDArray[np.float32]

    @classmethod
    def of(cls, matrix: Any) -> _Side:
        """From a compressed sparse matrix of events."""
        return cls(Ragged(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)), matrix.data)

    def solve(
        self, other: NDArray[np.float32], settings: Hyperparameters, pool: ThreadPoolExecutor
    ) -> NDArray[np.float32]:
        """float32 (rows, d): the factors of this side from those of the other."""
        if (native := kernel()) is not None:
            weights = settings.alpha, settings.regularization
            return solve_rows(native, other, gram(other), self.met, self.events, weights, pool)
        result = np.zeros((len(self.met), other.shape[1]), np.float32)
        solve = partial(self._solve, other=other, base=gram(other), settings=settings)
        batches = list(self._batches(other.shape[1]))
        for rows, solved in zip(batches, pool.map(solve, batches), strict=True):
            result[rows] = solved
        return result

    def _batches(self, rank: int) -> Iterator[NDArray[np.int64]]:
        """The rows that met anything, those of about one length together."""
        lengths = self.met.lengths
        rows = np.argsort(lengths, kind="stable")
        rows = rows[np.searchsorted(lengths[rows], 1) :]
        start = 0
        while start < len(rows):
            some = lengths[rows[start : start + _SYSTEMS]]
            padded = some * np.arange(1, len(some) + 1) * rank
            stop = start + max(1, int(np.searchsorted(padded, _TERMS, side="right")))
            yield rows[start:stop]
            start = stop

    def _solve(
        self, rows: NDArray[np.int64], other: NDArray[np.float32], base: NDArray[np.float64], settings: Hyperparameters
    ) -> NDArray[np.floating]:
        """float64 (len(rows), d); not finite where numbers are too large."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._solved(rows, other, base, settings)

    def _solved(
        self, rows: NDArray[np.int64], other: NDArray[np.float32], base: NDArray[np.float64], settings: Hyperparameters
    ) -> NDArray[np.floating]:
        starts, lengths = self.met.indptr[rows][:, None], self.met.lengths[rows][:, None]
        rank, longest = len(base), int(lengths.max())
        left, right = np.tile(base, (len(rows), 1, 1)), np.zeros((len(rows), 1, rank))
        step = max(1, _TERMS // (len(rows) * rank))
        for start in range(0, longest, step):
            places = np.arange(start, min(start + step, longest))
            at, inside = starts + np.minimum(places, lengths - 1), places < lengths
            # three times as fast as an index, and other threads go on meanwhile
            factors = np.take(other, self.met.values[at], axis=0)
            extra = np.where(inside, np.float32(settings.alpha) * self.events[at], np.float32(0))
            left += np.matmul((factors * extra[:, :, None]).transpose(0, 2, 1), factors)
            right += np.matmul((extra + inside)[:, None, :].astype(np.float32), factors)
        left[:, range(rank), range(rank)] += settings.regularization * lengths
        solved: NDArray[np.floating] = np.linalg.solve(left, right.transpose(0, 2, 1))[:, :, 0]
        return solved
