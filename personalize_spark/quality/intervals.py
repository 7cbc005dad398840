"""How sure a mean over users is: its bootstrap interval (Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979).

As many users are drawn, with replacement, as there are; a thousand times. 95 % of the means lie in the interval. Every draw is
of a fixed seed, so the same users are drawn for all rankings: a difference between two of them is one of the same users.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Name = TypeVar("Name", bound=Hashable)
Interval = tuple[float, float]
"""The lower and the upper end."""

_DRAWS, _SEED, _ENDS = 1000, 42, (2.5, 97.5)
_CELLS = 1 << 20
"""Drawn users held at once: 8 MiB."""


def intervals(values: Mapping[Name, NDArray[np.float64]]) -> dict[Name, Interval]:
    """By name, the interval of the mean of float64 (H,) `values`; none where H is below 2."""
    columns = np.column_stack([*values.values()]) if values else np.empty((0, 0))
    users = len(columns)
    if users < 2:
        return {}
    generator, step = np.random.default_rng(_SEED), max(1, _CELLS // users)
    means = [_drawn(generator, min(step, _DRAWS - start), users) @ columns / users for start in range(0, _DRAWS, step)]
    low, high = np.percentile(np.concatenate(means), _ENDS, axis=0).tolist()
    return dict(zip(values, zip(low, high, strict=True), strict=True))


def _drawn(generator: np.random.Generator, draws: int, users: int) -> NDArray[np.float64]:
    """Float64 (draws, H): how often each user is drawn."""
    places = generator.integers(users, size=(draws, users)) + users * np.arange(draws)[:, None]
    return np.bincount(places.ravel(), minlength=draws * users).reshape(draws, users).astype(np.float64)
