from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import Kernel, kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training import fold_in
from personalize_spark.training.fold_in import AlsFoldIn, Histories, NewestFoldIn, RecentFoldIn, fold_in_of, gram

ALPHA, REGULARIZATION = 3.0, 0.5


def solved(
    factors: NDArray[np.float32], items: NDArray[np.int32], events: NDArray[np.float32], offsets: NDArray[np.int64]
) -> NDArray[np.float32]:
    histories = Histories(Ragged(offsets, items), events, np.zeros(len(items), np.int64))
    return AlsFoldIn(gram(factors), ALPHA, REGULARIZATION).vectors(factors, histories)


def loss(x: NDArray[np.float64], factors: NDArray[np.float64], events: NDArray[np.float64]) -> float:
    """What ALS minimises for one user: every item, weighted by its confidence, plus the weighted regularisation."""
    errors = (events > 0) - factors @ x
    return float(((1 + ALPHA * events) * errors**2).sum() + REGULARIZATION * (events > 0).sum() * (x @ x))


@given(
    st.integers(0, 1000), st.integers(1, 5), st.lists(st.sets(st.integers(0, 11), min_size=1), min_size=1, max_size=4)
)
def test_a_vector_minimises_the_loss_over_all_items(seed: int, rank: int, histories: list[set[int]]) -> None:
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((12, rank)).astype(np.float32)
    items = np.concatenate([sorted(history) for history in histories]).astype(np.int32)
    events = rng.integers(1, 6, len(items)).astype(np.float32)
    offsets = np.cumsum([0, *map(len, histories)])
    vectors = solved(factors, items, events, offsets).astype(np.float64)
    for user, vector in enumerate(vectors):
        entries = slice(offsets[user], offsets[user + 1])
        counts = np.zeros(12)
        counts[items[entries]] = events[entries]
        least = loss(vector, factors.astype(np.float64), counts)
        for _ in range(20):
            other = vector + rng.standard_normal(rank) * 0.05
            assert loss(other, factors.astype(np.float64), counts) > least


@pytest.mark.parametrize("way", [kernel, lambda: None], ids=["native", "numpy"])
def test_many_users_are_solved_as_one_by_one(way: Callable[[], Kernel | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_in, "kernel", way)
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((30, 4)).astype(np.float32)
    items = np.concatenate([rng.permutation(30)[:3] for _ in range(600)]).astype(np.int32)
    events, offsets = np.ones(len(items), np.float32), np.arange(601) * 3
    together = solved(factors, items, events, offsets)
    for user in (0, 255, 256, 599):
        part = slice(3 * user, 3 * user + 3)
        alone = solved(factors, items[part], events[part], np.array([0, 3]))
        np.testing.assert_array_equal(together[user], alone[0])


@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 9), st.integers(1, 4)), elements=st.floats(-8, 8, width=16)))
def test_the_gram_matrix_is_the_sum_of_outer_products(factors: NDArray[np.float32]) -> None:
    outer = [np.outer(row, row) for row in factors.astype(np.float64)]
    np.testing.assert_allclose(gram(factors), np.sum(outer, axis=0) if outer else np.zeros((factors.shape[1],) * 2))


def test_the_newest_items_count_most(monkeypatch: pytest.MonkeyPatch) -> None:
    source = np.eye(4, dtype=np.float32)
    histories = Histories(
        Ragged(np.array([0, 4, 5]), np.array([0, 1, 3, 2, 1], np.int32)),
        np.ones(5, np.float32),
        np.array([30, 10, 20, 20, 7], np.int64),
    )
    expected = np.array(
        [[1, 0.125, 0.5, 0.25], [0, 1, 0, 0]], np.float32
    )  # of items met at once the later one, which has the higher id, is the newer, whatever its row
    np.testing.assert_allclose(RecentFoldIn(1.0).vectors(source, histories), expected)
    monkeypatch.setattr(fold_in, "_TERMS", 8)  # two rows at a time: users are cut in two
    np.testing.assert_allclose(RecentFoldIn(1.0).vectors(source, histories), expected)


def test_the_newest_items_are_a_user_as_they_are() -> None:
    histories = Histories(
        Ragged(np.array([0, 4, 5]), np.array([0, 1, 3, 2, 1], np.int32)),
        np.ones(5, np.float32),
        np.array([30, 10, 20, 20, 7]),
    )
    fold_in = fold_in_of(NewestFoldIn(3).properties(), {})
    assert fold_in.vectors(np.zeros((4, 0), np.float32), histories).tolist() == [[0, 2, 3], [1, -1, -1]]


def test_items_that_lead_nowhere_make_vectors_without_components() -> None:
    histories = Histories(Ragged(np.array([0, 2]), np.array([1, 0], np.int32)), np.ones(2, np.float32), np.arange(2))
    assert RecentFoldIn(1.0).vectors(np.zeros((2, 0), np.float32), histories).shape == (1, 0)
