from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.errors import InvalidInputException
from personalize_spark.filters.expression import (
    And,
    Comparison,
    Expression,
    Field,
    Filter,
    Membership,
    Or,
    Parameter,
    Values,
)
from personalize_spark.filters.parser import frozen, parse

CORPUS = (Path(__file__).parent / "corpus.txt").read_text().splitlines()


@pytest.mark.parametrize("text", CORPUS)
def test_every_published_expression_is_read_and_printed(text: str) -> None:
    parsed = parse(text)
    assert parse(str(parsed)) == parsed
    assert str(parse(str(parsed))) == str(parsed)


def test_the_corpus_is_whole() -> None:
    assert len(CORPUS) == 84


def test_keywords_and_names_may_be_in_any_case() -> None:
    text = 'exclude itemid where ITEMS.genre not in ("a") if currentuser.AGE >= 18'
    assert str(parse(text)) == 'EXCLUDE ItemID WHERE ITEMS.genre NOT IN ("a") IF currentuser.AGE >= 18'


def test_and_binds_tighter_than_or() -> None:
    [expression] = parse("INCLUDE ItemID WHERE Items.A = 1 OR Items.B = 2 AND Items.C = 3").expressions
    a, b, c = (Comparison(Field("Items", name), "=", Values((n,))) for n, name in enumerate("ABC", 1))
    assert expression.condition == Or((a, And((b, c))))
    [grouped] = parse("INCLUDE ItemID WHERE (Items.A = 1 OR Items.B = 2) AND Items.C = 3").expressions
    assert grouped.condition == And((Or((a, b)), c))


@pytest.mark.parametrize(
    "condition",
    [
        "(Items.A = 1 AND Items.B = 2) AND ((Items.C = 3))",
        "Items.A = 1 OR (Items.B = 2 OR Items.C = 3 AND (Items.D = 4 AND (Items.E = 5 OR Items.F = 6)))",
        "Items.A IN (0.00001, 100000000000000000000000.0, -7.0, 007)",
        f"Items.A = {'9' * 400}.5",
        'Items.A IN ("' + "(" * 150 + '")',
        'Items.A IN ("a\\\\", \'b\\\'\', "\n")',
    ],
)
def test_the_normal_form_is_read_as_the_same_tree(condition: str) -> None:
    parsed = parse(f"INCLUDE ItemID WHERE {condition}")
    assert parse(str(parsed)) == parsed


def test_parentheses_that_change_nothing_leave_no_trace() -> None:
    head = "INCLUDE ItemID WHERE "
    assert parse(f"{head}(Items.A = 1 AND (Items.B = 2 AND Items.C = 3))") == parse(
        f"{head}Items.A = 1 AND Items.B = 2 AND Items.C = 3"
    )


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20))
def test_literals_are_printed_as_they_are_read(number: float, text: str) -> None:
    given = Membership(Field("Items", "A"), negated=False, operand=Values((number, text)))
    [expression] = parse(str(Filter((Expression("INCLUDE", "ItemID", given),)))).expressions
    assert isinstance(expression.condition, Membership)
    assert expression.condition.operand == Values((number, text))


@pytest.mark.parametrize("text", ["IN ($G)", 'IN ("$G")', "in ( $G )"])
def test_a_placeholder_may_be_quoted(text: str) -> None:
    [expression] = parse(f"INCLUDE ItemID WHERE Items.GENRE {text}").expressions
    assert expression.condition == Membership(Field("Items", "GENRE"), negated=False, operand=Parameter("G"))


