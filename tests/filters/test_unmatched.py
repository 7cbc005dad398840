from __future__ import annotations

import pytest

from personalize_spark.filters.binding import bind
from personalize_spark.filters.expression import Field
from personalize_spark.filters.parser import parse
from personalize_spark.filters.unmatched import unmatched_values
from personalize_spark.schemas import INTERACTIONS, ITEMS, Column, Schema

SCHEMAS = {
    INTERACTIONS: Schema(INTERACTIONS, (Column("EVENT_TYPE", "string"),)),
    ITEMS: Schema(ITEMS, (Column("GENRE", "string"), Column("TITLE", "string", textual=True), Column("YEAR", "long"))),
}
KNOWN = {"Interactions.EVENT_TYPE": ["click", "watch"], "Items.GENRE": ["Comedy", "War"]}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ('INCLUDE ItemID WHERE Items.GENRE IN ("Comedy", "War")', []),
        ('INCLUDE ItemID WHERE items.genre IN ("Comdey")', ["'Comdey' in Items.GENRE (did you mean 'Comedy'?)"]),
        ('EXCLUDE ItemID WHERE Items.GENRE = "comedy"', ["'comedy' in Items.GENRE (did you mean 'Comedy'?)"]),
        (
            'EXCLUDE ItemID WHERE Items.GENRE NOT IN ("x", "x") OR Items.GENRE = "y"',
            ["'x' in Items.GENRE", "'x' in Items.GENRE", "'y' in Items.GENRE"],
        ),
        (
            'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("CLICK", "watched")',
            ["'watched' in Interactions.EVENT_TYPE (did you mean 'watch'?)"],
        ),
        ('EXCLUDE ItemID WHERE Interactions.event_type IN ("*")', []),
        ("INCLUDE ItemID WHERE Items.GENRE IN ($GENRE) AND Items.YEAR = 3", []),
    ],
)
def test_texts_that_no_row_has_are_named(expression: str, said: list[str]) -> None:
    found = unmatched_values(bind(parse(expression), SCHEMAS), lambda field: KNOWN.get(str(field)))
    assert list(found) == [f"No row has {each}." for each in said]


def test_nothing_is_said_where_nothing_is_known() -> None:
    def known(field: Field) -> None:
        assert field == Field(ITEMS, "GENRE")

    assert not list(unmatched_values(bind(parse('EXCLUDE ItemID WHERE Items.GENRE = "x"'), SCHEMAS), known))
