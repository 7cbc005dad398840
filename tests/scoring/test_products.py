from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from personalize_spark.scoring.products import paired_products, products

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def by_hand(user: NDArray[np.float32], item: NDArray[np.float32]) -> float:
    """The halving tree in Python floats."""
    terms = [float(a) * float(b) for a, b in zip(user, item, strict=True)]
    while len(terms) & (len(terms) - 1) or not terms:
        terms.append(0.0)
    while len(terms) > 1:
        half = len(terms) // 2
        terms = [terms[k] + terms[half + k] for k in range(half)]
    return terms[0]


@given(st.integers(1, 70).flatmap(lambda width: arrays(np.float32, (2, width), elements=FLOATS)))
def test_a_product_is_the_halving_tree_of_exact_terms(pair: NDArray[np.float32]) -> None:
    assert products(pair[0], pair[1]) == by_hand(pair[0], pair[1])


def test_shapes_broadcast() -> None:
    users, items = np.ones((3, 1, 5), np.float32), np.arange(20, dtype=np.float32).reshape(4, 5)
    assert products(users, items).tolist() == [[10.0, 35.0, 60.0, 85.0]] * 3


def test_vectors_without_a_component_have_a_product_of_zero() -> None:
    assert products(np.empty((2, 0), np.float32), np.empty((2, 0), np.float32)).tolist() == [0.0, 0.0]


def test_a_pair_has_the_same_product_in_any_company() -> None:
    rng = np.random.default_rng(0)
    for width in (1, 3, 8, 16, 50, 64):
        users = rng.standard_normal((40, width)).astype(np.float32)
        items = rng.standard_normal((60, width)).astype(np.float32)
        rows, columns = rng.integers(0, 40, 1300), rng.integers(0, 60, 1300)
        expected = [by_hand(users[row], items[column]) for row, column in zip(rows, columns, strict=True)]
        assert paired_products(users, rows, items, columns).tolist() == expected
        assert products(users[rows], items[columns]).tolist() == expected
        assert paired_products(users, rows[7:8], items, columns[7:8]).tolist() == expected[7:8]


def test_no_pairs_have_no_products() -> None:
    users, none = np.ones((2, 3), np.float32), np.empty(0, np.int64)
    assert paired_products(users, none, users, none).shape == (0,)
