from __future__ import annotations

import re
from pathlib import Path

import pytest

from personalize_spark.errors import InvalidInputException
from personalize_spark.filters.binding import bind
from personalize_spark.filters.expression import dataset_named
from personalize_spark.filters.parser import parse
from personalize_spark.schemas import Column, Schema, schemas_of

CORPUS = (Path(__file__).parent / "corpus.txt").read_text().splitlines()
RECIPES = re.findall(r"```filter\n(.*)\n```", (Path(__file__).parents[2] / "docs" / "filter-recipes.md").read_text())
NUMERIC = {"PRICE", "CREATION_TIMESTAMP", "YEAR", "NUMBER_OF_DOWNLOADS", "AGE", "PUBLISHED_DATE", "VALUE"}


def fitting(text: str) -> dict[str, Schema]:
    """A schema that has all that an expression names."""
    datasets: dict[str, dict[str, Column]] = {}
    for dataset, name in re.findall(r"([A-Za-z_]+)\.([A-Za-z_][A-Za-z0-9_]*)", text):
        known = {"CurrentUser": "Users", "CurrentItem": "Items"}.get(
            str(dataset_named(dataset)), str(dataset_named(dataset))
        )
        kind = "long" if name.upper() in NUMERIC else "string"
        datasets.setdefault(known, {})[name.upper()] = Column(name.upper(), kind)
    return {name: Schema(name, tuple(columns.values())) for name, columns in datasets.items()}


@pytest.mark.parametrize("text", [text for text in CORPUS if "NOT IN ($" not in text])
def test_every_published_expression_fits_a_fitting_schema(text: str) -> None:
    bound = bind(parse(text), fitting(text))
    assert bound.subject.upper() == text.split()[1].upper()
    assert bind(parse(str(bound.filter)), fitting(text)).filter == bound.filter


@pytest.mark.parametrize("text", RECIPES)
def test_every_recipe_of_the_documents_fits_a_fitting_schema(text: str) -> None:
    bind(parse(text), fitting(text))


def test_the_documents_have_twenty_recipes() -> None:
    assert len(set(RECIPES)) == 20


@pytest.mark.parametrize("text", CORPUS)
def test_and_is_refused_by_one_that_does_not_fit(text: str) -> None:
    with pytest.raises(InvalidInputException, match="cannot|has no|must"):
        bind(parse(text), {"Items": Schema("Items", (Column("OTHER", "string"),))})


