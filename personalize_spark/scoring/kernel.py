"""The compiled kernel, `native/kernel.c`, where there is one: the same answers as numpy, sooner. What it trains is the same but for last digits.

``PERSONALIZE_SPARK_KERNEL`` says what runs: ``numpy``; ``native``, or an error; ``auto``, native where it can, which is the default.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.errors import EnvironmentProblem
from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.screen import BLOCK
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.settings import SETTINGS, value_of

VARIABLE = SETTINGS["kernel"].variable
_FOLDER = Path(__file__).parent / "native"
_VERSION = 10
"""Of what is called: a library of another version, left by an older build, is not used."""
MOST_UNITS = 10_000_000
"""A score of 1, in units of the 7th decimal."""
MOST = 2048
"""Length of the lists, at most: each user's pool is several times as long."""


class _Task(ctypes.Structure):
    """Task of `native/search.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("rows", "blocks", "norms", "factors", "ranks", "included")),
        ("items", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("users", "turned", "excluded_starts", "excluded")),
        *((name, ctypes.c_int64) for name in ("count", "rank", "n")),
        *((name, ctypes.c_void_p) for name in ("best", "products")),
    )


class _Sparse(ctypes.Structure):
    """Sparse of `native/sparse.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("starts", "leads", "weights", "decay", "offsets", "order", "ranks")),
        *((name, ctypes.c_void_p) for name in ("included", "mask")),
        *((name, ctypes.c_int64) for name in ("items", "width", "stride")),
        *((name, ctypes.c_void_p) for name in ("users", "excluded_starts", "excluded")),
        *((name, ctypes.c_int64) for name in ("count", "n")),
        *((name, ctypes.c_void_p) for name in ("best", "products")),
    )


class _Lines(ctypes.Structure):
    """Lines of `native/lines.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("texts", "text_starts", "answered", "list_starts", "items", "units")),
        *((name, ctypes.c_void_p) for name in ("ids", "id_starts")),
        *((name, ctypes.c_int64) for name in ("lines", "lists")),
        ("out", ctypes.c_void_p),
    )


