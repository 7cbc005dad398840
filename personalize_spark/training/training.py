"""What a trainer gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from personalize_spark.errors import InvalidInputException
from personalize_spark.recipes import Recipe
from personalize_spark.training.factors import Factors
from personalize_spark.training.interactions import Keep, Totals, collect_items, number_items, number_pairs
from personalize_spark.training.metadata import Metadata


@dataclass(frozen=True)
class Hyperparameters:
    """The settings of implicit ALS; the defaults come from docs/decisions/0005-training.md.

    Attributes:
        rank: dimensions of the factors.
        iterations: of ALS.
        regularization: per item of a user and per user of an item.
        alpha: confidence that one event adds.
        seed: of the factors' first values.
    """

    rank: int = 64
    iterations: int = 10
    regularization: float = 0.3
    alpha: float = 2.0
    seed: int = 42

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Hyperparameters:
        """From a solution's `algorithmHyperParameters`, names and values as texts.

        Raises:
            InvalidInputException: one is unknown, or no number.
        """
        kinds: dict[str, Callable[[str], float]] = {
            each.name: int if each.type == "int" else float for each in fields(cls)
        }
        if unknown := given.keys() - kinds.keys():
            raise InvalidInputException(
                f"Unknown hyperparameters: {', '.join(sorted(unknown))}; known: {', '.join(kinds)}."
            )
        try:
            values: dict[str, Any] = {name: kinds[name](value) for name, value in given.items()}
        except ValueError as error:
            raise InvalidInputException(f"A hyperparameter is not a number: {error}.") from error
        return cls(**values)

    def __post_init__(self) -> None:
        for name in ("rank", "iterations", "regularization", "alpha"):
            if not getattr(self, name) > 0:
                raise InvalidInputException(f"The hyperparameter {name} must be above 0, not {getattr(self, name)}.")


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        recipe: the recipe.
        pairs: the frame of `interactions.read_interactions`, persisted.
        totals: its sums.
        hyperparameters: for recipes that have some.
        metadata: reads the Items dataset; `None` if the group has none.
        keep: persists a frame until the model is written.
    """

    recipe: Recipe
    pairs: DataFrame
    totals: Totals
    hyperparameters: Hyperparameters
    metadata: Callable[[], Metadata | None]
    keep: Keep

    def numbered(self) -> tuple[pa.Table, DataFrame]:
        """The table of `interactions.collect_items`, and the frame of `interactions.number_pairs`, persisted."""
        numbered = self.keep(number_items(self.pairs))
        return collect_items(numbered), self.keep(number_pairs(self.pairs, numbered))


Trainer = Callable[[Training], Factors]
