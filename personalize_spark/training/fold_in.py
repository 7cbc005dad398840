"""Users from their interactions: the last half step of implicit ALS, in closed form.

Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), equation 4, with the weighted
regularisation of Spark ML: for a user with n items y_1 .. y_n of e_1 .. e_n events,

    x = (Y'Y + sum_k alpha e_k y_k y_k' + regularization n I)^-1  sum_k (1 + alpha e_k) y_k

where Y are all item factors. For a user that ALS has seen this is the vector that ALS ends with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SYSTEMS = 256
"""Users whose systems are solved together: 8 MiB at d = 64."""
_ROWS = 1 << 14


@dataclass(frozen=True)
class FoldIn:
    """All that a user's vector depends on, besides the user and the factors of the user's items.

    Attributes:
        gram: float64 (d, d), see `gram`.
        alpha: confidence of one event.
        regularization: per item of the user.
    """

    gram: NDArray[np.float64]
    alpha: float
    regularization: float

    def vectors(
        self,
        factors: NDArray[np.float32],
        items: NDArray[np.int32],
        events: NDArray[np.float32],
        offsets: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """The vectors of U users; user u has the entries ``offsets[u]:offsets[u + 1]``, at least one.

        Args:
            factors: float32 (I, d); may be a memory map.
            items: int32 (m,), rows of ``factors``; no row twice for a user.
            events: float32 (m,), how often.
            offsets: int64 (U + 1,).

        Returns:
            float32 (U, d).
        """
        users, rank = len(offsets) - 1, factors.shape[1]
        result = np.empty((users, rank), np.float32)
        for start in range(0, users, _SYSTEMS):
            stop = min(start + _SYSTEMS, users)
            left, right = np.empty((stop - start, rank, rank)), np.empty((stop - start, rank, 1))
            for user in range(start, stop):
                entries = slice(offsets[user], offsets[user + 1])
                left[user - start], right[user - start, :, 0] = self._system(factors[items[entries]], events[entries])
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
