"""Masks and sparse lists against the row-by-row interpreter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize_spark.filters import selector as selectors
from personalize_spark.filters.binding import bind
from personalize_spark.filters.expression import (
    And,
    Comparison,
    Expression,
    Field,
    Filter,
    Literal,
    Membership,
    Or,
    Parameter,
    Values,
)
from personalize_spark.filters.mask import Categories, Columns, MaskCache, Numbers
from personalize_spark.filters.parser import parse
from personalize_spark.filters.selector import Group, Lines, LineUsers, Selector
from personalize_spark.schemas import schemas_of
from personalize_spark.scoring.ragged import Ragged
from tests.filters.interpreter import User, allowed, refuses

GENRES, EVENTS = ["drama", "horror", "comedy"], ["Watch", "click", ""]
SCHEMA = schemas_of(
    [
        {
            "name": "Items",
            "fields": [
                {"name": "GENRE", "type": ["null", "string"]},
                {"name": "YEAR", "type": ["null", "long"]},
                {"name": "PRICE", "type": ["null", "double"]},
            ],
        },
        {"name": "Interactions", "fields": [{"name": "EVENT_TYPE", "type": "string"}]},
        {"name": "Users", "fields": [{"name": "AGE", "type": "long"}, {"name": "PLAN", "type": "string"}]},
    ]
)
TEXT, NUMBER = st.sampled_from([*GENRES, "none"]), st.integers(-2, 3)
ROW = st.fixed_dictionaries(
    {
        "GENRE": st.none() | st.lists(st.sampled_from(GENRES), min_size=1, max_size=2, unique=True).map("|".join),
        "YEAR": st.none() | NUMBER,
        "PRICE": st.none() | st.sampled_from([-1.5, 0.0, 2.5]),
    }
)
USER = st.builds(
    User,
    st.fixed_dictionaries({"AGE": st.none() | NUMBER, "PLAN": st.none() | st.sampled_from(["gold", "free"])}),
    st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from(["i0", "i1", "i2", "i3"])), max_size=4),
)


def leaf(dataset: str, texts: list[str], numbers: list[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    of_text = st.sampled_from([Field(dataset, name) for name in texts])
    literals = st.lists(values, min_size=1, max_size=3).map(lambda each: Values(tuple(each)))
    current = [Field("CurrentItem", name) for name in ("YEAR", "PRICE", "GENRE")] if dataset == "Items" else []
    one_text = values.map(lambda each: Values((each,))) | st.sampled_from([Parameter("A"), *current[2:]])
    text: st.SearchStrategy[Any] = st.builds(Membership, of_text, st.booleans(), literals) | st.builds(
        Membership,
        of_text,
        st.just(value=False),
        st.sampled_from([Parameter("A"), Parameter("B"), *current[2:]]),
    )
    if not numbers:
        return text
    text |= st.builds(Comparison, of_text, st.sampled_from(["=", "!="]), one_text)
    of_number = st.sampled_from([Field(dataset, name) for name in numbers])
    one = NUMBER.map(lambda each: Values((each,))) | st.sampled_from([Parameter("N"), *current[:2]])
    signs = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    return text | st.builds(Comparison, of_number, signs, one)


def tree(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pair = st.lists(leaves, min_size=2, max_size=3).map(tuple)
    flat = leaves | st.builds(And, pair) | st.builds(Or, pair)
    return flat | st.builds(And, st.tuples(st.builds(Or, pair), leaves))


ITEMS = tree(leaf("Items", ["GENRE"], ["YEAR", "PRICE"], TEXT))
HISTORY = leaf("Interactions", ["EVENT_TYPE"], [], st.sampled_from(["watch", "CLICK", "*", "other"]))
OF_USER = st.none() | tree(leaf("CurrentUser", ["PLAN"], ["AGE"], st.sampled_from(["gold", "free"])))
EXPRESSION = st.builds(Expression, st.sampled_from(["INCLUDE", "EXCLUDE"]), st.just("ItemID"), ITEMS | HISTORY, OF_USER)
FILTER = st.lists(EXPRESSION, min_size=1, max_size=3).map(lambda each: Filter(tuple(each)))
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "A": st.lists(st.sampled_from([*GENRES, "watch", "gold"]), min_size=1, max_size=2),
        "B": st.just(["drama"]),
        "N": st.lists(NUMBER, min_size=1, max_size=2),
    },
)


def columns_of(rows: list[dict[str, Any]]) -> Columns:
    """The fields of the rows and, last, of an item without any."""
    rows = [*rows, {}]
    lists = [row["GENRE"].split("|") if row.get("GENRE") else [] for row in rows]
    genres = sorted(GENRES)
    codes = np.array([genres.index(genre) for each in lists for genre in each], np.int32)
    texts = Categories(genres, Ragged.of_lengths(np.array([len(each) for each in lists]), codes))

    def numbers(name: str, kind: type) -> Numbers:
        values: NDArray[Any] = np.array([row.get(name) or 0 for row in rows], kind)
        return Numbers(values, np.array([row.get(name) is not None for row in rows]))

    return {"GENRE": texts, "YEAR": numbers("YEAR", np.int64), "PRICE": numbers("PRICE", np.float64)}


@pytest.mark.slow
@settings(max_examples=10 * settings().max_examples)
@given(
    FILTER,
    st.lists(ROW, min_size=4, max_size=7),
    st.lists(st.tuples(USER, VALUES, st.integers(0, 4)), min_size=1, max_size=6),
    st.sampled_from([1, 3, 8192]),
)
def test_what_lines_may_get_is_what_the_interpreter_says(
    parsed: Filter, rows: list[dict[str, Any]], drawn: list[tuple[User, dict[str, list[Any]], int]], most: int
) -> None:
    current = np.array([row if row < 4 else len(rows) for _, _, row in drawn])  # one that Items does not hold
    lines = [(replace(user, current=rows[row] if row < 4 else {}), values) for user, values, row in drawn]
    parsed = parse(str(parsed))
    bound = bind(parsed, SCHEMA)
    order = np.random.default_rng(len(rows)).permutation(
        len(rows) + 1
    )  # the model has other rows, and one item that is new
    selector = Selector(bound, columns_of(rows), order, EVENTS)
    place = {f"i{row}": number for number, row in enumerate(order.tolist())}
    done: list[list[tuple[int, int]]] = [
        [(place[item], EVENTS.index(event)) for event, item in user.events] for user, _ in lines
    ]
    flat = [pair for each in done for pair in each]
    made, errors = selector.select(
        Lines(
            [{name: ",".join(f'"{each}"' for each in given) for name, given in values.items()} for _, values in lines],
            LineUsers(
                Ragged.of_lengths(
                    np.array([len(each) for each in done]), np.array([item for item, _ in flat], np.int64)
                ),
                np.array([event for _, event in flat], np.int16),
                [user.attributes for user, _ in lines],
            ),
            current,
        )
    )
    assert set(errors) == {line for line, (_, values) in enumerate(lines) if refuses(parsed, values)}
    with patch.object(selectors, "_LINES", most):
        groups = list(made)
    seen = set(errors)
    for group in groups:
        for number, line in enumerate(group.lines.tolist()):
            seen.add(line)
            may = group.selection.allows(np.full(len(order), number), np.arange(len(order)))
            also = group.selection.also_included
            if also is not None:  # what is not kept, and is not gone either
                added = also.row(number)
                assert not replace(group.selection, also_included=None).allows(np.full(len(added), number), added).any()
                assert may[added].all()
            user, values = lines[line]
            for item, position in place.items():
                row = rows[int(item[1:])] if int(item[1:]) < len(rows) else {}
                assert may[position] == allowed(parsed, item, row, user, values), (item, str(parsed))
    assert seen == set(range(len(lines)))


def without_history(
    values: list[Any], attributes: Sequence[Mapping[str, Literal | None]], current: NDArray[np.int64] | None = None
) -> Lines:
    return Lines(values, replace(LineUsers.unasked(len(values)), attributes=attributes), current)


def kept(group: Group, items: int) -> list[list[bool]]:
    """By line of the group, whether its mask holds each of the items."""
    assert group.selection.included is not None
    lines = range(len(group.lines))
    return [group.selection.included.contains(np.full(items, line), np.arange(items)).tolist() for line in lines]


def masks(group: Group) -> list[list[int]]:
    """The lines of each mask."""
    assert group.selection.included is not None
    return [group.lines[members].tolist() for _, members in group.selection.included.groups()]


@pytest.mark.parametrize(("lines", "size"), [(8192, 16 << 20), (1, 16 << 20), (8192, 2), (3, 1)])
def test_groups_are_made_one_after_the_other_and_stay_small(lines: int, size: int) -> None:
    bound = bind(parse("INCLUDE ItemID WHERE Items.YEAR < $Y"), SCHEMA)
    selector = Selector(bound, columns_of([{"YEAR": year} for year in range(9)]), np.arange(9), EVENTS)
    years = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
    asked = without_history([{"Y": str(year)} for year in years], [{}] * 11)
    with patch.object(selectors, "_LINES", lines), patch.object(selectors, "_BYTES", size):
        groups, errors = selector.select(asked)
        assert not errors
        found: dict[int, list[bool]] = {}
        for group in groups:
            assert group.selection.included is not None
            assert group.selection.included.bits.nbytes <= max(size, 2)
            assert len(group.lines) <= lines or len(group.selection.included.bits) == 1
            found |= dict(zip(group.lines.tolist(), kept(group, 9), strict=True))
    assert found == {line: [item < year for item in range(9)] for line, year in enumerate(years)}


def test_what_is_included_and_excluded_by_history_is_excluded() -> None:
    text = 'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*") | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click")'
    selector = Selector(bind(parse(text), SCHEMA), columns_of([{}] * 4), np.arange(4), EVENTS)
    items, events = np.array([0, 1, 1, 2], np.int64), np.array([0, 0, 1, 1], np.int16)
    [group], _ = selector.select(Lines([None], LineUsers(Ragged(np.array([0, 4]), items), events, [{}])))
    assert group.selection.also_included is not None
    assert group.selection.also_included.values.tolist() == [0]


@pytest.mark.parametrize("items", [6, 7, 8, 15])  # whether what is behind the last bit of a mask is a whole byte or not
def test_what_all_items_pass_adds_nothing_by_history(items: int) -> None:
    texts = [
        'INCLUDE ItemID WHERE Items.GENRE NOT IN ("none")',
        'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click")',
    ]
    selector = Selector(bind(parse(" | ".join(texts)), SCHEMA), columns_of([{}] * items), np.arange(items), EVENTS)
    [group], _ = selector.select(
        Lines([None], LineUsers(Ragged(np.array([0, 3]), np.array([0, 1, 0])), np.array([0, 0, 1], np.int16), [{}]))
    )
    assert group.selection.also_included is not None
    assert not len(group.selection.also_included.values)
    assert group.selection.allows(np.zeros(items, np.int64), np.arange(items)).tolist() == [
        False,
        *[True] * (items - 1),
    ]


def test_only_what_the_filter_asks_for_tells_memo_apart() -> None:
    selector = Selector(
        bind(parse("INCLUDE ItemID WHERE Items.YEAR < $Y"), SCHEMA), columns_of([{"YEAR": 1}]), np.arange(1), EVENTS
    )
    values = [{"Y": "2", "OTHER": "x" * 900 + str(line)} for line in range(50)]
    values += [{"Y": "3" * 1_000 + str(line)} for line in range(50)]
    _, errors = selector.select(without_history(values, [{}] * 100))
    assert sorted(errors) == list(range(50, 100))
    assert len(selector._memo) == 1


def test_nothing_compares_with_an_item_that_is_not_asked_about() -> None:
    text = "EXCLUDE ItemID WHERE Items.YEAR < CurrentItem.YEAR OR Items.GENRE IN CurrentItem.GENRE OR Items.PRICE IN (0, 2.5)"
    columns = columns_of([{"YEAR": 1, "GENRE": "drama"}, {"PRICE": 2.5}])
    selector = Selector(bind(parse(text), SCHEMA), columns, np.arange(2), EVENTS)
    [group], _ = selector.select(without_history([None], [{}]))
    assert kept(group, 2) == [[True, False]]


def test_lines_about_items_of_equal_values_share_a_mask() -> None:
    bound = bind(parse("INCLUDE ItemID WHERE Items.GENRE IN CurrentItem.GENRE"), SCHEMA)
    selector = Selector(bound, columns_of([{"GENRE": "drama"}, {"GENRE": "drama"}, {}]), np.arange(3), EVENTS)
    groups, _ = selector.select(without_history([None] * 3, [{}] * 3, np.array([0, 1, 2])))
    [group] = groups
    assert masks(group) == [[2], [0, 1]]
    assert kept(group, 3) == [[False, False, False], [True, True, False], [True, True, False]]


def test_memo_of_near_values_are_neighbours() -> None:
    bound = bind(parse("INCLUDE ItemID WHERE Items.YEAR < $Y IF CurrentUser.AGE > 1"), SCHEMA)
    selector = Selector(bound, columns_of([{"YEAR": year} for year in range(12)]), np.arange(12), EVENTS)
    values, users = [{"Y": text} for text in ("10", "9", "2", "10", "11")], [{"AGE": 2}] * 4 + [{"AGE": 1}]
    groups, _ = selector.select(without_history(values, users))
    [group] = groups
    assert group.lines.tolist() == [4, 2, 1, 0, 3]


@pytest.mark.parametrize("value", ["9" * 400, "-" + "9" * 400, "9" * 400 + ".5", "1e999"])
@pytest.mark.parametrize("field", ["YEAR", "PRICE"])
def test_a_number_beyond_all_measure_is_compared_too(field: str, value: str) -> None:
    selector = Selector(
        bind(parse(f"INCLUDE ItemID WHERE Items.{field} < $N"), SCHEMA), columns_of([{field: 1}]), np.arange(1), EVENTS
    )
    lines = without_history([{"N": value}], [{}])
    [group], _ = selector.select(lines)
    assert kept(group, 1) == [[not value.startswith("-")]]


@pytest.mark.parametrize("value", ["9007199254740993", "9007199254740993.0"])
def test_64_bit_integers_are_compared_exactly(value: str) -> None:
    rows = [{"YEAR": 9007199254740992}, {"YEAR": 9007199254740993}, {"YEAR": 9223372036854775807}]
    bound = bind(parse(f"INCLUDE ItemID WHERE Items.YEAR > {value} AND Items.YEAR != 9223372036854775808"), SCHEMA)
    lines = without_history([None], [{}])
    [group], _ = Selector(bound, columns_of(rows), np.arange(3), EVENTS).select(lines)
    assert kept(group, 3) == [[False, value.endswith(".0"), True]]


def test_a_group_without_event_types_has_no_history() -> None:
    bound = bind(parse('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'), SCHEMA)
    lines = without_history([None], [{}])
    [group], _ = Selector(bound, columns_of([{}]), np.arange(1), []).select(lines)
    assert kept(group, 1) == [[False]]


def test_a_comparison_takes_one_value() -> None:
    bound = bind(parse("EXCLUDE ItemID WHERE Items.YEAR < $N"), SCHEMA)
    lines = without_history([{"N": '"1","2"'}], [{}])
    groups, errors = Selector(bound, columns_of([{}]), np.arange(1), EVENTS).select(lines)
    assert list(groups) == []
    assert errors == {0: "filterValues: the value of $N must be one value, not 2: Items.YEAR < $N"}


def test_event_types_match_however_the_schema_spells_their_field() -> None:
    schema = schemas_of([{"name": "Interactions", "fields": [{"name": "event_type", "type": "string"}]}])
    bound = bind(parse('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("WATCH")'), schema)
    done = Lines(
        [None], LineUsers(Ragged(np.array([0, 1]), np.array([0])), np.array([EVENTS.index("Watch")], np.int16), [{}])
    )
    [group], _ = Selector(bound, {}, np.arange(1), EVENTS).select(done)
    assert group.selection.excluded is not None
    assert group.selection.excluded.values.tolist() == [0]


def test_lines_of_equal_values_share_a_mask() -> None:
    bound = bind(parse("INCLUDE ItemID WHERE Items.GENRE IN ($G)"), SCHEMA)
    selector = Selector(bound, columns_of([{"GENRE": "drama"}, {"GENRE": "horror"}]), np.arange(2), EVENTS)
    values: list[Any] = [{"G": '"drama"'}, {"G": '"horror"'}, {"G": '"drama"', "UNUSED": "x"}, None, {"G": '"open'}]
    groups, errors = selector.select(without_history(values, [{}] * 5))
    [group] = groups
    assert masks(group) == [[0, 2], [1]]
    assert kept(group, 2) == [[True, False], [True, False], [False, True]]
    assert errors == {
        3: "filterValues must have a value for $G",
        4: 'filterValues: the value of $G must be "texts" or numbers, separated by commas',
    }


@pytest.mark.parametrize(
    ("text", "event", "meets"),
    [
        ('IN ("*")', "a|b", True),
        ('NOT IN ("*")', "a|b", False),
        ('IN ("A|B")', "a|b", True),
        ('IN ("a")', "a|b", False),
    ],
)
def test_an_event_type_is_one_value_whatever_is_in_it(text: str, event: str, *, meets: bool) -> None:
    selector = Selector(
        bind(parse(f"EXCLUDE ItemID WHERE Interactions.EVENT_TYPE {text}"), SCHEMA),
        columns_of([{}]),
        np.arange(1),
        [event],
    )
    [group], _ = selector.select(
        Lines([None], LineUsers(Ragged(np.array([0, 1]), np.array([0])), np.array([0], np.int16), [{}]))
    )
    assert group.selection.allows(np.zeros(1, np.int64), np.zeros(1, np.int64)).tolist() == [not meets]


def test_the_cache_of_masks_is_bounded_and_exact() -> None:
    cache = MaskCache(limit=40)
    made: list[int] = []

    def make(key: int) -> NDArray[np.bool_]:
        made.append(key)
        mask: NDArray[np.bool_] = np.arange(100) % 7 == key
        return mask

    for key in (0, 1, 2, 0, 3, 4, 0):
        bits = cache.get(key, partial(make, key))
        np.testing.assert_array_equal(np.unpackbits(bits, count=100), np.arange(100) % 7 == key)
    assert made.count(0) == 1
    assert cache._size <= 40
