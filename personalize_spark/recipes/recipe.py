"""What a recipe is to a batch inference job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from personalize_spark.records import Object, Recommendations
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import Selection


@dataclass(frozen=True)
class Settings:
    """What a request asks of a recipe, besides its lines.

    Attributes:
        num_results: length of the lists.
        popularity: influence of popularity on the ranking, 0.0 to 1.0.
        freshness: influence of an item's age on the ranking, 0.0 to 1.0.
    """

    num_results: int
    popularity: float = 0.0
    freshness: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        name: as in its ARN, `arn:aws:personalize:::recipe/NAME`.
        required: the keys of an input line, as the service names them in its error text.
        recommend: the answers to good lines, all of one selection.
        explores: `itemExplorationConfig` has an effect.
        influenced: `rankingInfluence` has an effect.
        themed: the mode THEME_GENERATION is for it.
    """

    name: str
    required: tuple[str, ...]
    recommend: Callable[[Model, Sequence[Object], Settings, Selection], Recommendations]
    explores: bool = False
    influenced: bool = False
    themed: bool = False

    @property
    def arn(self) -> str:
        """The recipe's ARN, the same in every region and account."""
        return f"arn:aws:personalize:::recipe/{self.name}"
