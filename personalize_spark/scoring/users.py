"""The users of a model, as recipes look them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class UserRows:
    """The users of a batch of U ids.

    Attributes:
        known: bool (U,); the other arrays hold zeros where it is false.
        vectors: float32 (U, d), or int32 (U, K) for `sparse.SparseItems`.
        log_normalisers: float64 (U,), log sum_j exp(e(w_u . w_j)), see `curve`, over the items j that are scored.
        floors: float64 (U,): only items with w_u . w_j >= floor are scored; `None`: all items are.
    """

    known: NDArray[np.bool_]
    vectors: NDArray[Any]
    log_normalisers: NDArray[np.float64]
    floors: NDArray[np.float64] | None = None

    def take(self, rows: NDArray[np.int64]) -> UserRows:
        """Some of the users."""
        floors = None if self.floors is None else self.floors[rows]
        return UserRows(self.known[rows], self.vectors[rows], self.log_normalisers[rows], floors)


class Users(Protocol):
    """The user side of a model."""

    def lookup(self, ids: Sequence[str]) -> UserRows:
        """The rows of these ids."""
