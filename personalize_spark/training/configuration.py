"""How a solution is trained, as its configuration says. Needs no Spark, so that a solution is checked without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from personalize_spark.errors import DataError, InvalidInputException, quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


WORDS, WORDLLAMA = "words", "wordllama"
_OF_ALS = ("rank", "iterations", "regularization", "alpha")


@dataclass(frozen=True)
class Hyperparameters:
    """The settings of implicit ALS, whose defaults come from docs/decisions/0005-training.md, of themes, and of the choice of a model.

    Attributes:
        rank: dimensions of the factors.
        iterations: of ALS.
        regularization: per item of a user and per user of an item.
        alpha: confidence that one event adds.
        seed: of the factors' first values.
        training_jobs: how many candidates a training for users chooses from, see `solutions.tuning`; 1: no choice; 0: as many as the
            recipe does by itself.
        theme_embedding: where texts lie for themes: `words` of the catalogue, or `wordllama`.
    """

    rank: int = 64
    iterations: int = 10
    regularization: float = 0.3
    alpha: float = 2.0
    seed: int = 42
    training_jobs: int = 0
    theme_embedding: str = WORDS

    @property
    def als_is_set(self) -> bool:
        """Whether a setting of ALS is not the default: who sets one wants ALS."""
        return any(getattr(self, name) != getattr(type(self), name) for name in _OF_ALS)

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Hyperparameters:
        """From a solution's `algorithmHyperParameters`, names and values as texts.

        Raises:
            InvalidInputException: one is unknown, or no number.
        """
        kinds: dict[str, Callable[[str], float | str]] = {each.name: _KINDS[str(each.type)] for each in fields(cls)}
        if unknown := given.keys() - kinds.keys():
            raise InvalidInputException(
                f"Unknown hyperparameters: {', '.join(sorted(unknown))}; known: {', '.join(kinds)}."
            )
        values: dict[str, Any] = {}
        for name, value in given.items():
            try:
                values[name] = kinds[name](value)
            except ValueError as error:
                number = "a whole number" if kinds[name] is int else "a number"
                raise InvalidInputException(f"The hyperparameter {name} is {quoted(value)}: give {number}.") from error
        return cls(**values)

    def __post_init__(self) -> None:
        for name in _OF_ALS:
            if not getattr(self, name) > 0:
                raise InvalidInputException(f"The hyperparameter {name} must be above 0, not {getattr(self, name)}.")
        if self.training_jobs < 0:
            raise InvalidInputException(
                f"The hyperparameter training_jobs must be at least 0, not {self.training_jobs}."
            )
        if self.theme_embedding not in (WORDS, WORDLLAMA):
            raise InvalidInputException(
                f"The hyperparameter theme_embedding must be {WORDS} or {WORDLLAMA}, not {self.theme_embedding}."
            )


_KINDS: Mapping[str, Callable[[str], float | str]] = {"int": int, "float": float, "str": str}


@dataclass(frozen=True)
class Events:
    """Which interactions a solution learns from, as its `eventType` and `eventValueThreshold` say.

    Attributes:
        event_type: only those of this type, in any case; `None`: all.
        threshold: only those with an `EVENT_VALUE` from here on; `None`: all.
    """

    event_type: str | None = None
    threshold: float | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Events:
        """From the fields of a solution, or of a version of it.

        Raises:
            ValueError: the threshold is no number.
        """
        threshold = (fields.get("solutionConfig") or {}).get("eventValueThreshold")
        return cls(fields.get("eventType"), None if threshold is None else float(threshold))

    def chosen(self, table: DataFrame) -> DataFrame:
        """The rows of an Interactions table that count.

        Raises:
            DataError: the table lacks a column.
        """
        for value, column in ((self.event_type, "EVENT_TYPE"), (self.threshold, "EVENT_VALUE")):
            if value is not None and column not in table.columns:
                raise DataError(
                    f"The solution's configuration needs the column {column}, which the Interactions dataset does not have."
                )
        from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

        if self.event_type is not None:
            table = table.where(F.lower("EVENT_TYPE") == self.event_type.lower())
        return table if self.threshold is None else table.where(F.col("EVENT_VALUE") >= self.threshold)
