"""At most so many items of a category in a list: the greedy choice, from the best item down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.ragged import Ragged


@dataclass(frozen=True)
class Caps:
    """The categories of items, and how many items of each a list may have.

    An item is of each of its categories, and has no place in a list as soon as one of them is full. One without a category
    always has.

    Attributes:
        categories: by row of the I items, and last of one that is in none, codes below C, none twice.
        most: int64 (C,), items of a list, at least 1.
    """

    categories: Ragged[np.int32]
    most: NDArray[np.int64]

    @cached_property
    def _items(self) -> Ragged[np.int32]:
        """By category, its items."""
        rows = self.categories.row_ids().astype(np.int32)
        return Ragged.grouped(self.categories.values, rows, len(self.most))

    def kept(self, lists: Ragged[Any]) -> tuple[NDArray[np.bool_], Ragged[np.int32]]:
        """Choose from lists, best first, of rows of items; rows behind the last are items without a category.

        Returns:
            Bool (m,), which items stay; and by list the categories that are full.
        """
        rows = np.minimum(lists.values, len(self.categories) - 1)
        codes = self.categories.take(rows)
        # a slot is a list and a category: what it has room for
        keys, slots = np.unique(lists.row_ids()[codes.row_ids()] << 32 | codes.values, return_inverse=True)
        room = self.most[keys & 0xFFFFFFFF]
        slots_of, kept = codes.with_values(slots.reshape(-1)), np.zeros(len(rows), np.bool_)
        for at in _by_place(lists):  # one item of each list: no slot twice
            asked = slots_of.take(at)
            refused = np.zeros(len(at), np.bool_)
            refused[asked.row_ids()[room[asked.values] == 0]] = True
            room[asked.values[~refused[asked.row_ids()]]] -= 1
            kept[at] = ~refused
        full = keys[room == 0]
        return kept, Ragged.grouped(full >> 32, (full & 0xFFFFFFFF).astype(np.int32), len(lists))

    def without(self, codes: Iterable[int], items: int) -> NDArray[np.bool_]:
        """Bool (items,): which items are in none of these categories."""
        free = np.ones(max(items, len(self.categories)), np.bool_)
        for code in codes:
            free[self._items.row(code)] = False
        return free[:items]


def _by_place(lists: Ragged[Any]) -> Iterable[NDArray[np.int64]]:
    """The positions of the first values of all lists, of the second ones, and so on."""
    places = lists.place_in_row()
    order = np.argsort(places, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(places[order])) + 1) if len(order) else ()
