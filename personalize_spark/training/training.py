"""What a trainer gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from pyspark.sql import DataFrame

from personalize_spark.recipes import Recipe
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.factors import Factors
from personalize_spark.training.interactions import (
    Keep,
    Totals,
    collect_items,
    count_known,
    number_items,
    number_pairs,
)
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.metadata import Metadata


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        recipe: the recipe.
        pairs: the frame of `interactions.read_interactions`, persisted unless all is here.
        totals: its sums.
        hyperparameters: for recipes that have some.
        metadata: reads the Items dataset; `None` if the group has none.
        keep: persists a frame until the model is written.
        here: all of it, where it fits in this process and the trainer can do without frames.
    """

    recipe: Recipe
    pairs: DataFrame
    totals: Totals
    hyperparameters: Hyperparameters
    metadata: Callable[[], Metadata | None]
    keep: Keep
    here: LocalPairs | None = None

    @cached_property
    def numbered(self) -> tuple[pa.Table, DataFrame]:
        """The table of `interactions.count_known`, and the frame of `interactions.number_pairs`, persisted."""
        numbered = self.keep(number_items(self.pairs))
        pairs = self.keep(number_pairs(self.pairs, numbered))
        return count_known(pairs, collect_items(numbered)), pairs

    @property
    def source(self) -> tuple[pa.Table, DataFrame | LocalPairs]:
        """The same, or what is in this process in their place."""
        return self.numbered if self.here is None else (self.here.items, self.here)


Trainer = Callable[[Training], Factors]