SCHEMA = schemas_of(
    [
        {
            "name": "Items",
            "fields": [
                {"name": "ITEM_ID", "type": "string"},
                {"name": "GENRE", "type": ["null", "string"], "categorical": True},
                {"name": "YEAR", "type": "long"},
                {"name": "TEXT", "type": "string", "textual": True},
                {"name": "ADULT", "type": "boolean"},
                *({"name": f"F{n}", "type": "string"} for n in range(11)),
            ],
        },
        {
            "name": "Interactions",
            "fields": [{"name": "USER_ID", "type": "string"}, {"name": "EVENT_TYPE", "type": "string"}],
        },
        {"name": "Users", "fields": [{"name": "AGE", "type": "int"}, {"name": "PLAN", "type": "string"}]},
    ]
)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ('Items.GENRES IN ("a")', "Items has no field GENRES (did you mean 'GENRE'?)."),
        ('Items.NOPE IN ("a")', "Items has no field NOPE (there are GENRE, YEAR, F0, F1,"),
        ("Items.YEAR IN ($" + "A" * 51 + ")", "has more than 50 characters"),
        (" OR ".join(f"Items.YEAR = $P{n}" for n in range(26)), "26 placeholders exceed the limit of 25"),
        ('Itms.GENRE IN ("a")', "Itms.GENRE is not allowed there: use a field of Items or Interactions"),
        ('Users.PLAN IN ("a")', "is not allowed there"),
        ('Items.TEXT IN ("a")', "Items.TEXT is textual and cannot be filtered"),
        ('Items.ADULT IN ("a")', "Items.ADULT is boolean and cannot be filtered"),
        ("Items.GENRE NOT IN ($G)", "Invalid input symbol: $G. Placeholders are not allowed with NOT_IN operator."),
        ("Items.GENRE < 3", "Items.GENRE is a string and cannot be compared with <: import it with a schema"),
        ('Items.YEAR > "new"', "YEAR is long, but 'new' is not a number."),
        ('Items.YEAR > "2020-01-01"', "is not a number; times are seconds since 1970, such as 1577836800."),
        ('Items.GENRE IN ("*")', '"*" stands for any event type'),
        ('Interactions.USER_ID IN ("u")', "Interactions can be filtered only by EVENT_TYPE, not by USER_ID"),
        ('Interactions.EVENT_TYPE = "x"', "must be filtered with IN"),
        (
            'Items.GENRE IN ("a") AND Interactions.EVENT_TYPE IN ("x")',
            "cannot mix Interactions and Items: chain two with |",
        ),
        ('Items.GENRE IN ("a") IF Items.YEAR = 3', "is not allowed there: use a field of CurrentUser"),
        (
            "Items.GENRE IN CurrentItem.YEAR",
            "CurrentItem.YEAR is long and cannot be compared with GENRE, which is string",
        ),
        ("Items.GENRE IN CurrentItem.TEXT", "CurrentItem.TEXT is textual and cannot be filtered"),
        ("Items.YEAR = CurrentItem.ADULT", "CurrentItem.ADULT is boolean and cannot be filtered"),
        ('Items.ITEM_ID IN ("a")', "Items.ITEM_ID is an id and cannot be filtered: use a metadata field"),
        ("Interactions.EVENT_TYPE IN CurrentItem.GENRE", "cannot be compared with CurrentItem.GENRE"),
        ("Items.GENRE IN CurrentUser.PLAN", "is not allowed there: use a field of CurrentItem"),
        (" AND ".join(f'Items.F{n} IN ("a")' for n in range(11)), "11 fields exceed the limit of 10"),
    ],
)
def test_what_does_not_fit_is_said(condition: str, said: str) -> None:
    with pytest.raises(InvalidInputException) as raised:
        bind(parse(f"EXCLUDE ItemID WHERE {condition}"), SCHEMA)
    assert said in raised.value.message


def test_all_that_does_not_fit_is_said_at_once() -> None:
    with pytest.raises(InvalidInputException, match="NOTHING.*TEXT is textual.*same subject"):
        bind(
            parse(
                'EXCLUDE ItemID WHERE Items.NOTHING = 1 AND Items.TEXT IN ("a") | EXCLUDE UserID WHERE Users.AGE = 1'
            ),
            SCHEMA,
        )


def test_names_are_spelled_as_the_schema_spells_them() -> None:
    bound = bind(parse('EXCLUDE ItemID WHERE item.genre IN ("a") IF currentuser.age > "18"'), SCHEMA)
    assert str(bound.filter) == 'EXCLUDE ItemID WHERE Items.GENRE IN ("a") IF CurrentUser.AGE > 18'


def test_a_bound_filter_knows_what_it_needs() -> None:
    genre = bind(parse('EXCLUDE ItemID WHERE Items.GENRE IN ("a")'), SCHEMA)
    assert (genre.needs_user, genre.needs_item, genre.user_fields) == (False, False, [])
    history = bind(parse('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'), SCHEMA)
    assert (history.needs_user, history.needs_item, history.user_fields) == (True, False, [])
    both = bind(parse("EXCLUDE ItemID WHERE Items.GENRE IN CurrentItem.GENRE IF CurrentUser.AGE > 3"), SCHEMA)
    assert (both.needs_user, both.needs_item, both.user_fields) == (True, True, ["AGE"])
    only_if = bind(parse("EXCLUDE ItemID WHERE Items.GENRE IN ($G) IF CurrentUser.AGE > CurrentItem.YEAR"), SCHEMA)
    assert (only_if.needs_item, only_if.item_fields, only_if.parameters) == (True, ["YEAR"], ["G"])
