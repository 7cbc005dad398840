"""The best of some scores."""

from __future__ import annotations

import numpy as np
import pytest

from personalize_spark.training.best import best_first


@pytest.mark.parametrize("n", [1, 5, 40, 99, 100, 200])
@pytest.mark.parametrize("different", [1, 3, 1000])
def test_they_descend_and_of_equal_ones_the_first_comes_first(n: int, different: int) -> None:
    scores = np.random.default_rng(n).integers(0, different, 100).astype(np.float32)
    scores[7] = -np.inf
    expected = sorted(range(100), key=lambda place: (-scores[place], place))[:n]
    assert best_first(scores, n).tolist() == expected


def test_of_no_scores_there_is_no_best() -> None:
    assert not len(best_first(np.empty(0), 3))
