"""The products of listed pairs of rows of a sparse matrix: by the compiled kernel, `native/rows.h`, or by scipy.

Both add up in float64 by ascending column, so the products are the same up to the last digit, which a fused multiplication may change.
Beside the matrix, the pairs and the products, a thread of the kernel holds 8 bytes a column, one of scipy some 40 MiB.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

from personalize_spark.scoring.kernel import Kernel, check_rows, kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training.threads import all_cores, share

_PAIRS = 1 << 15
"""Products of a thread at once, about."""


class _Rows(ctypes.Structure):
    """Rows of `native/rows.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("starts", "columns", "values", "pairs", "others")),
        *((name, ctypes.c_int64) for name in ("width", "first", "last")),
        ("products", ctypes.c_void_p),
    )


def row_products(matrix: csr_array, others: Ragged[np.int32]) -> NDArray[np.float64]:
    """Float64 (m,): of each row of a float64 (R, C) with those of its row of `others`, parallel to its values.

    Raises:
        IndexError: a pair has a row that is not there.
        MemoryError: there is none for a row.
    """
    matrix.sort_indices()
    products, native = np.empty(len(others.values)), kernel()
    by_kernel = None if native is None else _by_kernel(native, matrix, others, products)
    multiply = by_kernel or partial(_by_scipy, matrix, others, products)
    cuts = np.searchsorted(others.indptr, np.arange(0, len(products), _PAIRS))
    with all_cores() as pool:
        share(multiply, pairwise(np.unique([*cuts, len(others)]).tolist()), pool)
    return products


Part = tuple[int, int]
"""First and last row."""


def _by_scipy(matrix: csr_array, others: Ragged[np.int32], products: NDArray[np.float64], part: Part) -> None:
    own = others.part(slice(*part))
    found = matrix[part[0] + own.row_ids()].multiply(matrix[own.values]).sum(axis=1)
    products[others.indptr[part[0]] : others.indptr[part[1]]] = found


def _by_kernel(
    native: Kernel, matrix: csr_array, others: Ragged[np.int32], products: NDArray[np.float64]
) -> Callable[[Part], None]:
    check_rows((others.values, matrix.shape[0]))
    arrays = (
        np.ascontiguousarray(matrix.indptr, np.int64),
        np.ascontiguousarray(matrix.indices, np.int32),
        np.ascontiguousarray(matrix.data, np.float64),
        np.ascontiguousarray(others.indptr, np.int64),
        np.ascontiguousarray(others.values, np.int32),
    )

    def multiply(part: Part) -> None:
        task = _Rows(*(each.ctypes.data for each in arrays), matrix.shape[1], *part, products.ctypes.data)
        if native.library.kernel_row_products(ctypes.byref(task)):
            raise MemoryError("There is no memory left for a row of a sparse matrix.")

    return multiply
