"""Pairs of a user's items are counted both ways, without Spark."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training import cooccurrence
from personalize_spark.training.cooccurrence import UNIT, Closeness, Cooccurrences, _count

CLOSENESS = Closeness(half_life=2.0, power=0.5, shrinkage=1.0, backward=0.3)


def counted(closeness: Closeness, *histories: list[tuple[int, int]]) -> dict[tuple[int, int], float]:
    """Histories are (newest, item), in order."""
    items = pa.array([[item for _, item in each] for each in histories], pa.list_(pa.int32()))
    newest = pa.array([[when for when, _ in each] for each in histories], pa.list_(pa.int64()))
    batch = pa.RecordBatch.from_arrays([items, newest], ["item", "newest"])
    sums = Counter[tuple[int, int]]()
    for found in _count(closeness, [batch]):
        one, other, weight = (found.column(name).to_pylist() for name in ("one", "other", "weight"))
        for pair, each in zip(zip(one, other, strict=True), weight, strict=True):
            sums[pair] += each
    return {pair: each / UNIT for pair, each in sums.items()}


def test_what_followed_counts_more_than_what_came_before() -> None:
    found = counted(CLOSENESS, [(1, 7), (2, 3), (3, 5)], [(9, 5)], [(1, 3), (2, 7)])
    near, far = 0.5**0.5, 0.5
    assert found == pytest.approx(
        {
            (7, 3): near + 0.3 * near,
            (3, 7): 0.3 * near + near,
            (3, 5): near,
            (5, 3): 0.3 * near,
            (7, 5): far,
            (5, 7): 0.3 * far,
        },
        abs=2e-6,
    )


def test_what_came_at_once_has_no_direction() -> None:
    found = counted(CLOSENESS, [(1, 7), (1, 3)])
    assert found[7, 3] == found[3, 7] == pytest.approx(0.65 * 0.5**0.5, abs=2e-6)


def test_users_are_not_mixed_and_one_item_has_no_pair() -> None:
    assert counted(CLOSENESS, [(1, 7)], [(1, 3)]) == {}


@pytest.mark.parametrize("together", [1, 2, 7])
def test_a_history_may_be_counted_in_parts(monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    random = np.random.default_rng(0)
    histories = [
        [(when // 2, int(item)) for when, item in enumerate(random.permutation(90)[:n])] for n in (80, 3, 1, 9)
    ]
    whole = counted(CLOSENESS, *histories)
    monkeypatch.setattr(cooccurrence, "_TOGETHER", together)
    assert counted(CLOSENESS, *histories) == whole
    assert len(whole) > 2 * 64 * 16


def test_what_is_in_the_same_company_counts_more() -> None:
    lists = [{2: 3.0, 1: 2.0}, {0: 2.0, 2: 1.0}, {}, {1: 1.0}]
    items = Ragged.of_lengths(np.array([2, 2, 0, 1]), np.array([each for row in lists for each in row], np.int32))
    scores = np.array([score for row in lists for score in row.values()])
    found = Cooccurrences(items, scores).agreeing(0.5)
    near = (3 / (13**0.5 * 5**0.5)) ** 0.5  # 0 and 1 have 2 in common; 2 goes with nothing, and 3 only with 1
    assert [found.items.row(each).tolist() for each in range(4)] == [[1], [0], [], []]
    assert found.scores == pytest.approx([2 * near, 2 * near])


def test_with_a_lift_an_item_that_goes_with_much_counts_less_wherever_it_stands() -> None:
    closeness = Closeness(half_life=1.0, power=0.5, shrinkage=1.0, lift=1.0, lift_to=4.0)
    assert closeness.divisors(6.0, 3.0, 1.5) == (1 + 6 / 1.5) * (1 + 3 / 6)


def test_the_best_of_the_lists_are_the_company(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "_COMPANY", 1)
    items = Ragged.of_lengths(np.array([2, 2, 0]), np.array([2, 1, 2, 0], np.int32))
    found = Cooccurrences(items, np.array([3.0, 2.0, 5.0, 1.0])).agreeing(0.5)
    assert [found.items.row(each).tolist() for each in range(3)] == [[1], [0], []]
    assert found.scores == pytest.approx([2.0, 1.0])
