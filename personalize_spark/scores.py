"""Scores as the service prints them: rounded half even to 7 decimals, in the spelling of Java's `Double.toString`.

Java writes the shortest digits, plainly from 1.0E-3 on (`0.008885`) and scientifically below (`3.773E-4`), always with a
digit behind the point. The relevance of an item to a theme is another number: a 32-bit float. A score in [0, 1] has one of 10,000,001 texts; each is one of 30,002 beginnings and 1,000 ends.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_SCALE = 10_000_000
_PLAIN = 10_000  # 1.0E-3 in units of the 7th decimal
_LOW = 1_000


def score_texts(scores: NDArray[np.float64]) -> pa.Array:
    """The printed scores.

    Args:
        scores: float64 (n,), each in [0, 1].

    Returns:
        A binary array of n texts.
    """
    units = rounded(scores)
    high, low = np.divmod(units, _LOW)
    plain = units >= _PLAIN
    beginnings = np.where(plain, _PLAIN + high + (low == 0) * (_SCALE // _LOW + 1), units)
    table, ends = _tables()
    return pc.binary_join_element_wise(table.take(pa.array(beginnings)), ends.take(pa.array(low * plain)), b"")


def relevance_texts(scores: NDArray[np.float32]) -> pa.Array:
    """The printed relevance of items to a theme: the shortest decimal that is read as the same float32, without an exponent.

    Args:
        scores: float32 (n,), finite.

    Returns:
        A binary array of n texts.
    """
    texts = [np.format_float_positional(score, unique=True, trim="0").encode() for score in scores]
    return pa.array(texts, pa.binary())


def rounded(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64 (n,): the scores in units of the 7th decimal, the exact binary value rounded half even."""
    scaled = scores * _SCALE
    units = np.rint(scaled)
    # The product is itself rounded, so that near a half only exact arithmetic tells the side; `round` is exact.
    for place in np.flatnonzero(np.abs(np.abs(scaled - units) - 0.5) < 1e-6):
        units[place] = round(round(float(scores[place]), 7) * _SCALE)
    return units.astype(np.int64)


@cache
def _tables() -> tuple[pa.Array, pa.Array]:
    steps = _SCALE // _LOW + 1
    scientific = [_scientific(units) for units in range(_PLAIN)]
    unfinished = [f"{high // 10_000}.{high % 10_000:04d}" for high in range(steps)]
    finished = [_trimmed(text) for text in unfinished]
    ends = [f"{low:03d}".rstrip("0") for low in range(_LOW)]
    return pa.array([*scientific, *unfinished, *finished], pa.binary()), pa.array(ends, pa.binary())


def _scientific(units: int) -> str:
    if units == 0:
        return "0.0"
    digits = str(units)
    return _trimmed(f"{digits[0]}.{digits[1:] or '0'}") + f"E-{8 - len(digits)}"


def _trimmed(decimal: str) -> str:
    trimmed = decimal.rstrip("0")
    return trimmed + "0" if trimmed.endswith(".") else trimmed
