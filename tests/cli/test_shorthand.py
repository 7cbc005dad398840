from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.cli.shorthand import parse
from personalize_spark.errors import InvalidInputException


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("dataLocation=s3://acme/in.csv", {"dataLocation": "s3://acme/in.csv"}),
        ("s3DataSource={path=s3://acme/in,kmsKeyArn=k}", {"s3DataSource": {"path": "s3://acme/in", "kmsKeyArn": "k"}}),
        ("a={b={c=d}},e=f", {"a": {"b": {"c": "d"}}, "e": "f"}),
        ("a=[1,2],b=[],c={}", {"a": ["1", "2"], "b": [], "c": {}}),
        ("a=[{b=1},{b=2}]", {"a": [{"b": "1"}, {"b": "2"}]}),
        ("a=x=y", {"a": "x=y"}),
        (r'a="x, y",b=\,,c="say \"hi\""', {"a": "x, y", "b": ",", "c": 'say "hi"'}),
        (" a = x , b = y ", {"a": "x", "b": "y"}),
        ("a=", {"a": ""}),
        ("k1,k2", ["k1", "k2"]),
        ("k1", ["k1"]),
    ],
)
def test_values_are_those_of_the_aws_cli(text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize("text", ["a={b=1", "a=[1", "a=1,", "a=1,b", "a=1,a=2", "a={b}", 'a="x"y', "a=1}"])
def test_what_is_no_shorthand_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InvalidInputException, match=r"is not a value in shorthand: .* at character \d+"):
        parse(text)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"[A-Za-z]{1,4}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=6,
)


def spell(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}={spell(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(spell, value)) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


@given(VALUES)
def test_every_value_can_be_spelled(value: Any) -> None:
    assert parse(f"a={spell(value)}") == {"a": value}
