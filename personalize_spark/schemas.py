"""Schemas in the service's own form, a flat Avro record as JSON. Imports and filters read these.

The rules are those of the developer guide, "Creating schema JSON files" and "Quotas".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from personalize_spark.errors import InvalidInputException

INTERACTIONS, ITEMS, USERS = "Interactions", "Items", "Users"
EVENT_TYPE = "EVENT_TYPE"
TYPES = ("string", "long", "int", "double", "float", "boolean")

_REQUIRED: Mapping[str, Mapping[str, str]] = {
    INTERACTIONS: {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long"},
    ITEMS: {"ITEM_ID": "string"},
    USERS: {"USER_ID": "string"},
}
_RESERVED: Mapping[str, Mapping[str, str]] = {
    INTERACTIONS: {
        EVENT_TYPE: "string",
        "EVENT_VALUE": "float",
        "IMPRESSION": "string",
        "RECOMMENDATION_ID": "string",
        "EVENT_ATTRIBUTION_SOURCE": "string",
    },
    ITEMS: {"CREATION_TIMESTAMP": "long"},
    USERS: {},
}
_MAX_METADATA: Mapping[str, int] = {INTERACTIONS: 5, ITEMS: 100, USERS: 25}
_FLAGS = ("categorical", "textual", "itemName")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Column:
    """A field of a dataset. Several values of a categorical one stand in one string, joined by `|`."""

    name: str
    type: str
    nullable: bool = False
    categorical: bool = False
    textual: bool = False
    item_name: bool = False

    @property
    def is_text(self) -> bool:
        """Whether its values are texts; if not, they are numbers, or true and false."""
        return self.type == "string"


@dataclass(frozen=True)
class Schema:
    """The columns of a dataset, in the order of its CSV files."""

    dataset: str
    columns: tuple[Column, ...]

    @classmethod
    def parse(cls, dataset: str, avro: object) -> Schema:
        """Read a schema and check it; its name counts in any case.

        Raises:
            InvalidInputException: one message with everything that is wrong.
        """
        if not isinstance(avro, Mapping):
            raise InvalidInputException(
                f"The schema of {dataset} must be a JSON object, not of type {type(avro).__name__}."
            )
        problems: list[str] = []
        if avro.get("type") != "record" or str(avro.get("name")).casefold() != dataset.casefold():
            problems.append(f'it must have "type": "record" and "name": "{dataset}"')
        fields = avro.get("fields")
        schema = cls(dataset, tuple(_column(each, problems) for each in fields) if isinstance(fields, list) else ())
        problems += _problems(schema)
        if problems:
            raise InvalidInputException(f"The schema of {dataset} is not valid: {'; '.join(problems)}.")
        return schema

    @classmethod
    def read(cls, avro: Mapping[str, Any]) -> Schema:
        """Read a schema that was checked before: the catalog and views hold no others."""
        return cls(avro["name"], tuple(_column(each, []) for each in avro["fields"]))

    def avro(self) -> dict[str, Any]:
        """The schema in the service's form."""
        return {
            "type": "record",
            "name": self.dataset,
            "namespace": "com.amazonaws.personalize.schema",
            "fields": [_avro(column) for column in self.columns],
            "version": "1.0",
        }

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def metadata(self) -> list[Column]:
        """The columns that are neither ids nor the time of an interaction."""
        return [column for column in self.columns if column.name not in _REQUIRED[self.dataset]]

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.names

    def column(self, name: str) -> Column | None:
        """The column of that name, in any case."""
        return self._by_name.get(name.upper())

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name.upper(): column for column in self.columns}


def schemas_of(avro: Iterable[Mapping[str, Any]]) -> dict[str, Schema]:
    """The schemas of a dataset group by dataset, as filters see them: every interaction has an event type, be it the empty one."""
    schemas = {schema.dataset: schema for schema in map(Schema.read, avro)}
    interactions = schemas.get(INTERACTIONS)
    if interactions is not None and interactions.column(EVENT_TYPE) is None:
        columns = (*interactions.columns, Column(EVENT_TYPE, "string"))
        schemas[INTERACTIONS] = Schema(INTERACTIONS, columns)
    return schemas


def known_type(dataset: str, name: str) -> str | None:
    """The type that the service gives a field of that name; `None` for a field of the user's own."""
    return _REQUIRED[dataset].get(name) or _RESERVED[dataset].get(name)


def is_required(dataset: str, name: str) -> bool:
    """Whether the dataset must have the field, with a value in each row."""
    return name in _REQUIRED[dataset]


def _column(avro: Any, problems: list[str]) -> Column:
    if not isinstance(avro, dict) or not isinstance(avro.get("name"), str):
        problems.append(f"{avro} is not a field")
        return Column("?", "string")
    written = avro.get("type")
    types = written if isinstance(written, list) else [written]
    kinds = [each for each in types if each != "null"]
    if len(kinds) != 1 or kinds[0] not in TYPES:
        problems.append(f"{avro['name']} must have one of the types {', '.join(TYPES)}, optionally with null")
    kind = kinds[0] if len(kinds) == 1 and kinds[0] in TYPES else "string"
    flags = (bool(avro.get(flag, False)) for flag in _FLAGS)
    return Column(avro["name"], kind, "null" in types, *flags)


def _avro(column: Column) -> dict[str, Any]:
    there = zip(_FLAGS, (column.categorical, column.textual, column.item_name), strict=True)
    flags = {flag: True for flag, is_set in there if is_set}
    return {"name": column.name, "type": ["null", column.type] if column.nullable else column.type, **flags}


def _problems(schema: Schema) -> Iterator[str]:
    yield from _known_problems(schema)
    for name, count in Counter(name.replace("_", "").upper() for name in schema.names).items():
        if count > 1:
            yield f"{count} fields have the name {name}: names must differ in more than underscores and case"
    for column in schema.columns:
        if not _NAME.fullmatch(column.name):
            yield f"'{column.name}' is not a field name: use letters, digits and underscores"
        if (column.categorical or column.textual or column.item_name) and not column.is_text:
            yield f"{column.name} is {column.type}: only a string can be categorical or textual, or the name of an item"
    yield from _metadata_problems(schema)


def _known_problems(schema: Schema) -> Iterator[str]:
    fields = {column.name: column for column in schema.columns}
    for name, kind in _REQUIRED[schema.dataset].items():
        if name not in fields:
            other = next((field for field in fields if field.upper() == name), None)
            yield f"the required field {name} is missing" + (f" ({other} is not in capitals)" if other else "")
        elif fields[name].type != kind or fields[name].nullable:
            yield f"{name} must be of type {kind}, without null"
    for name, kind in _RESERVED[schema.dataset].items():
        if name in fields and fields[name].type != kind and {fields[name].type, kind} != {"double", "float"}:
            yield f"the reserved field {name} must be of type {kind}"


def _metadata_problems(schema: Schema) -> Iterator[str]:
    textual = [column.name for column in schema.columns if column.textual]
    if len(textual) > (schema.dataset == ITEMS):
        yield f"{', '.join(textual)} are textual: Items may have one textual field, the other datasets none"
    metadata = [column for column in schema.metadata if column.name not in _RESERVED[schema.dataset]]
    if len(metadata) > _MAX_METADATA[schema.dataset]:
        yield f"{len(metadata)} metadata fields exceed the limit of {_MAX_METADATA[schema.dataset]} for {schema.dataset}"
    if schema.dataset != INTERACTIONS and not schema.metadata:
        yield "at least one metadata field is needed"
