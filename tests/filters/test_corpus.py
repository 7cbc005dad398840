"""Every published item filter, answered on a small generated data set, against the interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from personalize_spark.filters.binding import bind
from personalize_spark.filters.expression import Values, leaves
from personalize_spark.filters.mask import Categories, Columns, Numbers
from personalize_spark.filters.parser import parse
from personalize_spark.filters.selector import Lines, LineUsers, Selector
from personalize_spark.filters.values import split_values
from personalize_spark.schemas import Column, Schema
from personalize_spark.scoring.ragged import Ragged
from tests.filters.interpreter import User, allowed, parameters
from tests.filters.test_binding import fitting

TEXTS = (Path(__file__).parent / "corpus.txt").read_text().splitlines()
ITEM_FILTERS = [text for text in TEXTS if text.split()[1].upper() == "ITEMID" and "NOT IN ($" not in text]
COUNT = 60


def words(text: str) -> list[str]:
    """The literals of an expression, and two that it does not name."""
    parsed = parse(text)
    found = [
        leaf.operand.literals
        for each in parsed.expressions
        for leaf in leaves(each.condition)
        if isinstance(leaf.operand, Values)
    ]
    return [
        *(str(each) for literals in found for each in literals if isinstance(each, str) and each != "*"),
        "one",
        "two",
    ]


def generated(schemas: Mapping[str, Schema], choices: list[str]) -> tuple[Columns, list[dict[str, Any]]]:
    """Random items with all columns of a schema, some values missing, and one item without any."""
    random = np.random.default_rng(11)
    columns: dict[str, Categories | Numbers] = {}
    rows: list[dict[str, Any]] = [{} for _ in range(COUNT + 1)]
    for column in schemas["Items"].columns if "Items" in schemas else ():
        columns[column.name] = _generate(column, choices, rows, random)
    return columns, rows


def _generate(
    column: Column, choices: list[str], rows: list[dict[str, Any]], random: np.random.Generator
) -> Categories | Numbers:
    if not column.is_text:
        values = random.choice([0, 18, 1970, 1975, 1980, 1633240824, 1700000000, 20211001, 20220101], COUNT + 1)
        valid = np.append(random.random(COUNT) < 0.8, [False])
        for row, value, there in zip(rows, values.tolist(), valid, strict=True):
            row[column.name] = value if there else None
        return Numbers(values, valid)
    lists: list[list[str]] = [
        [str(each) for each in random.choice(choices, random.integers(0, 3))] for _ in range(COUNT)
    ] + [[]]
    for row, each in zip(rows, lists, strict=True):
        row[column.name] = "|".join(each) if each else None
    texts = sorted(set(choices))
    codes = np.array([texts.index(text) for each in lists for text in each], np.int32)
    return Categories(texts, Ragged.of_lengths(np.array([len(each) for each in lists]), codes))


@pytest.mark.parametrize("text", ITEM_FILTERS)
def test_a_published_filter_keeps_what_the_interpreter_keeps(text: str) -> None:
    schema, choices = fitting(text), words(text)
    bound = bind(parse(text), schema)
    columns, rows = generated(schema, choices)
    events = ["click", "Watch", "purchase", "favorite", "stream", "EVENT_TYPE"]
    random = np.random.default_rng(5)
    items, codes = random.integers(0, COUNT, 12), random.integers(0, len(events), 12)
    user = User(
        {"AGE": 25, "MEMBERSHIP": "gold"},
        [(events[code], f"i{item}") for item, code in zip(items, codes, strict=True)],
        next(row for row in rows if all(row.values())),
    )
    asked = {name for each in bound.filter.expressions for name in parameters(each)}
    values = {name: '"one"' if "GENRE" in name or "CATEGOR" in name or "COUNTRY" in name else "1975" for name in asked}
    values |= {name: '"click"' for name in asked if name == "EVENT_TYPE"}
    typed = {
        name: [each if each in {"one", "click"} else int(each) for each in split_values(given)]
        for name, given in values.items()
    }
    selector = Selector(bound, columns, np.arange(COUNT + 1), events)
    current = np.array([rows.index(dict(user.current))])
    lines = Lines(
        [values],
        LineUsers(Ragged(np.array([0, 12]), items.astype(np.int64)), codes.astype(np.int16), [user.attributes]),
        current,
    )
    [group], errors = selector.select(lines)
    assert not errors
    may = group.selection.allows(np.zeros(COUNT + 1, np.int64), np.arange(COUNT + 1))
    told = [allowed(bound.filter, f"i{number}", row, user, typed) for number, row in enumerate(rows)]
    assert may.tolist() == told


def test_all_item_filters_of_the_corpus_are_here() -> None:
    assert len(ITEM_FILTERS) == 70
