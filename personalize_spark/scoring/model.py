"""What a recipe knows: the item side as arrays, the user side as a lookup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.topn import ItemMatrix


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
        log_normalisers: float64 (U,), log sum_j exp(t * w_u . w_j) over all items j of the model.
    """

    known: NDArray[np.bool_]
    vectors: NDArray[np.float32]
    log_normalisers: NDArray[np.float64]


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
    """

    texts: Texts
    popular: NDArray[np.int32]
    shares: NDArray[np.float64]
    matrix: ItemMatrix | None = None
    users: Users | None = None
    temperature: float = 1.0
