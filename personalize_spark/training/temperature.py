"""The temperature: the t > 0 under which ``softmax(t w_u . w_j)`` over all items j explains held-out interactions best.

The mean loss ``log sum_j exp(t p_uj) - t p_u*`` is convex in t; its first two derivatives are the mean over users of
``E[p] - p_u*`` and ``Var[p]`` under the softmax. So the one minimum is where the first is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

_USERS = 128
_TILE_SCORES = 1 << 18
"""Float64 products per tile: 2 MiB."""
_TOLERANCE = 1e-9
"""Of the temperature's logarithm."""
_LOWEST, _HIGHEST = 1e-3, 1e4
"""In units of 1 / (standard deviation of the products): below, products say nothing; above, they say everything."""


@dataclass(frozen=True)
class TemperatureFit:
    """A fitted temperature, and the mean loss in nats of the held-out interactions under it."""

    temperature: float
    log_loss: float


@dataclass(frozen=True)
class _Point:
    """The mean loss and its first two derivatives at a temperature."""

    loss: float
    slope: float
    curvature: float


def fit_temperature(
    users: NDArray[np.float32],
    targets: NDArray[np.int64],
    items: NDArray[np.float32],
    offsets: NDArray[np.float64] | None = None,
) -> TemperatureFit:
    """Fit the temperature by maximum likelihood, in constant memory.

    Args:
        users: float32 (H, d), learned without the targets; H >= 1.
        targets: int64 (H,), the row of ``items`` that each user came to next.
        items: float32 (I, d); may be a memory map.
        offsets: float64 (I,), added to each item's exponent whatever the temperature; `None`: nothing.

    Returns:
        The optimum; where the products say nothing (or are all equal) a temperature at which the scores are nearly uniform.
    """
    from scipy.optimize import brentq

    if offsets is None:
        offsets = np.zeros(len(items))

    @cache
    def at(log_temperature: float) -> _Point:
        return _point(users, targets, items, offsets, math.exp(log_temperature))

    start = _point(users, targets, items, offsets, 0.0)
    if start.curvature <= 0.0:
        return TemperatureFit(1.0, start.loss)
    low, high = (math.log(bound / math.sqrt(start.curvature)) for bound in (_LOWEST, _HIGHEST))
    if at(low).slope >= 0.0:
        best = low
    elif at(high).slope <= 0.0:
        best = high
    else:
        best = brentq(lambda log_temperature: at(log_temperature).slope, low, high, xtol=_TOLERANCE)
    return TemperatureFit(math.exp(best), at(best).loss)


def _point(
    users: NDArray[np.float32],
    targets: NDArray[np.int64],
    items: NDArray[np.float32],
    offsets: NDArray[np.float64],
    temperature: float,
) -> _Point:
    total = np.zeros(3)
    for start in range(0, len(users), _USERS):
        rows = slice(start, start + _USERS)
        total += _block(users[rows].astype(np.float64), targets[rows], items, offsets, temperature)
    loss, slope, curvature = (total / len(users)).tolist()
    return _Point(loss, slope, curvature)


def _block(
    users: NDArray[np.float64],
    targets: NDArray[np.int64],
    items: NDArray[np.float32],
    offsets: NDArray[np.float64],
    temperature: float,
) -> NDArray[np.float64]:
    """Float64 (3,): loss, slope and curvature, summed over some users."""
    chosen = np.einsum("ij,ij->i", users, items[targets].astype(np.float64))
    peak, sums = np.full(len(users), -np.inf), np.zeros((3, len(users)))
    for start in range(0, len(items), _TILE_SCORES // _USERS):
        # relative to the chosen item: the variance does not suffer from products that are large and alike
        gaps = users @ items[start : start + _TILE_SCORES // _USERS].astype(np.float64).T - chosen[:, None]
        exponents = temperature * gaps + offsets[None, start : start + len(gaps[0])] - offsets[targets][:, None]
        higher = np.maximum(peak, exponents.max(axis=1))
        weights = np.exp(exponents - higher[:, None])
        sums *= np.exp(peak - higher)
        sums += weights.sum(axis=1), np.einsum("ij,ij->i", weights, gaps), np.einsum("ij,ij,ij->i", weights, gaps, gaps)
        peak = higher
    mean, square = sums[1:] / sums[0]
    return np.array([(peak + np.log(sums[0])).sum(), mean.sum(), (square - mean**2).sum()])
