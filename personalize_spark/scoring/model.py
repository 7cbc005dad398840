"""What a recipe knows: the item side as arrays, the user side as a lookup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.curve import STRAIGHT, Curve
from personalize_spark.scoring.exploration import Cold
from personalize_spark.scoring.item_index import ItemIndex, JsonTexts
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import ItemMatrix, Items
from personalize_spark.scoring.users import Users


@dataclass(frozen=True)
class Model:
    """A solution version's model. Items are rows; arrays over items are parallel.

    Attributes:
        item_ids_json: the item ids, I texts.
        popularity_order: int32 (I,), the rows by descending number of interactions, ties by item id.
        popularity: float64 (I,), each row's share of all interactions.
        matrix: the item factors, (I, d); `None` where the recipe has none.
        sparse: in their place what items lead to; `None` where the recipe has none.
        users: the user side; `None` where the recipe has none.
        curve: how products become exponents.
        queries: float32 (I, d), each item as a question for items like it: their order is that of `q_i . w_j`; `None` where
            the recipe has none. A question that is all zeros has no answer.
        neighbours: by item, those like it, best first; `None` where the recipe has none.
        cold: what exploration adds; `None` where there is nothing to explore.
    """

    item_ids_json: JsonTexts
    popularity_order: NDArray[np.int32]
    popularity: NDArray[np.float64]
    matrix: ItemMatrix | None = None
    users: Users | None = None
    curve: Curve = STRAIGHT
    queries: NDArray[np.float32] | None = None
    neighbours: Ragged[np.int32] | None = None
    cold: Cold | None = None
    sparse: SparseItems | None = None

    def with_items(self, item_ids_json: JsonTexts) -> Model:
        """The model with more items, which it has not learned: they come last, as the least popular ones."""
        all_ids = JsonTexts.stacked([self.item_ids_json, item_ids_json])
        new = np.arange(len(self.item_ids_json), len(all_ids), dtype=np.int32)
        return replace(
            self,
            item_ids_json=all_ids,
            popularity_order=np.concatenate([self.popularity_order, new]),
            popularity=np.concatenate([self.popularity, np.zeros(len(new))]),
        )

    @property
    def item_side(self) -> Items | None:
        """What users are held against; `None` where the recipe has no such thing."""
        return self.sparse if self.matrix is None else self.matrix

    def sides(self) -> tuple[Items, Users]:
        """What is held against each other: items and users.

        Raises:
            ValueError: the recipe has none.
        """
        items = self.item_side
        if items is None or self.users is None:
            raise ValueError("the model has no items and users to hold against each other")
        return items, self.users

    def item_ids(self) -> list[str]:
        """The item ids by row, decoded anew by each call."""
        return self.item_ids_json.decoded()

    @cached_property
    def deciles(self) -> NDArray[np.int8]:
        """int8 (I,): the tenth of all items by popularity that each row is in, 0 for the most popular ones."""
        deciles = np.empty(len(self.popularity_order), np.int8)
        deciles[self.popularity_order] = np.arange(len(deciles)) * 10 // max(1, len(deciles))
        return deciles

    @cached_property
    def _index(self) -> ItemIndex:
        return ItemIndex(self.item_ids_json)

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """int64 (n,): the row of each id, -1 for an unknown one. The first call builds an index."""
        return self._index.rows_of(ids)

    def rows_of_lists(self, lists: Sequence[Sequence[object]]) -> Ragged[np.int64] | None:
        """See `ItemIndex.rows_of_lists`."""
        return self._index.rows_of_lists(lists)
