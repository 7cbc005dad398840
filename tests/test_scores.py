from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from personalize_spark.scores import relevance_texts, score_texts

# Tokens that the managed service wrote.
REAL_RUN = [
    "0.8449224",
    "0.0186943",
    "0.008885",
    "0.0148014",
    "0.013021",
    "0.007999",
    "0.11432",
    "3.773E-4",
    "7.699E-4",
    "7.17E-5",
    "6.78E-5",
    "3.1E-5",
    "0.0152238",
    "0.006394",
    "0.014991",
    "0.00341",
    "0.48421",
    "0.0012491",
]


def text(score: float) -> str:
    [printed] = score_texts(np.array([score])).to_pylist()
    return str(printed.decode())


def java(score: float) -> str:
    """Seven decimals of the exact binary value, half even, as `Double.toString` spells them."""
    rounded = Decimal(score).quantize(Decimal("1e-7"), ROUND_HALF_EVEN).normalize()
    if rounded == 0:
        return "0.0"
    sign, digits, exponent = rounded.as_tuple()
    assert sign == 0
    assert isinstance(exponent, int)
    if rounded >= Decimal("1e-3"):
        plain = f"{rounded:f}"
        return plain if "." in plain else plain + ".0"
    mantissa = "".join(map(str, digits))
    return f"{mantissa[0]}.{mantissa[1:] or '0'}E-{-(exponent + len(digits) - 1)}"


@pytest.mark.parametrize("token", REAL_RUN)
def test_the_tokens_of_the_real_run_print_as_they_were(token: str) -> None:
    assert text(float(token)) == token
    assert text(float(token) + 1e-9) == token


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (1e-3, "0.001"),
        (9.999e-4, "9.999E-4"),
        (1e-7, "1.0E-7"),
        (4e-8, "0.0"),
        (-0.0, "0.0"),
        (9.9999996e-4, "0.001"),
        (math.nextafter(1.0, 2.0), "1.0"),  # a sum of rounded numbers may pass 1 by its last bit
    ],
)
def test_the_edges(score: float, expected: str) -> None:
    assert text(score) == expected


@given(st.floats(0, 1))
@example(1 / 256)  # exactly 0.00390625: a tie, to the even 0.0039062
@example(3 / 256)  # exactly 0.01171875: to the even 0.0117188
@example(5e-8)
@example(0.00000015)
@example(5e-324)
@example(0.99999995)
@example(0.00049999999999999)
@example(2.5e-7)  # just below a tie or just above it, as the nearest double falls
@example(3.5e-7)
@example(1 - 2**-53)
@example(2.2250738585072014e-308)
def test_any_score_prints_as_java_prints_it(score: float) -> None:
    assert text(score) == java(score)


@given(st.integers(0, 9_999_999), st.integers(-3, 3))
def test_the_neighbours_of_a_tie_fall_on_their_own_side(units: int, steps: int) -> None:
    score = (units + 0.5) / 1e7
    for _ in range(abs(steps)):
        score = math.nextafter(score, math.copysign(2, steps))
    assert text(score) == java(score)


@given(st.integers(0, 10_000_000))
def test_every_printed_number_is_what_it_says(units: int) -> None:
    printed = text(units / 1e7)
    assert printed == java(units / 1e7)
    assert round(float(printed) * 1e7) == units


def test_many_scores_print_like_each_alone() -> None:
    scores = np.random.default_rng(5).beta(0.2, 5, 2_000)
    assert [each.decode() for each in score_texts(scores).to_pylist()] == [java(score) for score in scores]


def test_relevance_is_a_float32_in_its_shortest_text() -> None:
    scores = np.array([0.19994527, -0.188913, 0.0, 0.5, 1e-5, -3.25e-7], np.float32)
    texts = [each.as_py().decode() for each in relevance_texts(scores)]
    assert texts == ["0.19994527", "-0.188913", "0.0", "0.5", "0.00001", "-0.000000325"]
    assert np.array([*map(float, texts)], np.float32).tolist() == scores.tolist()
