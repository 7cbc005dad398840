"""The items in 8 bits: what the compiled search of `kernel` multiplies first, to find the few that need the exact product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring import bounds

BLOCK = 64
"""Items that share a scale; as they are sorted by norm, they are of about one length."""
_PANELS, _LANES, _QUAD = 4, 16, 4
_LIMIT = 127
_CHUNK = 8
"""Blocks that are quantised at once: what is computed on the way stays in cache."""
_WIDEST = 1 << 15
"""Coordinates, at most: their products add up in 32 bits."""


@dataclass(frozen=True)
class Screen:
    """The factors of an `ItemMatrix`, turned, in whole numbers from -127 to 127, each block of 64 rows with its own scale.

    Attributes:
        rows: int8 (B, 4, D / 4, 16, 4): item ``16 p + l`` of a block has coordinate ``4 q + j`` at [p, q, l, j]. D is d rounded up
            to a multiple of 4; what is beyond an item or a coordinate is 0.
        blocks: float64 (B, 3): the scale; upper bounds of the lengths of the quantised items and of what quantising took from
            them, see `bounds.residuals`.
        turn: float64 (d, d): what users are multiplied by, so that products stay what they are.
    """

    rows: NDArray[np.int8]
    blocks: NDArray[np.float64]
    turn: NDArray[np.float64]

    @classmethod
    def of(cls, factors: NDArray[np.float32], basis: NDArray[np.float64] | None) -> Self | None:
        """Quantise items: float32 (I, d), sorted by norm; ``basis`` as in `ItemMatrix`. None where d is 0 or above 32,768."""
        count, width = factors.shape
        if not 0 < width <= _WIDEST:
            return None
        # a fixed rotation: no coordinate is much larger than the others, so that 8 bits serve all of them
        rotation, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((width, width)))
        turn = rotation if basis is None else bounds.dual(basis) @ rotation
        turned = rotation if basis is None else basis @ rotation
        height, quads = -(-count // BLOCK), -(-width // _QUAD)
        rows = np.zeros((height, _PANELS, quads, _LANES, _QUAD), np.int8)
        blocks = np.ones((height, 3))
        for start in range(0, height, _CHUNK):
            part = slice(start, min(start + _CHUNK, height))
            wide = np.zeros(((part.stop - start) * BLOCK, quads * _QUAD))
            some = factors[start * BLOCK : part.stop * BLOCK]
            wide[: len(some), :width] = some @ turned
            whole, blocks[part] = _quantised(wide.reshape(-1, BLOCK, quads * _QUAD))
            rows[part] = whole.reshape(-1, _PANELS, _LANES, quads, _QUAD).swapaxes(2, 3)
        return cls(rows, blocks, turn)


def _quantised(wide: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Float64 (B, 64, D) to whole numbers of that shape, and float64 (B, 3) as in `Screen`."""
    scale = np.abs(wide).max(axis=(1, 2)) / _LIMIT
    scale[scale == 0] = 1
    whole = np.rint(wide / scale[:, None, None])
    near = whole * scale[:, None, None]
    return whole, np.stack([scale, *bounds.residuals(wide, near)], axis=1)
