"""The scores of Personalize: a softmax over the recipe's candidates, ``exp(t w_u . w_i) / sum_j exp(t w_u . w_j)``.

The formula is the service's (developer guide, "How recommendation scoring works"); t is the temperature, fitted at training;
where users are lists of items, `Curve` takes the place of ``t w_u . w_i``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import Items

_LINES, _WIDTH = 128, 2048
"""Users and items per tile: 2 MiB of float64."""


def log_normaliser(users: NDArray[np.float32], items: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """``log sum_j exp(t w_u . w_j)`` in float64, in one pass over tiles of items and in constant memory.

    Its error is some 1e-15 of the largest exponent: far below the 7 decimals that are printed.

    Args:
        users: float32 (U, d).
        items: float32 (I, d), the candidates; may be a memory map.
        temperature: the factor t of the products, above 0.

    Returns:
        float64 (U,); -inf where there are no items.
    """
    result, buffer = np.empty(len(users)), np.empty((_LINES, _WIDTH))
    for start in range(0, len(users), _LINES):
        part = slice(start, start + _LINES)
        result[part] = _log_sum_exp(users[part].astype(np.float64) * temperature, items, buffer)
    return result


def log_normalisers(users: NDArray[Any], items: Items, curve: Curve) -> NDArray[np.float64]:
    """The same over either kind of item side; over factors the curve has no bend."""
    if isinstance(items, SparseItems):
        return items.log_normaliser(users, curve)
    return log_normaliser(users, items.factors, curve.temperature)


def probabilities(
    products: NDArray[np.float64], log_normaliser: NDArray[np.float64], curve: Curve
) -> NDArray[np.float64]:
    """The scores that are printed: ``exp(e(p) - log_normaliser)``.

    Args:
        products: float64 (U, n), ``w_u . w_i``; -inf (no item) gives 0.
        log_normaliser: float64 (U,).
        curve: e, how products become exponents.

    Returns:
        float64 (U, n).
    """
    return np.exp(curve.exponents(products) - log_normaliser[:, None])


def softmax_of_rows(exponents: Ragged[np.float64]) -> NDArray[np.float64]:
    """``exp(x_i) / sum_j exp(x_j)``, j over the same row.

    Args:
        exponents: float64 (m,), finite.

    Returns:
        float64 (m,).
    """
    lengths, row_ids = exponents.lengths, exponents.row_ids()
    filled = np.flatnonzero(lengths)
    peaks = np.maximum.reduceat(exponents.values, exponents.indptr[filled]) if len(filled) else exponents.values
    weights = np.exp(exponents.values - np.repeat(peaks, lengths[filled]))
    shares: NDArray[np.float64] = weights / np.bincount(row_ids, weights, len(exponents))[row_ids]
    return shares


def _log_sum_exp(
    users: NDArray[np.float64], items: NDArray[np.float32], buffer: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The peak so far keeps every exponential at most 1; the sum so far is scaled down when it rises."""
    peak, total = np.full(len(users), -np.inf), np.zeros(len(users))
    for start in range(0, len(items), _WIDTH):
        tile = items[start : start + _WIDTH].astype(np.float64)
        exponents = np.matmul(users, tile.T, out=buffer[: len(users), : len(tile)])
        higher = np.maximum(peak, exponents.max(axis=1))
        exponents -= higher[:, None]
        total = total * np.exp(peak - higher) + np.exp(exponents, out=exponents).sum(axis=1)
        peak = higher
    with np.errstate(divide="ignore"):
        result: NDArray[np.float64] = peak + np.log(total)
    return result
