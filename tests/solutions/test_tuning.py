"""Which of some candidates a training takes; the numbers are made up."""

from __future__ import annotations

import pytest

from personalize_spark.solutions.tuning import Measured, chosen


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
