"""What a recipe is: all that the rest of the product knows of one, except how its kind of model is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from personalize_spark.recommendations import Recommendations
from personalize_spark.records import Object
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import Selection

USER_ID, ITEM_ID, ITEM_LIST = "userId", "itemId", "itemList"
"""The keys of input lines."""


class RecipeType(StrEnum):
    """The service's `recipeType`; it decides what an input line holds."""

    USER_PERSONALIZATION = "USER_PERSONALIZATION"
    PERSONALIZED_RANKING = "PERSONALIZED_RANKING"
    RELATED_ITEMS = "RELATED_ITEMS"


_REQUIRED = {
    RecipeType.USER_PERSONALIZATION: (USER_ID,),
    RecipeType.PERSONALIZED_RANKING: (USER_ID, ITEM_LIST),
    RecipeType.RELATED_ITEMS: (ITEM_ID,),
}


class ModelKind(Enum):
    """What a recipe reads. Each kind has one trainer (`solutions.train`), and some an importer (`solutions.import_model`)."""

    USER_FACTORS = auto()
    """Vectors of users and items whose products are what a user thinks of an item; or what items lead to, where a training chose that."""
    SEQUENCES = auto()
    """What items lead to, and each user's newest items; or vectors, where a training chose these."""
    ITEM_FACTORS = auto()
    """Vectors of items whose products say how alike two items are."""
    NEIGHBOURS = auto()
    """For each item a list of items like it."""
    WORDS = auto()
    """Vectors of items made of the words that describe them."""
    COUNTS = auto()
    """How often each item was met, which every other kind holds too."""


@dataclass(frozen=True)
class Settings:
    """What a request asks of a recipe, besides its lines.

    Attributes:
        num_results: length of the lists.
        popularity: influence of popularity on the ranking, 0.0 to 1.0.
        freshness: influence of an item's age on the ranking, 0.0 to 1.0.
        several: a line may have `itemIds` instead of `itemId`: what is like all of these items together.
    """

    num_results: int
    popularity: float = 0.0
    freshness: float = 0.0
    several: bool = False


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        name: as in its ARN, `arn:aws:personalize:::recipe/NAME`.
        type: what it is for.
        model: the kind of model that it reads.
        recommend: the answers to good lines, all of one selection.
        scored: how many items of a user have a score; `None`: all.
        explores: `itemExplorationConfig` has an effect.
        influenced: `rankingInfluence` has an effect.
        themed: the mode THEME_GENERATION is for it.
        updatable: `trainingMode` UPDATE is for it.
    """

    name: str
    type: RecipeType
    model: ModelKind
    recommend: Callable[[Model, Sequence[Object], Settings, Selection], Recommendations]
    scored: int | None = None
    explores: bool = False
    influenced: bool = False
    themed: bool = False
    updatable: bool = False

    @property
    def arn(self) -> str:
        """The recipe's ARN, the same in every region and account."""
        return f"arn:aws:personalize:::recipe/{self.name}"

    @property
    def required(self) -> tuple[str, ...]:
        """The keys of an input line, as the service names them in its error text."""
        return _REQUIRED[self.type]
