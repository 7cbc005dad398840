"""Items by their ids: the ids as they stand in an output line, and which row each has."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import pairwise, repeat
from typing import Self

import numpy as np
import orjson
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import kernel
from personalize_spark.scoring.ragged import Ragged


class JsonTexts(Ragged[np.uint8]):
    """JSON strings as they stand in an output line, quotes included: text i is row i, in UTF-8; `indptr` is int32, as Arrow's."""

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Self:
        """Pack texts.

        Raises:
            ValueError: they are 2 GiB together, or more.
        """
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        packed = Ragged.of_lengths(lengths, np.frombuffer(b"".join(texts), np.uint8))
        if packed.indptr[-1] >= 1 << 31:
            raise ValueError(f"{len(texts)} texts of {packed.indptr[-1]} bytes are more than 2 GiB")
        return cls(packed.indptr.astype(np.int32), packed.values)

    def decoded(self) -> list[str]:
        """The strings."""
        data = self.values.tobytes()
        rows = (data[start:end] for start, end in pairwise(self.indptr.tolist()))
        strings: list[str] = orjson.loads(b"[" + b",".join(rows) + b"]")
        return strings


class ItemIndex:
    """Finds rows by ids: with the compiled kernel in a hash table of the texts, 16 to 32 bytes an item, else in a dictionary."""

    def __init__(self, texts: JsonTexts) -> None:
        self._texts, self._native = texts, kernel()
        if self._native is None:
            self._rows = {name: row for row, name in enumerate(texts.decoded())}
        else:
            self._slots = self._native.index_of(texts)

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """int64 (n,): the row of each id, -1 for an unknown one."""
        if self._native is None:
            return np.fromiter(map(self._rows.get, ids, repeat(-1)), np.int64, len(ids))
        return self._native.rows_of(_json_of(ids), self._texts, self._slots, len(ids))

    def rows_of_lists(self, lists: Sequence[Sequence[object]]) -> Ragged[np.int64] | None:
        """As `rows_of`, of lists of ids; `None` where they are to be looked at one by one: some are no strings, or there is no kernel."""
        if self._native is None:
            return None
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        with contextlib.suppress(orjson.JSONEncodeError, TypeError):
            rows = self._native.rows_of(orjson.dumps(lists), self._texts, self._slots, int(lengths.sum()))
            return Ragged.of_lengths(lengths, rows)
        return None


def _json_of(ids: Sequence[str]) -> bytes:
    try:
        return orjson.dumps([*ids])
    except orjson.JSONEncodeError:  # half of a surrogate pair, which no item's id has
        return orjson.dumps([each if _is_text(each) else "" for each in ids])


def _is_text(each: str) -> bool:
    try:
        each.encode()
    except UnicodeEncodeError:
        return False
    return True
