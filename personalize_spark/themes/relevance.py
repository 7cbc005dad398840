"""Relevance: how near an item is to a phrase, as the cosine of their vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.products import products
from personalize_spark.scoring.ragged import Ragged

_NEIGHBOURS = 3
"""Neighbours outside a set, as a multiple of its items."""
_STEPS = 127
"""Whole numbers of a quantised component: d of their squares stay below 2^24 up to d = 1,040."""
SCALE = 0.6
"""Of cosines in the space of a catalogue's own words, to the range of the service: about -0.1 to 0.6."""
RELEVANT = 0.1
"""The service's guide advises to drop items below."""
_OPPOSITE = 0.25
"""Of cosines below 0: how far an item is from a phrase says less than how near it is."""


def centroids(items: Ragged[np.int32], vectors: NDArray[np.float32], terms: int) -> NDArray[np.float32]:
    """float32 (T, d), of length 1: for each term the direction of the items that have it.

    In the space of latent semantic analysis, that is where a term lies as a document of its own.

    Args:
        items: by item, numbers of its terms.
        vectors: float32 (I, d), of the items.
        terms: how many there are.
    """
    result = np.zeros((terms, vectors.shape[1]))
    rows = items.row_ids()
    for column in range(vectors.shape[1]):
        result[:, column] = np.bincount(items.values, vectors[rows, column].astype(np.float64), terms)
    return unit(result).astype(np.float32)


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vectors at length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float64] = vectors / np.where(lengths > 0, lengths, 1.0)
    return scaled


def relevance(phrase: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (n,): the cosine of each item with the phrase, a quarter of it below 0; the digits do not depend on the other items.

    Args:
        phrase: float32 (d,), of length 1.
        items: float32 (n, d), each of length 1, or zeros.
    """
    found: NDArray[np.float64] = products(items, phrase[None])
    return np.where(found > 0, found, np.where(found < 0, _OPPOSITE * found, 0.0)).astype(np.float32)


def quantised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1 or 0 as whole numbers: their float32 products are exact, in whatever order a BLAS adds."""
    return np.rint(_STEPS * vectors).astype(np.float32)


def neighbours_of(whole: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (m,), ascending: the items outside a set that are nearest to its middle.

    Args:
        whole: float32 (I, d), of all items, see `quantised`.
        rows: int64 (n,), the set.
    """
    near = whole @ quantised(unit(whole[rows].astype(np.float64).sum(axis=0)).astype(np.float32))
    near[rows] = -np.inf
    count = min(_NEIGHBOURS * len(rows), len(whole) - len(rows))
    if not count:
        return np.empty(0, np.int64)
    last = np.partition(near, -count)[-count]
    beyond, level = np.flatnonzero(near > last), np.flatnonzero(near == last)
    return np.sort(np.concatenate([beyond, level[: count - len(beyond)]]))


def ordered(scores: NDArray[np.float32], ids: Sequence[bytes]) -> NDArray[np.int64]:
    """int64 (n,): the places by descending score, ties by the bytes of the ids."""
    return np.array(sorted(range(len(ids)), key=lambda at: (-scores[at], ids[at])), np.int64)
