"""Bootstrap intervals: what statistics says of means, and the same on every run."""

from __future__ import annotations

import numpy as np
import pytest

from personalize_spark.quality.intervals import intervals


def test_an_interval_is_about_two_standard_errors_to_both_sides() -> None:
    values = np.random.default_rng(3).normal(5, 2, 2000)
    low, high = intervals({"a": values})["a"]
    error = values.std() / np.sqrt(2000)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error)


def test_the_same_users_are_drawn_for_all_measures_and_on_every_run() -> None:
    values = np.random.default_rng(3).random(50)
    found = intervals({"a": values, "twice": 2 * values})
    assert found["twice"] == pytest.approx([2 * end for end in found["a"]])
    assert intervals({"a": values})["a"] == pytest.approx(found["a"])


def test_many_users_are_drawn_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"a": np.random.default_rng(3).random(50)}
    whole = intervals(values)
    monkeypatch.setattr("personalize_spark.quality.intervals._CELLS", 7 * 50)
    assert intervals(values)["a"] == pytest.approx(whole["a"])


def test_one_user_tells_nothing() -> None:
    assert intervals({"a": np.ones(1)}) == intervals({}) == {}
