"""Sums over all items for each of many users by the compiled kernel, `native/moments.h`: in float64, as numpy's up to the last digits, sooner.

Jobs have numpy's own (`scoring.softmax`), whose bytes are the same with and without a kernel.
"""

from __future__ import annotations

import ctypes
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import Kernel, check_rows, in_rows
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training.threads import share

_USERS = 256
"""That a thread adds up at once."""


class _Moments(ctypes.Structure):
    """Moments of `native/moments.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("items", "prior", "users", "anchors")),
        *((name, ctypes.c_int64) for name in ("count", "stride", "rank", "first", "last")),
        *((name, ctypes.c_double) for name in ("temperature", "share")),
        ("moments", ctypes.c_void_p),
    )


def moments(
    native: Kernel,
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    scale: tuple[float, float],
    prior: NDArray[np.float64] | None = None,
    anchors: NDArray[np.float64] | None = None,
    pool: Executor | None = None,
) -> NDArray[np.float64]:
    """float64 (U, 3), of the exponents ``t (w_u . w_j - a_u) + s (p_j - b_u)`` of all items j.

    They are the log of the sum of the exponentials, and the means under the softmax of what t and of what s multiplies.

    Args:
        native: the kernel.
        users: float32 (U, d).
        items: float32 (I, d), I >= 1.
        scale: t and s.
        prior: float64 (I,), p; `None`: zeros.
        anchors: float64 (U, 2), a and b; `None`: zeros.
        pool: its threads share the users.

    Raises:
        MemoryError: there is none for a tile.
    """
    users, items = np.ascontiguousarray(users, np.float32), in_rows(items)
    prior = np.zeros(len(items)) if prior is None else np.ascontiguousarray(prior, np.float64)
    anchors = np.zeros((len(users), 2)) if anchors is None else np.ascontiguousarray(anchors, np.float64)
    result = np.empty((len(users), 3))

    def part(first: int) -> None:
        task = _Moments(
            *(each.ctypes.data for each in (items, prior, users, anchors)),
            len(items),
            items.strides[0] // items.itemsize,
            users.shape[1],
            first,
            min(first + _USERS, len(users)),
            *scale,
            result.ctypes.data,
        )
        if native.library.kernel_moments(native.level, ctypes.byref(task)):
            raise MemoryError("There is no memory left for a tile of items.")

    share(part, range(0, len(users), _USERS), pool)
    return result


class _ListedMoments(ctypes.Structure):
    """ListedMoments of `native/moments.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("starts", "listed", "products", "prior", "rest")),
        ("count", ctypes.c_int64),
        *((name, ctypes.c_double) for name in ("temperature", "share", "highest", "rest_sum", "rest_prior")),
        ("moments", ctypes.c_void_p),
    )


def listed_moments(
    native: Kernel,
    items: Ragged[np.int32],
    products: NDArray[np.float64],
    scale: tuple[float, float],
    prior: NDArray[np.float64],
    rest: NDArray[np.float64],
) -> NDArray[np.float64]:
    """float64 (U, 3): the same without anchors, where all products are 0 but those of listed items.

    Args:
        native: the kernel.
        items: by user those that are listed, none twice.
        products: float64 (m,), parallel to their values.
        scale: t and s.
        prior: float64 (I,), p.
        rest: float64 (I,), ``exp(s p_j - max_k s p_k)``.
    """
    check_rows((items.values, len(prior)))
    arrays = (
        np.ascontiguousarray(items.indptr, np.int64),
        np.ascontiguousarray(items.values, np.int32),
        np.ascontiguousarray(products, np.float64),
        np.ascontiguousarray(prior, np.float64),
        np.ascontiguousarray(rest, np.float64),
    )
    result, highest = np.empty((len(items), 3)), scale[1] * float(prior.max())
    sums = highest, float(rest.sum()), float(rest @ prior)
    task = _ListedMoments(*(each.ctypes.data for each in arrays), len(items), *scale, *sums, result.ctypes.data)
    native.library.kernel_listed_moments(native.level, ctypes.byref(task))
    return result
