"""Users from their interactions, in closed form: what a training does for every user, and a refresh for those with news.

`AlsFoldIn` is the last half step of implicit ALS: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), equation 4, with the weighted
regularisation of Spark ML: for a user with n items y_1 .. y_n of e_1 .. e_n events,

    x = (Y'Y + sum_k alpha e_k y_k y_k' + regularization n I)^-1  sum_k (1 + alpha e_k) y_k

where Y are all item factors. For a user that ALS has seen this is the vector that ALS ends with.

`RecentFoldIn` adds up what the user's items lead to, q_1 that of the newest: ``x = sum_k 2^-((k - 1) / half_life) q_k``.

`NewestFoldIn` leaves that sum to the search: a user is the list of the newest items, see `scoring.sparse`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training.solver import solve_rows

_SYSTEMS = 256
"""Users whose systems are solved together: 8 MiB at d = 64."""
_ROWS = 1 << 14
_TERMS = 1 << 19
"""Float64 that are added up at once: 4 MiB."""


@dataclass(frozen=True)
class Histories:
    """What U users did.

    Attributes:
        items: by user rows of the items, at least one and none twice, by ascending id.
        events: float32 (m,), how often, parallel to the values of `items`.
        newest: int64 (m,), when last.
    """

    items: Ragged[np.int32]
    events: NDArray[np.float32]
    newest: NDArray[np.int64]

    def where(self, wanted: NDArray[np.bool_]) -> Histories:
        """The same users without what is not wanted, bool (m,)."""
        return Histories(self.items.where(wanted), self.events[wanted], self.newest[wanted])

    def newest_first(self) -> NDArray[np.int64]:
        """int64 (m,): the positions by user, the newest item first; of items last met at once the one of the highest id."""
        order: NDArray[np.int64] = np.lexsort((-self.items.place_in_row(), -self.newest, self.items.row_ids()))
        return order


class FoldIn(Protocol):
    """How a history becomes a vector."""

    def vectors(self, source: NDArray[np.float32], histories: Histories) -> NDArray[Any]:
        """float32 (U, d), from float32 (I, d), what the items contribute, which may be a memory map; or int32 (U, K)."""

    def properties(self) -> dict[str, float]:
        """The numbers that make it again, see `fold_in_of`."""

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """The arrays that make it again, by name."""


@dataclass(frozen=True)
class RecentFoldIn:
    """What the newest items lead to; `half_life` in items."""

    half_life: float

    def properties(self) -> dict[str, float]:
        """See `FoldIn`."""
        return {"half_life": self.half_life}

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """See `FoldIn`."""
        return {}

    def vectors(self, source: NDArray[np.float32], histories: Histories) -> NDArray[np.float32]:
        """See `FoldIn`."""
        items = histories.items
        users, ages, order = items.row_ids(), items.place_in_row(), histories.newest_first()
        result = np.zeros((len(items), source.shape[1]))
        step = max(1, _TERMS // max(1, source.shape[1]))
        for start in range(0, len(order), step):
            part = slice(start, start + step)
            terms = 0.5 ** (ages[part] / self.half_life)[:, None] * source[items.values[order[part]]]
            starts = np.flatnonzero(np.diff(users[part], prepend=-1))
            result[users[part][starts]] += np.add.reduceat(terms, starts, axis=0)
        return result.astype(np.float32)


@dataclass(frozen=True)
class NewestFoldIn:
    """The newest items, so many of them."""

    count: int

    def properties(self) -> dict[str, float]:
        """See `FoldIn`."""
        return {"newest": self.count}

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """See `FoldIn`."""
        return {}

    def vectors(self, source: NDArray[np.float32], histories: Histories) -> NDArray[np.int32]:  # noqa: ARG002  # the items themselves
        """int32 (U, count): rows of items, the newest first, -1 past the end."""
        items = histories.items
        return items.with_values(items.values[histories.newest_first()]).padded(self.count, -1)


@dataclass(frozen=True)
class AlsFoldIn:
    """All that a user's vector depends on, besides the user and the factors of the user's items.

    Attributes:
        gram: float64 (d, d), see `gram`.
        alpha: confidence of one event.
        regularization: per item of the user.
    """

    gram: NDArray[np.float64]
    alpha: float
    regularization: float

    @classmethod
    def of(cls, factors: NDArray[np.float32], alpha: float, regularization: float) -> AlsFoldIn:
        """From the item factors, float32 (I, d)."""
        return cls(gram(factors), alpha, regularization)

    def properties(self) -> dict[str, float]:
        """See `FoldIn`."""
        return {"alpha": self.alpha, "regularization": self.regularization}

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """See `FoldIn`."""
        return {"gram": self.gram}

    def vectors(self, source: NDArray[np.float32], histories: Histories) -> NDArray[np.float32]:
        """See `FoldIn`; the source are the item factors."""
        items, indptr = histories.items, histories.items.indptr
        if (native := kernel()) is not None:
            return solve_rows(native, source, self.gram, items, histories.events, (self.alpha, self.regularization))
        users, rank = len(items), source.shape[1]
        result = np.empty((users, rank), np.float32)
        for start in range(0, users, _SYSTEMS):
            stop = min(start + _SYSTEMS, users)
            left, right = np.empty((stop - start, rank, rank)), np.empty((stop - start, rank, 1))
            for user in range(start, stop):
                events = histories.events[indptr[user] : indptr[user + 1]]
                left[user - start], right[user - start, :, 0] = self._system(source[items.row(user)], events)
            result[start:stop] = np.linalg.solve(left, right)[:, :, 0]
        return result

    def _system(
        self, factors: NDArray[np.float32], events: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The two sides of the equation of a user with these item factors, (n, d)."""
        wide, confidence = factors.astype(np.float64), self.alpha * events.astype(np.float64)
        left = self.gram + (wide * confidence[:, None]).T @ wide
        left.flat[:: len(left) + 1] += self.regularization * len(events)
        return left, (1 + confidence) @ wide


def gram(factors: NDArray[np.float32]) -> NDArray[np.float64]:
    """``Y'Y`` in float64: (I, d) to (d, d)."""
    result = np.zeros((factors.shape[1], factors.shape[1]))
    for start in range(0, len(factors), _ROWS):
        wide = factors[start : start + _ROWS].astype(np.float64)
        result += wide.T @ wide
    return result


def fold_in_of(properties: Mapping[str, float], columns: Mapping[str, NDArray[np.float64]]) -> FoldIn:
    """The fold-in that has these properties and columns, see `FoldIn`."""
    if "gram" in columns:
        return AlsFoldIn(columns["gram"], properties["alpha"], properties["regularization"])
    if "newest" in properties:
        return NewestFoldIn(int(properties["newest"]))
    return RecentFoldIn(properties["half_life"])
