"""What a recipe is to a batch inference job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalize_spark.records import Recommendations, Records
from personalize_spark.scoring.model import Model


@dataclass(frozen=True)
class Settings:
    """What a request asks of a recipe, besides its lines."""

    num_results: int


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        name: as in its ARN, `arn:aws:personalize:::recipe/NAME`.
        required: the keys of an input line, as the service names them in its error text.
        recommend: the answers to the good lines of a block.
        explores: `itemExplorationConfig` has an effect.
        influenced: `rankingInfluence` has an effect.
        themed: the mode THEME_GENERATION is for it.
    """

    name: str
    required: tuple[str, ...]
    recommend: Callable[[Model, Records, Settings], Recommendations]
    explores: bool = False
    influenced: bool = False
    themed: bool = False

    @property
    def arn(self) -> str:
        """The recipe's ARN, the same in every region and account."""
        return f"arn:aws:personalize:::recipe/{self.name}"


def popular(model: Model, queries: int, settings: Settings) -> NDArray[np.int32]:
    """int32 (queries, n): the most popular items, the same for every query; n <= numResults when there are fewer items."""
    return np.broadcast_to(
        model.popular[: settings.num_results], (queries, min(settings.num_results, len(model.popular)))
    )
