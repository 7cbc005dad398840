"""How products become exponents."""

from __future__ import annotations

import numpy as np
import pytest

from personalize_spark.scoring.curve import Curve

PRODUCTS = np.array([-2.0, -1e-9, 0.0, 1e-9, 0.5, 3.0, 400.0])


def test_without_a_bend_it_is_straight() -> None:
    assert Curve(2.0).exponents(PRODUCTS).tolist() == (2.0 * PRODUCTS).tolist()


@pytest.mark.parametrize("bend", [1e-6, 0.3, 1.0, 4.0])
def test_the_exponential_is_a_power_of_what_adds_up(bend: float) -> None:
    exponents = Curve(2.0, bend).exponents(PRODUCTS)
    above = PRODUCTS >= 0
    np.testing.assert_allclose(exponents[above], np.log(1 + bend * 2.0 * PRODUCTS[above]) / bend, rtol=1e-9, atol=1e-9)
    assert exponents[~above].tolist() == (2.0 * PRODUCTS[~above]).tolist()
    assert (np.diff(exponents) > 0).all()


def test_a_small_bend_is_hardly_one() -> None:
    np.testing.assert_allclose(Curve(2.0, 1e-9).exponents(PRODUCTS), 2.0 * PRODUCTS, rtol=1e-6)


@pytest.mark.parametrize("curve", [Curve(2.0), Curve(2.0, 0.3)])
def test_no_item_has_no_score(curve: Curve) -> None:
    assert curve.exponents(np.array([-np.inf])).tolist() == [-np.inf]
