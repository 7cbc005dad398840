"""The item side of the factors, in the order that lets a search stop early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring import bounds
from personalize_spark.scoring.screen import Screen


@dataclass(frozen=True)
class ItemMatrix:
    """The item side, sorted by descending norm, equal norms by ascending rank.

    Attributes:
        factors: float32 (I, d), finite; may be a read-only memory map.
        norms: float32 (I,), descending: upper bounds of the norms of ``factors @ basis``, so of the Euclidean ones too.
        ranks: int32 (I,), rank of the item's id in ascending id order: the tie break.
        basis: float64 (d, d), orthogonal columns of length at least 1, see `bounds.spread`; None is the identity. It makes the
            bounds sharper; without it `top_n` gives the same answer, later.
        screen: the factors in 8 bits, for the compiled search; None, as in models of older versions: numpy searches.
    """

    factors: NDArray[np.float32]
    norms: NDArray[np.float32]
    ranks: NDArray[np.int32]
    basis: NDArray[np.float64] | None = None
    screen: Screen | None = None

    def __len__(self) -> int:
        return len(self.ranks)

    @property
    def width(self) -> int:
        """D, the length of a user's vector."""
        return int(self.factors.shape[1])

    @classmethod
    def sort(
        cls, factors: NDArray[np.float32], ranks: NDArray[np.int32], users: NDArray[np.float32] | None = None
    ) -> tuple[Self, NDArray[np.int64]]:
        """Build the matrix from items in any order.

        Args:
            factors: float32 (I, d), finite.
            ranks: int32 (I,), rank of each item's id in ascending id order.
            users: float32 (any number, d), a sample of the users to come: with it far fewer products are needed.

        Returns:
            The matrix, and int64 (I,): for each of its rows the row of ``factors`` that it came from.
        """
        basis = None if users is None else bounds.spread(users)
        norms = bounds.norm_bounds(factors, basis)
        order = np.lexsort((ranks, -norms))
        factors = np.ascontiguousarray(factors[order])
        screen = Screen.of(factors, basis)
        return cls(factors, norms[order], ranks[order].astype(np.int32), basis, screen), order
