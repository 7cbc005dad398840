"""The best of some scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def best_first(scores: NDArray[np.floating[Any]], n: int) -> NDArray[np.int64]:
    """int64 (at most n,): the places of the highest scores, descending, of equal ones the first place first."""
    if len(scores) <= 2 * n:  # sorting all is as fast
        return np.argsort(-scores, kind="stable")[:n]
    good = np.flatnonzero(scores >= np.partition(scores, len(scores) - n)[len(scores) - n])
    return good[np.argsort(-scores.take(good), kind="stable")[:n]]
