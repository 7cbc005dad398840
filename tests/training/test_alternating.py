from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import Kernel, kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training import alternating
from personalize_spark.training.alternating import Pairs, alternate
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.fold_in import AlsFoldIn, Histories

SETTINGS = Hyperparameters(rank=4, iterations=3, regularization=0.5, alpha=3.0)


Way = Callable[[], Kernel | None]
WAYS = pytest.mark.parametrize("way", [kernel, lambda: None], ids=["native", "numpy"])
"""The compiled kernel, where there is one; and numpy."""


def drawn(seed: int, users: int = 60, items: int = 25) -> Pairs:
    """Users with 1 to 24 items; the last item is nobody's."""
    random = np.random.default_rng(seed)
    met = [random.permutation(items - 1)[: random.integers(1, items)] for _ in range(users)]
    rows = np.repeat(np.arange(users), [len(each) for each in met])
    return Pairs(rows, np.concatenate(met), random.integers(1, 6, len(rows)).astype(np.float32), (users, items))


def loss(pairs: Pairs, users: NDArray[np.float32], items: NDArray[np.float32]) -> float:
    """What implicit ALS minimises, over all pairs of a user and an item."""
    events = np.zeros(pairs.shape)
    events[pairs.users, pairs.items] = pairs.events
    errors = (events > 0) - users.astype(np.float64) @ items.astype(np.float64).T
    of_users, of_items = (
        (events > 0).sum(axis=axis) @ (side.astype(np.float64) ** 2) for axis, side in ((1, users), (0, items))
    )
    penalty = SETTINGS.regularization * (of_users.sum() + of_items.sum())
    return float(((1 + SETTINGS.alpha * events) * errors**2).sum() + penalty)


@WAYS
@given(seed=st.integers(0, 1000))
def test_users_end_with_the_vectors_that_they_are_folded_in_with(way: Way, seed: int) -> None:
    pairs = drawn(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alternating, "kernel", way)
        users, items = alternate(pairs, SETTINGS)
    order = np.lexsort((pairs.items, pairs.users))
    met = Ragged.of_lengths(np.bincount(pairs.users), pairs.items[order].astype(np.int32))
    histories = Histories(met, pairs.events[order], np.zeros(len(order), np.int64))
    folded = AlsFoldIn.of(items, SETTINGS.alpha, SETTINGS.regularization).vectors(items, histories)
    np.testing.assert_allclose(users, folded, rtol=2e-5, atol=2e-6)
    assert not items[-1].any()


@WAYS
def test_each_iteration_lowers_the_loss(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternating, "kernel", way)
    pairs = drawn(1)
    losses = [loss(pairs, *alternate(pairs, replace(SETTINGS, iterations=count))) for count in range(1, 7)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.98 * losses[0]


@WAYS
def test_the_same_pairs_give_the_same_bytes_in_any_order_on_any_cores(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alternating, "kernel", way)
    pairs = drawn(2)
    mixed = np.random.default_rng(0).permutation(len(pairs.users))
    again = Pairs(pairs.users[mixed], pairs.items[mixed], pairs.events[mixed], pairs.shape)
    first = alternate(pairs, SETTINGS)
    for cores in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        for mine, theirs in zip(first, alternate(again, SETTINGS), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(alternate(pairs, replace(SETTINGS, seed=7))[1], first[1])


@pytest.mark.slow
@pytest.mark.parametrize("terms", [4, 64])
def test_long_rows_are_added_up_in_parts(terms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternating, "kernel", lambda: None)
    pairs = drawn(3)
    whole = alternate(pairs, SETTINGS)
    monkeypatch.setattr(alternating, "_TERMS", terms)
    for mine, theirs in zip(whole, alternate(pairs, SETTINGS), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-5)


def test_both_ways_end_with_the_same_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = drawn(5)
    native = alternate(pairs, SETTINGS)
    monkeypatch.setattr(alternating, "kernel", lambda: None)
    for mine, theirs in zip(native, alternate(pairs, SETTINGS), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-5)


@WAYS
def test_numbers_that_are_too_large_end_in_factors_that_are_not_finite(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alternating, "kernel", way)
    assert not np.isfinite(alternate(drawn(4), replace(SETTINGS, alpha=1e300))[1]).all()
