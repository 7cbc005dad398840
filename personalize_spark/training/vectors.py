"""Vectors between numpy's matrices and Arrow's lists, which frames of Spark hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def as_matrix(column: pa.Array | pa.ChunkedArray, width: int = 0) -> NDArray[Any]:
    """(n, d): a column of lists of numbers, all of one length; `width` is d where there are no rows."""
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values: NDArray[Any] = lists.flatten().to_numpy()
    return values.reshape(len(lists), -1 if len(lists) else width)


def as_lists(matrix: NDArray[Any]) -> pa.ListArray:
    """The rows of (n, d) as lists."""
    ends = np.arange(len(matrix) + 1, dtype=np.int32) * matrix.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends), matrix.ravel())