class _Index(ctypes.Structure):
    """Index of `native/index.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("ids", "id_starts")),
        ("items", ctypes.c_int64),
        ("slots", ctypes.c_void_p),
        *((name, ctypes.c_uint64) for name in ("mask", "seed")),
    )


_SEED = int.from_bytes(os.urandom(8))
"""Of the hashes, so that nobody can choose ids that share one."""


@dataclass(frozen=True)
class Kernel:
    """The library at one level of instructions.

    Attributes:
        name: of the level: ``portable``, ``avx2``, ``avx512vnni``, ``neon-dotprod``.
    """

    library: ctypes.CDLL
    level: int
    name: str

    def top_n(
        self,
        users: NDArray[np.float32],
        items: ItemMatrix,
        lists: tuple[NDArray[np.int32], NDArray[np.float64]],
        included: NDArray[np.bool_] | None,
        excluded: Ragged[np.int32] | None,
    ) -> None:
        """The best items of every user that is not all zeros, among the included ones, without its excluded ones.

        Args:
            users: float32 (U, d), finite.
            items: the item side, with a screen.
            lists: int32 (U, n) of -1 and float64 (U, n) of -inf, C-contiguous: what `topn.TopN` has, filled here; n is at most `MOST`.
            included: bool (I,); None: all.
            excluded: of the U users, rows of ``items``, in any order; None: nothing.

        Raises:
            MemoryError: there is none for the users' pools.
        """
        screen = items.screen
        if screen is None:
            raise ValueError("The items have no screen.")
        users = np.ascontiguousarray(users, np.float32)
        arrays: dict[str, NDArray[Any] | None] = {
            "rows": np.ascontiguousarray(screen.rows, np.int8),
            "blocks": np.ascontiguousarray(screen.blocks, np.float64),
            "norms": np.ascontiguousarray(items.norms, np.float32),
            "factors": np.ascontiguousarray(items.factors, np.float32),
            "ranks": np.ascontiguousarray(items.ranks, np.int32),
            "included": None if included is None else _words(included),
            "users": users,
            "turned": np.ascontiguousarray(users @ screen.turn),
            "excluded_starts": None if excluded is None else np.ascontiguousarray(excluded.indptr, np.int64),
            "excluded": None if excluded is None else _ascending(excluded),
            "best": lists[0],
            "products": lists[1],
        }
        task = _Task(items=len(items.factors), count=len(users), rank=users.shape[1], n=lists[0].shape[1])
        _point(task, arrays)
        if self.library.kernel_search(self.level, ctypes.byref(task)):
            raise MemoryError("The search has no memory left for the pools of its users.")

    def sparse_top_n(
        self,
        users: NDArray[np.int32],
        items: SparseItems,
        lists: tuple[NDArray[np.int32], NDArray[np.float64]],
        included: Masks | None,
        excluded: Ragged[np.int32] | None,
    ) -> None:
        """See `sparse.SparseItems.search`.

        Raises:
            MemoryError: there is none for the sums.
        """
        arrays = {
            "included": None if included is None else np.ascontiguousarray(included.bits, np.uint8),
            "mask": None if included is None else np.ascontiguousarray(included.of, np.int64),
            "excluded_starts": None if excluded is None else np.ascontiguousarray(excluded.indptr, np.int64),
            "excluded": None if excluded is None else np.ascontiguousarray(excluded.values, np.int32),
            "order": items.order,
            "best": lists[0],
            "products": lists[1],
            **_sparse_arrays(users, items),
        }
        stride = 0 if included is None else included.bits.shape[1]
        task = _Sparse(items=len(items), width=items.width, stride=stride, count=len(users), n=lists[0].shape[1])
        _point(task, arrays)
        if self.library.kernel_sparse_search(self.level, ctypes.byref(task)):
            raise MemoryError("The search has no memory left for its sums.")

    def sparse_products(
        self, users: NDArray[np.int32], rows: NDArray[np.int64], items: SparseItems, columns: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """See `sparse.SparseItems.products`; ascending rows are fastest.

        Raises:
            IndexError: a row is not there.
            MemoryError: there is none for the sums.
        """
        rows, columns = (np.ascontiguousarray(each, np.int64) for each in (rows, columns))
        check_rows((rows, len(users)), (columns, len(items)))
        task, arrays, result = (
            _Sparse(items=len(items), width=items.width),
            _sparse_arrays(users, items),
            np.empty(len(rows)),
        )
        _point(task, arrays)
        pointers = rows.ctypes.data, columns.ctypes.data
        if self.library.kernel_sparse_paired(ctypes.byref(task), *pointers, len(rows), result.ctypes.data):
            raise MemoryError("There is no memory left for the sums.")
        return result

    def paired_products(
        self,
        users: NDArray[np.float32],
        rows: NDArray[np.int64],
        items: NDArray[np.float32],
        columns: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """See `products.paired_products`.

        Raises:
            IndexError: a row is not there.
            MemoryError: there is none for a vector.
        """
        users, items = np.ascontiguousarray(users, np.float32), np.ascontiguousarray(items, np.float32)
        rows, columns = (np.ascontiguousarray(each, np.int64) for each in (rows, columns))
        check_rows((rows, len(users)), (columns, len(items)))
        result = np.empty(len(rows))
        pointers = [each.ctypes.data for each in (users, rows, items, columns)]
        if self.library.kernel_paired(self.level, *pointers, len(rows), users.shape[1], result.ctypes.data):
            raise MemoryError("There is no memory left for a vector.")
        return result

    def order_of_lists(self, values: Ragged[np.float64], ranks: NDArray[np.int32]) -> NDArray[np.int64]:
        """int64 (m,): the order of each list by descending value, then rank; ``ranks`` is int32 (m,), one of each value.

        Raises:
            ValueError: there are not as many ranks as values.
            MemoryError: there is none for a list.
        """
        starts, held = np.ascontiguousarray(values.indptr, np.int64), np.ascontiguousarray(values.values, np.float64)
        ranks, result = np.ascontiguousarray(ranks, np.int32), np.empty(len(held), np.int64)
        if not len(held) == len(ranks) == starts[-1]:
            raise ValueError(f"{len(ranks)} ranks for {len(held)} values, in lists of {starts[-1]}.")
        pointers = held.ctypes.data, starts.ctypes.data
        if self.library.kernel_ordered(self.level, *pointers, len(values), ranks.ctypes.data, result.ctypes.data):
            raise MemoryError("There is no memory left for a list.")
        return result

    def index_of(self, ids: Ragged[np.uint8]) -> NDArray[np.uint64]:
        """uint64 (s,): the hash table of ``ids``, JSON strings with an int32 indptr; 16 to 32 bytes each."""
        slots = np.zeros(2 << max(1, len(ids)).bit_length(), np.uint64)
        task, _arrays = _index(ids, slots)
        self.library.kernel_index_items(ctypes.byref(task))
        return slots

    def rows_of(self, wanted: bytes, ids: Ragged[np.uint8], slots: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
        """int64 (n,): the row among ``ids``, whose table ``slots`` is, of each of ``count`` strings in orjson's JSON, or -1.

        Raises `TypeError` where ``wanted`` is no array of strings, and no array of such arrays.
        """
        rows = np.empty(count, np.int64)
        task, _arrays = _index(ids, slots)
        if self.library.kernel_rows_of(ctypes.byref(task), wanted, count, rows.ctypes.data):
            raise TypeError("Not all of them are strings.")
        return rows

    def output_lines(
        self,
        texts: Sequence[bytes],
        answered: NDArray[np.int64],
        items: Ragged[np.int64],
        units: NDArray[np.int64] | None,
        ids: Ragged[np.uint8],
    ) -> bytes:
        """See `recommendations.render`.

        Args:
            texts: of each line; it is the input of one that is answered, and else the whole line.
            answered: int64 (Q,), which lines have a list, ascending.
            items: the Q lists, rows of ``ids``.
            units: int64 (m,), the items' scores in units of the 7th decimal, 0 to 10,000,000; None: no scores.
            ids: JSON strings; int32 indptr.

        Raises:
            IndexError: a row is not there.
            ValueError: there are not as many lists as lines, or not as many scores as items.
        """
        check_rows((items.values, len(ids)), (answered, len(texts)))
        if len(items) != len(answered) or items.indptr[-1] != len(items.values):
            raise ValueError(f"{len(items)} lists of {len(items.values)} items for {len(answered)} lines.")
        if units is not None and (len(units) != len(items.values) or np.any((units < 0) | (units > MOST_UNITS))):
            raise ValueError(f"{len(units)} scores for {len(items.values)} items, or one that is below 0 or above 1.")
        arrays: dict[str, NDArray[Any] | None] = {
            "texts": np.frombuffer(b"".join(texts), np.uint8),
            "text_starts": np.cumsum([0, *map(len, texts)]),
            "answered": np.ascontiguousarray(answered, np.int64),
            "list_starts": np.ascontiguousarray(items.indptr, np.int64),
            "items": np.ascontiguousarray(items.values, np.int64),
            "units": None if units is None else np.ascontiguousarray(units, np.int64),
            "ids": np.ascontiguousarray(ids.values, np.uint8),
            "id_starts": np.ascontiguousarray(ids.indptr, np.int32),
        }
        task = _Lines(lines=len(texts), lists=len(answered))
        _point(task, arrays)
        out = np.empty(self.library.kernel_lines_size(ctypes.byref(task)), np.uint8)
        task.out = out.ctypes.data
        return out[: self.library.kernel_write_lines(ctypes.byref(task))].tobytes()


def kernels() -> Iterator[Kernel]:
    """The library at each level that this machine runs, the best one last; none where there is no library."""
    library = _library()
    if library is None:
        return
    library.kernel_name.restype = ctypes.c_char_p
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    library.kernel_search.argtypes = library.kernel_sparse_search.argtypes = [ctypes.c_int, pointer]
    library.kernel_sparse_paired.argtypes = [pointer, pointer, pointer, size, pointer]
    library.kernel_rows_of.argtypes = [pointer, ctypes.c_char_p, size, pointer]
    for of_one in (library.kernel_index_items, library.kernel_lines_size, library.kernel_write_lines):
        of_one.argtypes = [pointer]
    library.kernel_lines_size.restype = library.kernel_write_lines.restype = size
    library.kernel_paired.argtypes = [ctypes.c_int, pointer, pointer, pointer, pointer, size, size, pointer]
    library.kernel_ordered.argtypes = [ctypes.c_int, pointer, pointer, size, pointer, pointer]
    for level in range(library.kernel_levels()):
        if library.kernel_runs(level):
            yield Kernel(library, level, library.kernel_name(level).decode())


@functools.cache
def kernel() -> Kernel | None:
    """What runs here: the best level, or None for numpy.

    Raises:
        EnvironmentProblem: `PERSONALIZE_SPARK_KERNEL` has another value, or asks for a library that is not there.
    """
    wanted = value_of("kernel")
    if wanted not in {"auto", "native", "numpy"}:
        raise EnvironmentProblem(f"{VARIABLE} is {wanted!r}: set it to numpy, native or auto.")
    found = None if wanted == "numpy" else next(reversed([*kernels()]), None)
    if wanted == "native" and found is None:
        raise EnvironmentProblem(
            f"{VARIABLE} is 'native', but {_FOLDER} has no compiled kernel of this version: install the package again "
            "with a C compiler on the PATH, or leave the variable out."
        )
    return found


def _library() -> ctypes.CDLL | None:
    for path in _FOLDER.glob("kernel*.so"):
        try:
            library = ctypes.CDLL(str(path))
            if library.kernel_version() == _VERSION:
                return library
        except (OSError, AttributeError):  # of another system, or another file altogether
            continue
    return None


def _sparse_arrays(users: NDArray[np.int32], items: SparseItems) -> dict[str, NDArray[Any] | None]:
    check_rows((users[users >= 0].astype(np.int64), len(items)))
    return {
        "starts": np.ascontiguousarray(items.leads.indptr, np.int64),
        "leads": np.ascontiguousarray(items.leads.values, np.int32),
        "weights": np.ascontiguousarray(items.weights, np.float32),
        "decay": np.ascontiguousarray(items.decay, np.float32),
        "offsets": items.offsets,
        "ranks": np.ascontiguousarray(items.ranks, np.int32),
        "users": np.ascontiguousarray(users, np.int32),
    }


def _index(ids: Ragged[np.uint8], slots: NDArray[np.uint64]) -> tuple[_Index, dict[str, NDArray[Any] | None]]:
    """The table, and what it points to."""
    arrays: dict[str, NDArray[Any] | None] = {
        "ids": np.ascontiguousarray(ids.values),
        "id_starts": np.ascontiguousarray(ids.indptr, np.int32),
    }
    task = _Index(items=len(ids), mask=len(slots) - 1, seed=_SEED)
    _point(task, arrays | {"slots": slots})
    return task, arrays


def _point(task: ctypes.Structure, arrays: dict[str, NDArray[Any] | None]) -> None:
    """Have the task point to arrays, which must outlive it."""
    for name, array in arrays.items():
        setattr(task, name, None if array is None else array.ctypes.data)


def in_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32, each row in one piece; they may lie apart, as those of a part of a memory map do. A copy where it must be."""
    fits = matrix.dtype == np.float32 and matrix.strides[1] == matrix.itemsize
    return matrix if fits else np.ascontiguousarray(matrix, np.float32)


def check_rows(*pairs: tuple[NDArray[np.integer[Any]], int]) -> None:
    """Raise an IndexError if an index is not that of one of so many rows."""
    for indices, count in pairs:
        if len(indices) and not 0 <= indices.min() <= indices.max() < count:
            raise IndexError(f"Rows {indices.min()} to {indices.max()} of {count} vectors.")


def _words(included: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """uint64 (B,): a bit for each item of a block, the first one lowest."""
    words = np.zeros(-(-len(included) // BLOCK), np.uint64)
    bits = np.packbits(included, bitorder="little")
    words.view(np.uint8)[: len(bits)] = bits
    return words


def _ascending(excluded: Ragged[np.int32]) -> NDArray[np.int32]:
    """The values, ascending in each row, as most are already."""
    keys = (excluded.row_ids() << 32) + excluded.values.astype(np.uint32)
    if np.all(keys[1:] >= keys[:-1]):
        return np.ascontiguousarray(excluded.values, np.int32)
    keys.sort()
    return (keys & 0xFFFFFFFF).astype(np.int32)
