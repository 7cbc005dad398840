"""Pairs of a user's items are counted both ways, without Spark."""

from __future__ import annotations

import pyarrow as pa
import pytest

from personalize_spark.training.cooccurrence import UNIT, Closeness, _count

CLOSENESS = Closeness(half_life=2.0, power=0.5, shrinkage=1.0, backward=0.3)


def counted(closeness: Closeness, *histories: list[tuple[int, int]]) -> dict[tuple[int, int], float]:
    """Histories are (newest, item), in order."""
    items = pa.array([[item for _, item in each] for each in histories], pa.list_(pa.int32()))
    newest = pa.array([[when for when, _ in each] for each in histories], pa.list_(pa.int64()))
    batch = pa.RecordBatch.from_arrays([items, newest], ["item", "newest"])
    [found] = _count(closeness, [batch])
    one, other, weight = (found.column(name).to_pylist() for name in ("one", "other", "weight"))
    return {pair: each / UNIT for *pair_, each in zip(one, other, weight, strict=True) for pair in [tuple(pair_)]}


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
