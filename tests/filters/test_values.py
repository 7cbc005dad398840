from __future__ import annotations

from typing import Any

import pytest

from personalize_spark.filters.values import BadValue, check_values, number, split_values, typed_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('"drama"', ("drama",)),
        ('"horror","comedy"', ("horror", "comedy")),
        ('"tech", "non tech"', ("tech", "non tech")),
        ("1465413032", ("1465413032",)),
        ('"0"', ("0",)),
        ("drama", ("drama",)),
        ("a b, c", ("a b", "c")),
        ('"a,b"', ("a,b",)),
        ('"a\\"b"', ('a"b',)),
        ('""', ("",)),
        ('"open', ()),
        ('a"b', ()),
        ("", ()),
        (",", ()),
    ],
)
def test_the_services_odd_form_is_read(text: str, values: tuple[str, ...]) -> None:
    assert split_values(text) == values


@pytest.mark.parametrize("text", ["0", '"0"', " 0 "])
def test_a_number_may_be_quoted(text: str) -> None:
    assert typed_values("CUTOFF", text, "long") == (0,)


@pytest.mark.parametrize(
    ("text", "value"), [("7", 7), ("-7.5", -7.5), ("9007199254740993", 9007199254740993), ("1e3", 1000), ("x", None)]
)
def test_numbers(text: str, value: float | None) -> None:
    assert number(text) == value


def test_a_wrong_value_names_its_placeholder() -> None:
    assert typed_values("YEAR", '"new"', "long") == BadValue("filterValues: the value of $YEAR must be a number")
    assert isinstance(typed_values("G", '"open', "string"), BadValue)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "must be an object"),
        ({f"P{n}": "1" for n in range(26)}, "26 placeholders, more than 25"),
        ({"x" * 51: "1"}, "is no name of a placeholder"),
        ({"A B": "1"}, "is no name of a placeholder"),
        ({"A": ["x"]}, "$A must be a string"),
        ({"A": None}, "$A must be a string"),
        ({"A": "x" * 1001}, "$A has more than 1000 characters"),
    ],
)
def test_the_limits_are_the_services(values: Any, said: str) -> None:
    bad = check_values(values)
    assert bad is not None
    assert said in bad.message


def test_good_values_pass() -> None:
    assert check_values({"GENRE": '"a"', "YEAR": "1995", "N": 7}) is None