def test_literals_keep_quotes_escapes_and_foreign_letters() -> None:
    [expression] = parse("""INCLUDE ItemID WHERE Items.A IN ("a\\"b", 'it "is"', "Japan購入", -1.5, 7)""").expressions
    assert isinstance(expression.condition, Membership)
    assert expression.condition.operand == Values(('a"b', 'it "is"', "Japan購入", -1.5, 7))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "EXCLUDE ItemID Items.A IN (1)",
            "at character 16, 'EXCLUDE ItemID ' here -> 'Items.A IN (1)'; expected one of: 'WHERE'",
        ),
        ("EXCLUDE ItemID WHERE Items.A IN (", 'expected one of: a "text", a $PLACEHOLDER, a number'),
        ('INCLUDE ItemID WHERE Items.A IN ("a") AND', "expected one of: '(', a field."),
        ("DROP ItemID WHERE Items.A = 1", "expected one of: INCLUDE or EXCLUDE"),
        ('INCLUDE ItemID WHERE Items.A IN ("a")) ', "at character 38"),
        ("INCLUDE ItemID WHERE Items.A < < 3", "at character 32"),
        ('INCLUDE ItemID\nWHERE Items.A IN ("a")\n AND', "at line 3, character 5"),
        ("INCLUDE ItemID WHERE NOT Items.A > 5", 'Write NOT before IN: Items.GENRES NOT IN ("drama").'),
        (
            "INCLUDE ItemID WHERE Items.A IN ($A, $B)",
            "expected one of: ')'. One placeholder can stand for several values.",
        ),
        ("INCLUDE ItemID WHERE Items.A > 2020-01-01", "Times are numbers here: seconds since 1970"),
        (
            "INCLUDE ItemID WHERE Items.A > 1;",
            "expected one of: 'AND', 'IF', 'OR', '|', the end. Leave the semicolon out.",
        ),
        ('INCLUDE ItemID WHERE Items.A INN ("a")', "at character 30"),
        ('INCLUDE ItemID WHERE Items.A INN ("a")', "expected one of: =, !=, <, <=, > or >=, IN, NOT IN."),
        ('INCLUDE ItemID WHERE Items.A IN ("Drama)', "The quote is not closed."),
        ("INCLUDE ItemID WHERE Items.A = true", "Write texts in quotes."),
        ('INCLUDE ItemID WHERE A IN ("x")', "Write the dataset before the field: Items.GENRES."),
        ("", "1 to 2500 characters, not 0"),
        ("x" * 2501, "1 to 2500 characters, not 2501"),
        ("INCLUDE ItemID WHERE " + "(" * 150 + "Items.A = 1" + ")" * 150, "nested more than 100 levels"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text: str, said: str) -> None:
    with pytest.raises(InvalidInputException) as raised:
        parse(text)
    assert said in raised.value.message


PIECES = [
    "INCLUDE",
    "EXCLUDE",
    "ItemID",
    "WHERE",
    "Items.A",
    "IN",
    "NOT",
    "(",
    ")",
    '"a"',
    ",",
    "$P",
    "=",
    "<=",
    "AND",
    "OR",
    "IF",
    "|",
    "'",
    '"',
    "\\",
    "7",
    ".",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40))
def test_no_text_raises_anything_else(pieces: list[str]) -> None:
    try:
        parsed = parse(" ".join(pieces))
    except InvalidInputException:
        return
    assert parse(str(parsed)) == parsed


@given(st.sampled_from(CORPUS), st.integers(0, 200), st.integers(0, 3), st.text(max_size=3))
def test_no_damage_to_a_published_one_raises_anything_else(text: str, place: int, gone: int, new: str) -> None:
    damaged = text[:place] + new + text[place + gone :]
    try:
        parsed = parse(damaged)
    except InvalidInputException:
        return
    assert parse(str(parsed)) == parsed


@pytest.mark.parametrize("unit", ["(", '"a",', "Items.A = 1 AND ", "INCLUDE ", "\\", '"', "$A "])
def test_hostile_texts_of_full_length_cost_little(unit: str) -> None:
    started = time.process_time()
    for head in ("", "INCLUDE ItemID WHERE ", "INCLUDE ItemID WHERE Items.A IN ("):
        with pytest.raises(InvalidInputException):
            parse((head + unit * 2_500)[:2_500])
    assert time.process_time() - started < 5  # seconds where a quadratic reader would need minutes


def test_now_is_the_time_of_reading() -> None:
    before = int(time.time())
    texts = {"NOW()": 0, "now ( ) - 30 DAYS": -30 * 86_400, "NOW() + 2 hours": 7_200, "(NOW()-1 Week)": -604_800}
    for text, seconds in texts.items():
        [expression] = parse(f"INCLUDE ItemID WHERE Items.T > {text} AND Items.U = 1").expressions
        assert isinstance(expression.condition, And)
        [comparison, _] = expression.condition.parts
        assert isinstance(comparison, Comparison)
        assert isinstance(comparison.operand, Values)
        [literal] = comparison.operand.literals
        assert isinstance(literal, int)
        assert before <= literal - seconds <= time.time()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NOW", "'.'"),
        ("NOW() - DAYS", "a whole number"),
        ("NOW() - 30", "SECONDS, MINUTES, HOURS, DAYS or WEEKS"),
        ("NOW() 30 DAYS", "+ or -"),
        ("NOW() - 1.5 DAYS", "SECONDS, MINUTES"),
    ],
)
def test_what_is_no_relative_time_is_refused(text: str, expected: str) -> None:
    with pytest.raises(InvalidInputException) as error:
        parse(f"INCLUDE ItemID WHERE Items.T > {text}")
    assert expected in error.value.message.partition("expected one of")[2]


def test_only_what_has_now_is_frozen() -> None:
    written = 'include itemid where Items.G in ("NOW()")'
    assert frozen(written) is written
    assert re.fullmatch(
        r"INCLUDE ItemID WHERE Items\.T > \d{10}", frozen("include itemid where Items.T > now() - 1 day")
    )
