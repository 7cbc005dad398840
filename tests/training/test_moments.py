"""The compiled sums over all items, each level of instructions of this machine, held against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import Kernel, kernels
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.softmax import log_normaliser
from personalize_spark.training.moments import listed_moments, moments
from personalize_spark.training.threads import all_cores

KERNELS = [*kernels()]
LEVELS = pytest.mark.parametrize("native", KERNELS, ids=lambda native: native.name)


def drawn(seed: int, users: int, items: int, rank: int, size: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Users, and items that are a part of a wider matrix."""
    random = np.random.default_rng(seed)
    wide = (random.standard_normal((items, rank + 1)) * size).astype(np.float32)
    return random.standard_normal((users, rank)).astype(np.float32), wide[:, :rank]


@LEVELS
@given(st.integers(0, 1000), st.integers(1, 200), st.integers(1, 70), st.sampled_from([0.0, 0.1, 10.0, 1e6]))
def test_sums_and_means_are_those_of_the_softmax(native: Kernel, seed: int, items: int, rank: int, size: float) -> None:
    users, factors = drawn(seed, 5, items, rank, size)
    random = np.random.default_rng(seed + 1)
    prior, anchors = random.random(items) * 5, random.standard_normal((5, 2))
    gaps = users.astype(np.float64) @ factors.astype(np.float64).T - anchors[:, :1]
    leads = prior - anchors[:, 1:]
    exponents = 1.7 * gaps + 0.8 * leads
    peaks = exponents.max(axis=1)
    weights = np.exp(exponents - peaks[:, None])
    sums = weights.sum(axis=1)
    expected = [peaks + np.log(sums), (weights * gaps).sum(axis=1) / sums, (weights * leads).sum(axis=1) / sums]
    found = moments(native, users, factors, (1.7, 0.8), prior, anchors)
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-8, atol=1e-9)


@LEVELS
def test_normalisers_are_numpys_whatever_the_batch(native: Kernel) -> None:
    users, factors = drawn(0, 300, 1000, 9, 1.0)
    with all_cores() as pool:
        found = moments(native, users, factors, (2.5, 0.0), pool=pool)[:, 0]
    np.testing.assert_allclose(found, log_normaliser(users, factors, 2.5), rtol=1e-14)
    for part in (slice(0, 1), slice(7, 80), slice(250, 300)):
        np.testing.assert_array_equal(moments(native, users[part], factors, (2.5, 0.0))[:, 0], found[part])


@LEVELS
def test_nobody_has_no_sums(native: Kernel) -> None:
    users, factors = drawn(0, 0, 10, 3, 1.0)
    assert moments(native, users, factors, (1.0, 0.0)).shape == (0, 3)


@LEVELS
@given(st.integers(0, 1000), st.integers(1, 200), st.sampled_from([0.0, 0.1, 10.0, 1e6]), st.sampled_from([0.0, 0.8]))
def test_products_that_are_mostly_0_have_the_sums_of_all(
    native: Kernel, seed: int, items: int, size: float, share: float
) -> None:
    random = np.random.default_rng(seed)
    there = random.random((4, items)) < np.array([0.0, 0.1, 0.7, 1.0])[:, None]
    products, prior = np.where(there, random.random((4, items)) * size, 0.0), random.random(items) * 5
    users, listed = np.nonzero(there)
    rest = np.exp(share * (prior - prior.max()))
    exponents = 1.7 * products + share * prior
    peaks = exponents.max(axis=1)
    weights = np.exp(exponents - peaks[:, None])
    sums = weights.sum(axis=1)
    expected = [peaks + np.log(sums), (weights * products).sum(axis=1) / sums, (weights * prior).sum(axis=1) / sums]
    lists = Ragged.of_lengths(there.sum(axis=1), listed.astype(np.int32))
    found = listed_moments(native, lists, products[users, listed], (1.7, share), prior, rest)
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-8, atol=1e-9)


@LEVELS
def test_a_listed_item_that_is_not_there_is_an_error(native: Kernel) -> None:
    lists = Ragged(np.array([0, 1]), np.array([3], np.int32))
    with pytest.raises(IndexError):
        listed_moments(native, lists, np.ones(1), (1.0, 1.0), np.zeros(3), np.ones(3))
