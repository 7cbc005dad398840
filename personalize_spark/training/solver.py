"""The equations of `fold_in.AlsFoldIn` by the compiled kernel, `native/solver.h`: the same vectors as numpy up to float32's last digits, sooner.

A row's vector depends on what the row met alone, so it has the same bytes in any batch and on any number of cores.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import Kernel, check_rows, in_rows
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training.threads import share

_PART = 1 << 18
"""Items met by the rows that a thread solves at once, about."""


class _Systems(ctypes.Structure):
    """Systems of `native/solver.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("factors", "gram", "starts", "met", "events")),
        *((name, ctypes.c_int64) for name in ("rank", "stride", "first", "last")),
        *((name, ctypes.c_double) for name in ("alpha", "regularization")),
        ("solved", ctypes.c_void_p),
    )


def solve_rows(
    native: Kernel,
    factors: NDArray[np.float32],
    gram: NDArray[np.float64],
    met: Ragged[np.int32],
    events: NDArray[np.float32],
    weights: tuple[float, float],
    pool: Executor | None = None,
) -> NDArray[np.float32]:
    """float32 (rows, d): their vectors; zeros for a row that met nothing, and not finite where there is no single solution.

    Args:
        native: the kernel.
        factors: float32 (J, d), of the other side.
        gram: float64 (d, d), ``Y'Y`` of all factors of the other side.
        met: by row, rows of `factors`.
        events: float32, how often, parallel to the values of `met`.
        weights: the confidence of one event, and the regularisation per pair.
        pool: its threads share the rows.

    Raises:
        IndexError: a row met what is not there.
        MemoryError: there is none for an equation.
    """
    check_rows((met.values, len(factors)))
    factors = in_rows(factors)
    arrays = (
        np.ascontiguousarray(gram, np.float64),
        np.ascontiguousarray(met.indptr, np.int64),
        np.ascontiguousarray(met.values, np.int32),
        np.ascontiguousarray(events, np.float32),
    )
    solved = np.zeros((len(met), len(gram)), np.float32)

    def part(rows: tuple[int, int]) -> None:
        task = _Systems(
            *(each.ctypes.data for each in (factors, *arrays)),
            len(gram),
            factors.strides[0] // factors.itemsize,
            *rows,
            *weights,
            solved.ctypes.data,
        )
        if native.library.kernel_solve(native.level, ctypes.byref(task)):
            raise MemoryError("There is no memory left for an equation of ALS.")

    share(part, _parts(arrays[1]), pool)
    return solved


def _parts(starts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First and last row of parts of about as many pairs."""
    cuts = np.searchsorted(starts, np.arange(starts[0], starts[-1], _PART))
    bounds = np.unique([*cuts, len(starts) - 1]).tolist()
    return pairwise(bounds)
