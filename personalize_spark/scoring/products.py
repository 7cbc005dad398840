"""The product of a user and an item, in float64 and in one fixed order: the number behind every score.

A product of two float32 numbers is exact in float64. The d products are added by halving, ``p[:h] + p[h:]``, zero-padded
to a power of two. So a result depends on its two vectors alone: not on its neighbours, the BLAS or the width of SIMD.
The compiled kernel, where there is one, does the same in the same order, for listed pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import kernel

_ROWS = 512
"""Pairs at a time: two buffers of 256 KiB at d = 64 stay in a core's own cache."""
_TAIL = 8
"""Width below which rows are turned into columns: additions of short rows cost numpy more than the turn."""


def products(users: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float64]:
    """The products of users and items whose shapes broadcast.

    Args:
        users: float32 (..., d).
        items: float32 (..., d).

    Returns:
        float64 (...).
    """
    shape = np.broadcast_shapes(users.shape, items.shape)
    terms = np.zeros((*shape[:-1], _power_of_two(shape[-1])))
    np.multiply(users, items, out=terms[..., : shape[-1]], dtype=np.float64)
    rows = terms.reshape(-1, terms.shape[-1])
    return _halved(rows, np.zeros_like(rows)).reshape(shape[:-1])


def paired_products(
    users: NDArray[np.float32], rows: NDArray[np.int64], items: NDArray[np.float32], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The products of listed pairs, in constant memory: ``products(users[rows], items[columns])``.

    Args:
        users: float32 (U, d).
        rows: int64 (M,), a row of ``users`` per pair; ascending rows are fastest.
        items: float32 (I, d), may be a memory map.
        columns: int64 (M,), a row of ``items`` per pair.

    Returns:
        float64 (M,).
    """
    if (native := kernel()) is not None:
        return native.paired_products(users, rows, items, columns)
    count, width = users.shape
    wide = np.zeros((count, _power_of_two(width)))
    wide[:, :width] = users
    result = np.empty(len(rows))
    buffers = np.zeros((2, min(_ROWS, len(rows)), wide.shape[1]))
    for start in range(0, len(rows), _ROWS):
        part = slice(start, min(start + _ROWS, len(rows)))
        terms, spare = buffers[:, : part.stop - start]
        terms[:, :width] = items.take(columns[part], axis=0)
        terms[:, width:] = 0.0
        # mode="clip": "raise" would copy the buffer to protect it from a bad index
        terms *= wide.take(rows[part], axis=0, out=spare, mode="clip")
        result[part] = _halved(terms, spare)
    return result


def _power_of_two(width: int) -> int:
    return 1 << max(width - 1, 0).bit_length()


def _halved(terms: NDArray[np.float64], spare: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum rows by halving: float64 (M, power of two), both C-contiguous and overwritten, to float64 (M,).

    While rows are long, the whole buffer is added to itself shifted by half a row: one long addition, of which only the
    head of each row counts.
    """
    half = terms.shape[1] >> 1
    flat, other = terms.reshape(-1), spare.reshape(-1)
    while half >= _TAIL:
        np.add(flat[:-half], flat[half:], out=other[:-half])
        flat, other, half = other, flat, half >> 1
    columns = flat.reshape(terms.shape)[:, : 2 * half or 1].T.copy()
    while half:
        columns, half = columns[:half] + columns[half:], half >> 1
    total: NDArray[np.float64] = columns[0]
    return total
