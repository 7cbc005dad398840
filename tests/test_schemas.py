from __future__ import annotations

from typing import Any

import pytest

from personalize_spark.errors import InvalidInputException
from personalize_spark.schemas import INTERACTIONS, ITEMS, USERS, Column, Schema, schemas_of


def avro(dataset: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": dataset, "namespace": "x", "fields": list(fields), "version": "1.0"}


ITEM = {"name": "ITEM_ID", "type": "string"}
USER = {"name": "USER_ID", "type": "string"}
TIME = {"name": "TIMESTAMP", "type": "long"}


def test_the_example_of_the_guide_is_read() -> None:
    given = avro(
        ITEMS,
        ITEM,
        {"name": "GENRES", "type": ["null", "string"], "categorical": True},
        {"name": "PRICE", "type": ["float", "null"]},
        {"name": "DESCRIPTION", "type": ["null", "string"], "textual": True},
        {"name": "CREATION_TIMESTAMP", "type": "long"},
    )
    assert Schema.parse(ITEMS, given).columns == (
        Column("ITEM_ID", "string"),
        Column("GENRES", "string", nullable=True, categorical=True),
        Column("PRICE", "float", nullable=True),
        Column("DESCRIPTION", "string", nullable=True, textual=True),
        Column("CREATION_TIMESTAMP", "long"),
    )


def test_a_schema_survives_its_own_form() -> None:
    schema = Schema.parse(INTERACTIONS, avro(INTERACTIONS, USER, ITEM, TIME, {"name": "EVENT_TYPE", "type": "string"}))
    assert Schema.parse(INTERACTIONS, schema.avro()) == Schema.read(schema.avro()) == schema
    flagged = [{"name": name, "type": "string", name: True} for name in ("categorical", "textual", "itemName")]
    items = Schema.parse(ITEMS, avro(ITEMS, ITEM, *flagged))
    assert items.avro()["fields"] == [ITEM, *flagged]
    assert [column.item_name for column in items.columns] == [False, False, False, True]


@pytest.mark.parametrize(
    ("dataset", "fields", "problem"),
    [
        (INTERACTIONS, [USER, ITEM], "the required field TIMESTAMP is missing"),
        (INTERACTIONS, [USER, ITEM, {**TIME, "type": "string"}], "TIMESTAMP must be of type long"),
        (
            INTERACTIONS,
            [USER, ITEM, {**TIME, "type": ["null", "long"]}],
            "TIMESTAMP must be of type long, without null",
        ),
        (INTERACTIONS, [USER, ITEM, TIME, {"name": "EVENT_TYPE", "type": "long"}], "EVENT_TYPE must be of type string"),
        (ITEMS, [ITEM], "at least one metadata field"),
        (ITEMS, [ITEM, {"name": "A", "type": "array"}], "A must have one of the types"),
        (ITEMS, [ITEM, {"name": "A", "type": "long", "textual": True}], "only a string can be categorical or textual"),
        (ITEMS, [ITEM, {"name": "A", "type": "long", "itemName": True}], "A is long: only a string can be"),
        (USERS, [USER, {"name": "A", "type": "string", "textual": True}], "the other datasets none"),
        (ITEMS, [ITEM, {"name": "A_1", "type": "long"}, {"name": "A1", "type": "long"}], "underscores and case"),
        (ITEMS, [ITEM, {"name": "A B", "type": "long"}], "not a field name"),
        (USERS, [USER, *({"name": f"F{n}", "type": "long"} for n in range(26))], "exceed the limit of 25 for Users"),
    ],
)
def test_a_rule_that_is_broken_is_named(dataset: str, fields: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(InvalidInputException, match=problem):
        Schema.parse(dataset, avro(dataset, *fields))


def test_a_schema_that_is_a_text_is_refused_as_such() -> None:
    with pytest.raises(InvalidInputException, match="The schema of Items must be a JSON object, not of type str"):
        Schema.parse(ITEMS, "items.json")


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(
        InvalidInputException, match="name.*USER_ID is missing.*ITEM_ID is missing.*TIMESTAMP is missing"
    ):
        Schema.parse(INTERACTIONS, {"type": "record", "name": "Items", "fields": []})


@pytest.mark.parametrize("name", ["items", "ITEMS", "Items"])
def test_a_name_counts_in_any_case(name: str) -> None:
    given = avro(ITEMS, ITEM, {"name": "A", "type": "long"}) | {"name": name}
    assert Schema.parse(ITEMS, given).avro()["name"] == ITEMS


def test_a_column_is_found_in_any_case() -> None:
    schema = Schema(USERS, (Column("USER_ID", "string"), Column("Age", "long")))
    assert schema.column("age") is schema.column("AGE") is schema.columns[1]
    assert schema.column("AG") is None


def test_every_interaction_has_an_event_type() -> None:
    plain, items = avro(INTERACTIONS, USER, ITEM, TIME), avro(ITEMS, ITEM)
    schemas = schemas_of([plain, items])
    assert schemas[ITEMS] == Schema.read(items)
    assert schemas[INTERACTIONS].names == ["USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"]
    assert schemas[INTERACTIONS].column("EVENT_TYPE") == Column("EVENT_TYPE", "string")
    spelled = schemas_of([avro(INTERACTIONS, {"name": "event_type", "type": "string"})])
    assert spelled[INTERACTIONS].names == ["event_type"]
    assert schemas_of([]) == {}
