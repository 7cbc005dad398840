"""Schemas in the service's own form, a flat Avro record as JSON; given, or inferred from a CSV file.

The rules are those of the developer guide, "Creating schema JSON files" and "Quotas".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from personalize_spark.errors import InvalidInputException

INTERACTIONS, ITEMS, USERS = "Interactions", "Items", "Users"
TYPES = ("string", "long", "int", "double", "float", "boolean")

_REQUIRED: Mapping[str, Mapping[str, str]] = {
    INTERACTIONS: {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long"},
    ITEMS: {"ITEM_ID": "string"},
    USERS: {"USER_ID": "string"},
}
_RESERVED: Mapping[str, Mapping[str, str]] = {
    INTERACTIONS: {
        "EVENT_TYPE": "string",
        "EVENT_VALUE": "float",
        "IMPRESSION": "string",
        "RECOMMENDATION_ID": "string",
        "EVENT_ATTRIBUTION_SOURCE": "string",
    },
    ITEMS: {"CREATION_TIMESTAMP": "long"},
    USERS: {},
}
_MAX_METADATA: Mapping[str, int] = {INTERACTIONS: 5, ITEMS: 100, USERS: 25}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONG = re.compile(r"-?[0-9]{1,19}")
_DOUBLE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Field:
    """A column. Several values of a categorical field stand in one string, joined by `|`."""

    name: str
    type: str
    nullable: bool = False
    categorical: bool = False
    textual: bool = False


@dataclass(frozen=True)
class Schema:
    """The columns of a dataset, in the order of its CSV files."""

    dataset: str
    fields: tuple[Field, ...]

    @classmethod
    def parse(cls, dataset: str, avro: Mapping[str, Any]) -> Schema:
        """Read a schema and check it.

        Raises:
            InvalidInputException: one message with everything that is wrong.
        """
        problems: list[str] = []
        if avro.get("type") != "record" or avro.get("name") != dataset:
            problems.append(f'it must have "type": "record" and "name": "{dataset}"')
        given = avro.get("fields")
        fields = tuple(_field(each, problems) for each in given) if isinstance(given, list) else ()
        schema = cls(dataset, fields)
        problems += _problems(schema)
        if problems:
            raise InvalidInputException(f"The schema of {dataset} is not valid: {'; '.join(problems)}.")
        return schema

    def avro(self) -> dict[str, Any]:
        """The schema in the service's form."""
        return {
            "type": "record",
            "name": self.dataset,
            "namespace": "com.amazonaws.personalize.schema",
            "fields": [_avro(field) for field in self.fields],
            "version": "1.0",
        }

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [field.name for field in self.fields]

    @property
    def metadata(self) -> list[Field]:
        """The columns that are neither ids nor the time of an interaction."""
        return [field for field in self.fields if field.name not in _REQUIRED[self.dataset]]

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.names


def infer(dataset: str, header: Sequence[str], columns: Sequence[Sequence[str]]) -> Schema:
    """A schema from a CSV file's header and values.

    Fields that the service knows get the service's type. Any other is `long` if all its values are integers of 64 bits,
    `double` if all are numbers, else `string`, categorical in Items and Users; it takes nulls.

    Raises:
        InvalidInputException: the header cannot be that of the dataset.
    """
    known = {**_REQUIRED[dataset], **_RESERVED[dataset]}
    fields = []
    for name, values in zip(header, columns, strict=True):
        kind = known.get(name) or _kind([value for value in values if value])
        categorical = kind == "string" and name not in known and dataset != INTERACTIONS
        fields.append(Field(name, kind, name not in _REQUIRED[dataset], categorical))
    return Schema.parse(dataset, Schema(dataset, tuple(fields)).avro())


def _kind(values: Sequence[str]) -> str:
    if values and all(_LONG.fullmatch(value) and -(1 << 63) <= int(value) < 1 << 63 for value in values):
        return "long"
    return "double" if values and all(_DOUBLE.fullmatch(value) for value in values) else "string"


def _field(avro: Any, problems: list[str]) -> Field:
    if not isinstance(avro, dict) or not isinstance(avro.get("name"), str):
        problems.append(f"{avro} is not a field")
        return Field("?", "string")
    given = avro.get("type")
    types = [given] if isinstance(given, str) else list(given or [])
    kinds = [each for each in types if each != "null"]
    if len(kinds) != 1 or kinds[0] not in TYPES:
        problems.append(f"{avro['name']} must have one type of {', '.join(TYPES)}, and may have null")
    kind = kinds[0] if len(kinds) == 1 and kinds[0] in TYPES else "string"
    flags = {name: bool(avro.get(name, False)) for name in ("categorical", "textual")}
    return Field(avro["name"], kind, "null" in types, **flags)


def _avro(field: Field) -> dict[str, Any]:
    flags = {name: True for name in ("categorical", "textual") if getattr(field, name)}
    return {"name": field.name, "type": ["null", field.type] if field.nullable else field.type, **flags}


def _problems(schema: Schema) -> Iterator[str]:
    yield from _known_problems(schema)
    for name, count in Counter(name.replace("_", "").upper() for name in schema.names).items():
        if count > 1:
            yield f"{count} fields are called {name}: underscores and case do not tell names apart"
    for field in schema.fields:
        if not _NAME.fullmatch(field.name):
            yield f"'{field.name}' is not a field name: use letters, digits and underscores"
        if (field.categorical or field.textual) and field.type != "string":
            yield f"{field.name} is {field.type}: only a string is categorical or textual"
    yield from _metadata_problems(schema)


def _known_problems(schema: Schema) -> Iterator[str]:
    fields = {field.name: field for field in schema.fields}
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
    textual = [field.name for field in schema.fields if field.textual]
    if len(textual) > (schema.dataset == ITEMS):
        yield f"{', '.join(textual)} are textual: Items may have one textual field, the other datasets none"
    metadata = [field for field in schema.metadata if field.name not in _RESERVED[schema.dataset]]
    if len(metadata) > _MAX_METADATA[schema.dataset]:
        yield f"{len(metadata)} metadata fields are more than the {_MAX_METADATA[schema.dataset]} of {schema.dataset}"
    if schema.dataset != INTERACTIONS and not schema.metadata:
        yield "at least one metadata field is needed"
