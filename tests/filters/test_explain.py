"""What is said of a filter: as text, and against the row-by-row interpreter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize_spark.filters.binding import bind
from personalize_spark.filters.explain import (
    Clause,
    Line,
    Share,
    dropped_by,
    explain_group,
    explain_line,
    fields_of,
    kept,
    outline,
    placeholders_of,
)
from personalize_spark.filters.expression import Filter
from personalize_spark.filters.mask import Columns
from personalize_spark.filters.parser import parse
from personalize_spark.filters.values import BadValue
from tests.filters.interpreter import User, allowed, refuses
from tests.filters.test_selector import FILTER, ROW, SCHEMA, USER, VALUES, columns_of

CORPUS = (Path(__file__).parent / "corpus.txt").read_text().splitlines()
ROWS: list[dict[str, Any]] = [{"GENRE": "drama|horror", "YEAR": 1990}, {"GENRE": "comedy"}, {"YEAR": 2000}, {}]
EVENTS = ["click", "watch"]
COLUMNS = columns_of(ROWS)
NOTHING = Line(None, {}, np.empty(0, np.int64), [])
DRAMA = 'Items.GENRE IN ("drama")'
WATCHED = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")'


def tree(clauses: list[Clause] | BadValue) -> list[str]:
    assert not isinstance(clauses, BadValue)
    return [line for each in clauses for line in each.lines()]


def of_line(text: str, line: Line = NOTHING, columns: Columns = COLUMNS) -> list[Clause]:
    clauses = explain_line(bind(parse(text), SCHEMA), columns, line)
    assert not isinstance(clauses, BadValue)
    return clauses


def dropping(text: str, row: int, line: Line = NOTHING) -> list[str]:
    return dropped_by(of_line(text, line), COLUMNS, line, row)


def test_the_outline_is_the_tree_as_it_was_written() -> None:
    text = 'exclude itemid where (items.genre in ("drama") or Items.YEAR < $Y) and ITEMS.x = 1 if CurrentUser.AGE > 18'
    assert tree(outline(parse(text))) == [
        "EXCLUDE ItemID",
        "    all of",
        "        any of",
        '            items.genre IN ("drama")',
        "            Items.YEAR < $Y",
        "        ITEMS.x = 1",
        "    IF",
        "        CurrentUser.AGE > 18",
    ]


@pytest.mark.parametrize("text", CORPUS)
def test_every_published_expression_has_an_outline(text: str) -> None:
    parsed = parse(text)
    said = [line.strip() for line in tree(outline(parsed))]
    assert [str(leaf) for each in parsed.expressions for leaf in each.leaves()] == [
        line for line in said if line not in {"all of", "any of", "IF"} and not line.startswith(("INCLUDE", "EXCLUDE"))
    ]


def test_what_no_line_changes_has_its_share_of_the_items() -> None:
    text = f"INCLUDE ItemID WHERE {DRAMA} AND (Items.YEAR > 1980 OR Items.YEAR < $Y) | EXCLUDE ItemID WHERE Items.YEAR = 2000"
    clauses = explain_group(bind(parse(text), SCHEMA), COLUMNS, EVENTS)
    assert tree(clauses) == [
        "INCLUDE ItemID  [depends on the line]",
        "    all of",
        f"        {DRAMA}  [holds for 1 of 4 items (25.00%)]",
        "        any of",
        "            Items.YEAR > 1980  [holds for 2 of 4 items (50.00%)]",
        "            Items.YEAR < $Y",
        "EXCLUDE ItemID  [keeps 3 of 4 items (75.00%)]",
        "    Items.YEAR = 2000  [holds for 1 of 4 items (25.00%)]",
    ]
    assert kept(clauses, COLUMNS) is None


def test_together_a_filter_keeps_what_an_include_keeps_less_what_an_exclude_drops() -> None:
    text = "INCLUDE ItemID WHERE Items.YEAR > 1980 | INCLUDE ItemID WHERE Items.GENRE IN ('comedy') | "
    bound = bind(parse(text + "EXCLUDE ItemID WHERE Items.YEAR = 2000"), SCHEMA)
    assert kept(explain_group(bound, COLUMNS, EVENTS), COLUMNS) == Share(2, 4)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (f"EXCLUDE ItemID WHERE {DRAMA} IF CurrentUser.AGE > 1", "keeps 3 of 4 items (75.00%), where its IF is met"),
        (WATCHED, "depends on the line; it matches watch of the event types click, watch"),
        (WATCHED.replace("watch", "wach"), "depends on the line; it matches none of the event types click, watch"),
        ("INCLUDE ItemID WHERE Items.YEAR < CurrentItem.YEAR", "depends on the line"),
        ("INCLUDE ItemID WHERE Items.YEAR < $Y IF CurrentUser.AGE > 1", "depends on the line"),
    ],
)
def test_what_a_line_decides_is_left_open(text: str, note: str) -> None:
    clauses = explain_group(bind(parse(text), SCHEMA), COLUMNS, EVENTS)
    assert [each.note for each in clauses] == [note]
    assert kept(clauses, COLUMNS) is None


def test_fields_and_placeholders_are_told_with_what_they_want() -> None:
    text = (
        "INCLUDE ItemID WHERE items.genre IN ($G) AND Items.YEAR < $N | EXCLUDE ItemID WHERE Items.PRICE = $N AND "
        "Items.YEAR > CurrentItem.YEAR IF CurrentUser.AGE = $A"
    )
    bound = bind(parse(text), SCHEMA)
    assert fields_of(bound) == [
        "Items.GENRE: string",
        "Items.YEAR: long",
        "Items.PRICE: double",
        "CurrentItem.YEAR: long",
        "CurrentUser.AGE: long",
    ]
    assert placeholders_of(bound) == [
        "$G: one or more texts, for Items.GENRE (string); without it the line is an error line",
        "$N: one number, for Items.YEAR (long); without it the line is an error line",
        "$N: one number, for Items.PRICE (double); without it the expression has no effect",
        "$A: one number, for CurrentUser.AGE (long); without it the expression has no effect",
    ]


def test_a_line_puts_its_values_in() -> None:
    text = (
        "INCLUDE ItemID WHERE Items.GENRE IN ($G) OR Items.YEAR > CurrentItem.YEAR | "
        "EXCLUDE ItemID WHERE Items.PRICE > $P | "
        f"EXCLUDE ItemID WHERE {DRAMA} IF CurrentUser.AGE > $A | {WATCHED} IF CurrentUser.AGE < $A"
    )
    values = {"G": '"drama","comedy"', "A": "18"}
    line = Line(values, {"AGE": 30}, np.array([0, 1]), ["Watch", "click"], 0)
    clauses = of_line(text, line)
    assert tree(clauses) == [
        "INCLUDE ItemID  [keeps 3 of 4 items (75.00%)]",
        "    any of  [holds for 3 of 4 items (75.00%)]",
        '        Items.GENRE IN ($G), where $G is ("drama", "comedy")  [holds for 2 of 4 items (50.00%)]',
        "        Items.YEAR > CurrentItem.YEAR, where CurrentItem.YEAR is (1990)  [holds for 1 of 4 items (25.00%)]",
        "EXCLUDE ItemID  [no effect, filterValues has no value for $P]",
        "    Items.PRICE > $P",
        "EXCLUDE ItemID  [keeps 3 of 4 items (75.00%); its IF is met: CurrentUser.AGE is 30, $A is 18]",
        f"    {DRAMA}  [holds for 1 of 4 items (25.00%)]",
        "    IF",
        "        CurrentUser.AGE > $A",
        "EXCLUDE ItemID  [no effect, its IF is not met: CurrentUser.AGE is 30, $A is 18]",
        '    Interactions.EVENT_TYPE IN ("watch")',
        "    IF",
        "        CurrentUser.AGE < $A",
    ]
    assert kept(clauses, COLUMNS) == Share(2, 4)


def test_what_an_item_or_a_user_lacks_is_called_missing() -> None:
    text = f"EXCLUDE ItemID WHERE Items.YEAR < CurrentItem.YEAR | EXCLUDE ItemID WHERE {DRAMA} IF CurrentUser.AGE > 1"
    said = tree(of_line(text, replace(NOTHING, current=4)))
    assert (
        said[1]
        == "    Items.YEAR < CurrentItem.YEAR, where CurrentItem.YEAR is missing  [holds for 0 of 4 items (0.00%)]"
    )
    assert said[2] == "EXCLUDE ItemID  [no effect, its IF is not met: CurrentUser.AGE is missing]"


@pytest.mark.parametrize(
    ("text", "row", "said"),
    [
        (f"EXCLUDE ItemID WHERE {DRAMA}", 0, [f"EXCLUDE (expression 1): {DRAMA}, its GENRE is drama|horror"]),
        (f"EXCLUDE ItemID WHERE {DRAMA}", 1, []),
        (
            f"EXCLUDE ItemID WHERE {DRAMA} OR Items.YEAR < 5 OR Items.PRICE NOT IN (3)",
            0,
            [
                f"EXCLUDE (expression 1): {DRAMA}, its GENRE is drama|horror; Items.PRICE NOT IN (3), its PRICE is missing"
            ],
        ),
        (
            f"INCLUDE ItemID WHERE {DRAMA} AND (Items.YEAR > 5 OR Items.PRICE > 5)",
            1,
            [
                (
                    f"INCLUDE (expression 1): {DRAMA}, its GENRE is comedy; Items.YEAR > 5, its YEAR is missing; "
                    "Items.PRICE > 5, its PRICE is missing"
                )
            ],
        ),
        (
            f"INCLUDE ItemID WHERE {DRAMA} AND (Items.YEAR > 5 OR Items.PRICE > 5)",
            2,
            [f"INCLUDE (expression 1): {DRAMA}, its GENRE is missing"],
        ),
        (
            f"INCLUDE ItemID WHERE {DRAMA} | EXCLUDE ItemID WHERE Items.YEAR = 2000",
            2,
            [
                f"INCLUDE (expression 1): {DRAMA}, its GENRE is missing",
                "EXCLUDE (expression 2): Items.YEAR = 2000, its YEAR is 2000",
            ],
        ),
    ],
)
def test_an_item_is_dropped_by_the_comparisons_that_decide(text: str, row: int, said: list[str]) -> None:
    assert dropping(text, row) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WATCHED, 'EXCLUDE (expression 1): Interactions.EVENT_TYPE IN ("watch"), the user did Watch, click'),
        (
            'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("other")',
            'INCLUDE (expression 1): Interactions.EVENT_TYPE IN ("other"), the user did Watch, click',
        ),
        (
            'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch") AND Interactions.EVENT_TYPE IN ("click")',
            (
                'INCLUDE (expression 1): Interactions.EVENT_TYPE IN ("watch"), the user did Watch, click; '
                'Interactions.EVENT_TYPE IN ("click"), the user did Watch, click'
            ),
        ),
    ],
)
def test_an_item_is_dropped_by_what_the_user_did(text: str, said: str) -> None:
    line = Line(None, {}, np.array([2, 2]), ["click", "Watch"])
    assert dropping(text, 2, line) == [said]


def test_or_by_what_the_user_did_not_do() -> None:
    [said] = dropping('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', 0)
    assert said.endswith("the user did nothing with it")


@pytest.mark.parametrize("values", [[], {"G": 1.5, "": 1}, {"G": '"open'}, {}, None])
def test_bad_values_are_said_and_not_raised(values: Any) -> None:
    bound = bind(parse("INCLUDE ItemID WHERE Items.GENRE IN ($G)"), SCHEMA)
    said = explain_line(bound, COLUMNS, replace(NOTHING, values=values))
    assert isinstance(said, BadValue)
    assert "filterValues" in said.message


def test_values_that_nothing_asks_for_are_ignored() -> None:
    assert tree(of_line(WATCHED, replace(NOTHING, values="?")))[0] == "EXCLUDE ItemID  [keeps 4 of 4 items (100.00%)]"


def test_a_group_without_items_has_shares_of_nothing() -> None:
    columns = columns_of([])
    assert str(kept(explain_group(bind(parse(f"EXCLUDE ItemID WHERE {DRAMA}"), SCHEMA), columns, EVENTS), columns)) == (
        "0 of 0 items"
    )


@pytest.mark.slow
@settings(max_examples=5 * settings().max_examples)
@given(FILTER, st.lists(ROW, min_size=4, max_size=6), USER, VALUES, st.integers(0, 4))
def test_what_is_kept_and_dropped_is_what_the_interpreter_says(
    parsed: Filter, rows: list[dict[str, Any]], user: User, values: dict[str, list[Any]], current: int
) -> None:
    bound, columns = bind(parsed, SCHEMA), columns_of(rows)
    user = replace(user, current=rows[current] if current < 4 else {})
    strings = {name: ",".join(f'"{each}"' for each in given) for name, given in values.items()}
    items, events = np.array([int(item[1:]) for _, item in user.events], np.int64), [event for event, _ in user.events]
    line = Line(strings, user.attributes, items, events, current if current < 4 else len(rows))
    clauses = explain_line(bound, columns, line)
    assert isinstance(clauses, BadValue) == refuses(parsed, values)
    if isinstance(clauses, BadValue):
        return
    may = [allowed(parsed, f"i{row}", fields, user, values) for row, fields in enumerate([*rows, {}])]
    assert [not dropped_by(clauses, columns, line, row) for row in range(len(rows) + 1)] == may
    assert kept(clauses, columns) == Share(sum(may[:-1]), len(rows))
    without = explain_group(bound, columns, EVENTS)
    open_ = kept(without, columns)
    assert open_ is None or open_ == Share(sum(may[:-1]), len(rows))  # what no line decides is so for this one
