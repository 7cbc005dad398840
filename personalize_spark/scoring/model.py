"""What a recipe knows: the item side as arrays, the user side as a lookup."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, repeat
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.exploration import Cold
from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.ragged import Ragged


@dataclass(frozen=True)
class Texts:
    """Many texts in two arrays: text i is `data[offsets[i]:offsets[i + 1]]`.

    Attributes:
        data: uint8 (bytes,), UTF-8.
        offsets: int32 (n + 1,), so all texts together stay below 2 GiB.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def ids(self) -> list[str]:
        """The texts, each the JSON of a string, as strings."""
        ends = self.offsets.tolist()
        data = self.data.tobytes()
        ids: list[str] = json.loads(b"[" + b",".join(data[start:end] for start, end in pairwise(ends)) + b"]")
        return ids

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Texts:
        """Pack texts."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        if offsets[-1] >= 1 << 31:
            raise ValueError(f"{len(texts)} texts of {offsets[-1]} bytes are more than 2 GiB")
        return cls(np.frombuffer(b"".join(texts), np.uint8), offsets.astype(np.int32))


@dataclass(frozen=True)
class UserRows:
    """The users of a batch of U ids.

    Attributes:
        known: bool (U,); the other arrays hold zeros where it is false.
        vectors: float32 (U, d).
        log_normalisers: float64 (U,), log sum_j exp(t * w_u . w_j) over the items j that are scored.
        floors: float64 (U,): only items with w_u . w_j >= floor are scored; `None`: all items are.
    """

    known: NDArray[np.bool_]
    vectors: NDArray[np.float32]
    log_normalisers: NDArray[np.float64]
    floors: NDArray[np.float64] | None = None


class Users(Protocol):
    """The user side of a model."""

    def lookup(self, ids: Sequence[bytes]) -> UserRows:
        """The rows of these ids (UTF-8)."""


@dataclass(frozen=True)
class Model:
    """A solution version's model. Items are rows; arrays over items are parallel.

    Attributes:
        texts: each item id as JSON text, quotes included (I texts).
        popular: int32 (I,), the rows by descending number of interactions, ties by item id.
        shares: float64 (I,), each row's share of all interactions.
        matrix: the item factors, (I, d); `None` where the recipe has none.
        users: the user side; `None` where the recipe has none.
        temperature: t > 0 in `exp(t * w_u . w_i)`.
        queries: float32 (I, d), each item as a question for items like it: their order is that of `q_i . w_j`; `None` where
            the recipe has none. A question that is all zeros has no answer.
        neighbours: by item, those like it, best first; `None` where the recipe has none.
        cold: what exploration adds; `None` where there is nothing to explore.
    """

    texts: Texts
    popular: NDArray[np.int32]
    shares: NDArray[np.float64]
    matrix: ItemMatrix | None = None
    users: Users | None = None
    temperature: float = 1.0
    queries: NDArray[np.float32] | None = None
    neighbours: Ragged | None = None
    cold: Cold | None = None

    def with_items(self, texts: Texts) -> Model:
        """The model with more items, which it has not learned: they come last, as the least popular ones."""
        all_texts = Texts(
            np.concatenate([self.texts.data, texts.data]),
            np.concatenate([self.texts.offsets, texts.offsets[1:] + self.texts.offsets[-1]]),
        )
        new = np.arange(len(self.texts), len(all_texts), dtype=np.int32)
        popular, shares = np.concatenate([self.popular, new]), np.concatenate([self.shares, np.zeros(len(new))])
        return replace(self, texts=all_texts, popular=popular, shares=shares)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.texts.ids())}

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """int64 (n,): the row of each id, -1 for an unknown one. The first call builds an index of some 100 bytes an item."""
        return np.fromiter(map(self._rows.get, ids, repeat(-1)), np.int64, len(ids))
