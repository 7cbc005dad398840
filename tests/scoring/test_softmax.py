from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.softmax import log_normaliser, probabilities


def by_definition(user: list[float], items: list[list[float]], temperature: float) -> float:
    """``log sum exp`` of exact products, far from the code's way: largest first, then `math`-like sums of fractions."""
    scores = [float(sum(Fraction(a) * Fraction(b) for a, b in zip(user, item, strict=True))) for item in items]
    top = max(scores) * temperature
    return top + float(np.log(float(sum(Fraction(float(np.exp(s * temperature - top))) for s in scores))))


@pytest.mark.parametrize("temperature", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 20.0])
def test_the_normaliser_is_log_sum_exp(temperature: float, scale: float) -> None:
    rng = np.random.default_rng(0)
    users = (rng.standard_normal((3, 5)) * scale).astype(np.float32)
    items = rng.standard_normal((40, 5)).astype(np.float32)
    expected = [by_definition(user, items.tolist(), temperature) for user in users.tolist()]
    np.testing.assert_allclose(log_normaliser(users, items, temperature), expected, rtol=1e-13, atol=1e-13)


def test_many_tiles_give_the_same_as_one() -> None:
    rng = np.random.default_rng(1)
    users = rng.standard_normal((130, 8)).astype(np.float32)
    items = (rng.standard_normal((9000, 8)) * np.linspace(0, 3, 9000)[:, None]).astype(np.float32)
    scores = users.astype(np.float64) @ items.astype(np.float64).T * 2.0
    expected = np.logaddexp.reduce(scores, axis=1)
    np.testing.assert_allclose(log_normaliser(users, items, 2.0), expected, rtol=1e-13)


def test_large_products_do_not_overflow() -> None:
    users, items = np.full((1, 1), 1e20, np.float32), np.array([[1.0], [-1.0], [1.0]], np.float32)
    assert log_normaliser(users, items, 1.0)[0] == pytest.approx(float(np.float32(1e20)))


def test_probabilities_sum_to_one_over_all_items() -> None:
    rng = np.random.default_rng(2)
    users, items = rng.standard_normal((4, 6)).astype(np.float32), rng.standard_normal((500, 6)).astype(np.float32)
    products = users.astype(np.float64) @ items.astype(np.float64).T
    scores = probabilities(products, log_normaliser(users, items, 3.0), Curve(3.0))
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-12)


def test_no_item_has_no_probability() -> None:
    assert probabilities(np.array([[1.0, -np.inf]]), np.array([1.0]), Curve()).tolist() == [[1.0, 0.0]]


def test_no_candidates_have_no_mass() -> None:
    assert log_normaliser(np.ones((2, 3), np.float32), np.empty((0, 3), np.float32), 1.0).tolist() == [-np.inf] * 2


def test_no_users_have_no_normalisers() -> None:
    assert log_normaliser(np.empty((0, 3), np.float32), np.ones((5, 3), np.float32), 1.0).shape == (0,)
