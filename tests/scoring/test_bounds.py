from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from personalize_spark.scoring import bounds
from personalize_spark.scoring.products import products

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def matrices(rows: int) -> st.SearchStrategy[NDArray[np.float32]]:
    return arrays(np.float32, (rows, 6), elements=FLOATS)


@given(matrices(4), matrices(5))
def test_scaled_float32_products_are_within_the_margin(users: NDArray[np.float32], items: NDArray[np.float32]) -> None:
    lengths, item = bounds.norms(users), float(bounds.norms(items).max())
    shifts = bounds.shifts(lengths, item)
    scores = np.ldexp(users, shifts[:, None]) @ items.T
    exact = np.ldexp(products(users[:, None], items), shifts[:, None])
    margins = bounds.margins(np.ldexp(lengths, shifts), item, 6)
    assert np.isfinite(scores).all()
    assert (np.abs(scores - exact) <= margins[:, None]).all()


@pytest.mark.slow
def test_the_margin_covers_sums_that_cancel() -> None:
    rng = np.random.default_rng(1)
    users = rng.standard_normal((200, 64)).astype(np.float32)
    items = np.concatenate((users[:, :32], -users[:, :32]), axis=1) * np.float32(1 + 2**-20)
    scores = users @ items.T
    margins = bounds.margins(bounds.norms(users), float(bounds.norms(items).max()), 64)
    assert (np.abs(scores - products(users[:, None], items)) <= margins[:, None]).all()


@given(matrices(3))
def test_bounds_are_not_below_the_norms(factors: NDArray[np.float32]) -> None:
    assert (bounds.norm_bounds(factors) >= [np.sqrt(sum(float(x) ** 2 for x in row)) for row in factors]).all()


def test_a_bound_of_subnormal_factors_is_not_rounded_down() -> None:
    assert float(bounds.norm_bounds(np.full((1, 2), 2.0**-149, np.float32))[0]) > 2.0**-149


@given(matrices(8), matrices(4), matrices(5))
def test_norms_in_a_basis_bound_the_products(
    sample: NDArray[np.float32], users: NDArray[np.float32], items: NDArray[np.float32]
) -> None:
    basis = bounds.spread(sample)
    lengths = np.minimum(bounds.norm_bounds(items, basis).astype(np.float64), 2.0**140)
    reach = bounds.norms(users, bounds.dual(basis))[:, None] * lengths
    assert (reach >= np.abs(products(users[:, None], items)) * (1 - 2.0**-40)).all()
    assert (bounds.norm_bounds(items, basis) >= bounds.norms(items)).all()


def test_a_basis_of_spread_users_bounds_typical_products_sharply() -> None:
    rng = np.random.default_rng(2)
    users = (rng.standard_normal((500, 16)) * np.geomspace(1, 0.05, 16)).astype(np.float32)
    items = rng.standard_normal((300, 16)).astype(np.float32)
    basis = bounds.spread(users)
    sharp = bounds.norms(users, bounds.dual(basis))[:, None] * bounds.norms(items, basis)
    assert sharp.mean() < 0.8 * (bounds.norms(users)[:, None] * bounds.norms(items)).mean()


@pytest.mark.parametrize("item", [0.0, 1e-45, 1e-30, 1.0, 3e38, 2.0**140])
def test_scaling_is_exact_and_neither_overflows_nor_vanishes(item: float) -> None:
    users = np.array([[1e-45, 0], [3e38, 3e38], [1, -1]], np.float32)
    shifts = bounds.shifts(bounds.norms(users), item)
    scaled = np.ldexp(users, shifts[:, None])
    assert np.isfinite(scaled).all()
    assert (scaled.astype(np.float64) == np.ldexp(users.astype(np.float64), shifts[:, None])).all()


def test_a_bound_beyond_float32_is_cut_to_a_finite_number() -> None:
    factors = np.full((1, 4), 3e38, np.float32)
    assert bounds.norm_bounds(factors)[0] == np.inf
    assert bounds.norms(factors)[0] < bounds.finite(bounds.norm_bounds(factors)[0]) < np.inf
