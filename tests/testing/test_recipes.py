"""The contract of a recipe is kept by none that breaks a promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from personalize_spark.recipes import RECIPES, Recipe, Settings
from personalize_spark.recommendations import Recommendations
from personalize_spark.records import Object
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection
from personalize_spark.testing.recipe_tests import RecipeTests
from personalize_spark.testing.toy import model_of, random_world

Change = Callable[[Recommendations, Sequence[Object]], Recommendations]
GOOD = RECIPES["aws-user-personalization"]


def broken(change: Change) -> Recipe:
    """A recipe that does something to what it should answer."""

    def recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
        right = GOOD.recommend(model, lines, settings, selection)
        return change(right, lines)

    return replace(GOOD, recommend=recommend)


def reordered(right: Recommendations, order: NDArray[np.int64] | slice) -> Ragged[np.int64]:
    return right.items.with_values(right.items.values[order])


def by_company(right: Recommendations, lines: Sequence[Object]) -> Recommendations:
    """What others ask shows in an answer."""
    return replace(right, scores=right.scores / len(lines)) if right.scores is not None else right


def ascending(right: Recommendations, lines: Sequence[Object]) -> Recommendations:
    return (
        replace(right, items=reordered(right, slice(None, None, -1)), scores=np.sort(right.scores))
        if right.scores is not None
        else right
    )


def doubled(right: Recommendations, lines: Sequence[Object]) -> Recommendations:
    return replace(right, items=reordered(right, np.zeros(len(right.items.values), np.int64)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model_of(random_world(), GOOD.name, tmp_path_factory.mktemp("catalog"))


@pytest.mark.slow
def test_what_others_ask_must_not_show(model: Model) -> None:
    RecipeTests().test_one_line_alone_is_answered_like_among_many(GOOD, model)
    with pytest.raises(AssertionError):
        RecipeTests().test_one_line_alone_is_answered_like_among_many(broken(by_company), model)


@pytest.mark.parametrize("change", [ascending, doubled])
def test_lists_must_be_distinct_and_descending(model: Model, change: Change) -> None:
    RecipeTests().test_lists_are_whole_distinct_and_descending(GOOD, model)
    with pytest.raises(AssertionError):
        RecipeTests().test_lists_are_whole_distinct_and_descending(broken(change), model)


def test_a_random_answer_is_not_given_twice(model: Model, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    shuffled = broken(
        lambda right, _: replace(right, items=reordered(right, random.permutation(len(right.items.values))))
    )
    with pytest.raises(AssertionError):
        RecipeTests().test_a_second_run_gives_the_same_bytes(shuffled, model, tmp_path)
