"""Which of some candidates a training takes; the numbers are made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from personalize_spark.recipes import RECIPES
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.solutions import tuning
from personalize_spark.solutions.tuning import Measured, chosen, train_best
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.factors import Factors
from personalize_spark.training.interactions import Totals
from personalize_spark.training.temperature import Scale, ScaleFit
from personalize_spark.training.training import Training


def measured(*pairs: tuple[float, float], popularity: float = 0.05) -> list[Measured]:
    return [Measured(str(place), ndcg, loss, popularity) for place, (ndcg, loss) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("candidates", "place"),
    [
        (measured((0.10, 7.0), (0.20, 8.0), (0.15, 6.0)), 1),
        (measured((0.200, 7.5), (0.202, 8.0), (0.15, 6.0)), 0),  # nearly the best order, and better scores
        (measured((0.20, 7.5), (0.20, 7.5)), 0),
        (measured((0.05, 7.5), (0.04, 7.0)), None),  # popularity is as good
    ],
)
def test_the_best_order_is_taken_and_of_near_ones_the_best_scores(
    candidates: list[Measured], place: int | None
) -> None:
    assert chosen(candidates) == place


@pytest.mark.parametrize("gains", [[0.1] * 100, [1.0] * 90 + [-1.0] * 10])
def test_a_gain_beyond_chance_is_sure(gains: list[float]) -> None:
    assert tuning._surely(np.array(gains))


@pytest.mark.parametrize("gains", [[1.0] * 52 + [-1.0] * 48, [0.0] * 100, [-0.1] * 100])
def test_a_gain_within_chance_is_not(gains: list[float]) -> None:
    assert not tuning._surely(np.array(gains))


def test_where_popularity_is_as_good_als_is_the_one_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [Factors(pa.table({}), properties={"form": form}) for form in ("ALS", "another", "a third")]
    nothing: Any = None
    training = Training(
        RECIPES["aws-user-personalization"], nothing, Totals(90, 30, 30), Hyperparameters(), nothing, nothing
    )
    held = tuning._Known(nothing, Ragged.singles(np.zeros(30, np.int32)), 0.05)
    fit = ScaleFit(Scale(1.0), 7.0)
    monkeypatch.setattr(tuning, "_known", lambda _: held)
    monkeypatch.setattr(tuning, "_candidates", lambda *_: iter(candidates))
    monkeypatch.setattr(
        tuning, "_measured", lambda each, _: [(Measured(each.properties["form"], 0.04, 7.0, 0.05), fit)]
    )
    factors = train_best(training)  # without frames, nothing can be fitted
    assert factors.properties["chosen"] == "ALS"
    assert factors.fitted is fit
    assert len(factors.properties["candidates"]) == 3
