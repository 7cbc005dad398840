"""PutEvents, PutItems, PutUsers: rows that are checked as an import checks them, and kept until Spark takes them into Delta.

None of them needs Spark. `datasets.puts` says where the rows wait.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.catalog.resources import dataset_arn, find, find_own_schema
from personalize_spark.datasets.puts import PUT, Puts
from personalize_spark.datasets.rows import REASON, Reading, typed
from personalize_spark.errors import InvalidInputException, ResourceNotFoundException, did_you_mean
from personalize_spark.request import validate
from personalize_spark.schemas import EVENT_TYPE, INTERACTIONS, ITEMS, USERS, Schema
from personalize_spark.service.event_trackers import tracker_of

_EVENT = {
    "itemId": "ITEM_ID",
    "eventValue": "EVENT_VALUE",
    "impression": "IMPRESSION",
    "recommendationId": "RECOMMENDATION_ID",
}
"""Members of an event, and the fields that they are put into."""
Row = dict[str, str]
"""By field, the text that a CSV file would have."""


def put_events(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Put interactions. An event whose `eventId` is known is the same event; `sessionId` has no effect.

    Raises:
        InvalidInputException: there is no such tracker, or an event is no row of the Interactions dataset.
    """
    validate("PutEvents", params)
    group = Arn.parse(tracker_of(catalog, params["trackingId"]).fields["datasetGroupArn"])
    try:
        schema = find_own_schema(catalog, catalog.read(dataset_arn(group, INTERACTIONS)))
    except ResourceNotFoundException as error:
        raise InvalidInputException(f"The dataset group {group.name} has no {INTERACTIONS} dataset.") from error
    if not params.get("userId"):
        raise InvalidInputException("userId is required: the events of a session are not given to its user later.")
    names = [f"eventList[{number}]" for number in range(len(params["eventList"]))]
    rows = [_event(schema, params["userId"], *each) for each in zip(params["eventList"], names, strict=True)]
    ids = [each.get("eventId") or str(uuid.uuid4()) for each in params["eventList"]]
    Puts(catalog, group, INTERACTIONS).add(_typed(schema, rows, names, ids))
    return {}


def put_items(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Put items, in place of those that have the same id.

    Raises:
        InvalidInputException: the dataset has no items, or one is no row of it.
        ResourceNotFoundException: there is no such dataset.
    """
    validate("PutItems", params)
    return _put(catalog, params["datasetArn"], ITEMS, "ITEM_ID", "itemId", params["items"])


def put_users(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Put users, in place of those that have the same id; see `put_items`."""
    validate("PutUsers", params)
    return _put(catalog, params["datasetArn"], USERS, "USER_ID", "userId", params["users"])


def _put(catalog: Catalog, arn: str, kind: str, key: str, member: str, given: Sequence[Fields]) -> Fields:
    dataset = find(catalog, arn, "dataset")
    if dataset.fields["datasetType"] != kind:
        raise InvalidInputException(f"{arn} is the dataset {dataset.fields['datasetType']}, not {kind}.")
    schema = find_own_schema(catalog, dataset)
    names = [f"{kind.lower()}[{number}]" for number in range(len(given))]
    rows = [_properties(schema, *each) | {key: each[0][member]} for each in zip(given, names, strict=True)]
    ids = [each[member] for each in given]
    Puts(catalog, Arn.parse(dataset.fields["datasetGroupArn"]), kind).add(_typed(schema, rows, names, ids))
    return {}


def _event(schema: Schema, user: str, event: Fields, name: str) -> Row:
    if event.get("metricAttribution"):
        raise InvalidInputException(f"{name}: metricAttribution is not supported: a batch system has none.")
    row = _properties(schema, event, name)
    for member, field in _EVENT.items():
        if event.get(member) is None:
            continue
        if not schema.has(field):
            raise InvalidInputException(f"{name}: the schema of {INTERACTIONS} has no {field} for {member}.")
        row[field] = _text(event[member], f"{name}.{member}")
    if schema.has(EVENT_TYPE):  # every event must have one
        row[EVENT_TYPE] = event["eventType"]
    return row | {"USER_ID": user, "TIMESTAMP": str(int(event["sentAt"]))}


def _properties(schema: Schema, given: Fields, name: str) -> Row:
    """The `properties`: a JSON object in a string, whose names are those of the schema in camel case."""
    if not given.get("properties"):
        return {}
    try:
        found = orjson.loads(given["properties"])
    except orjson.JSONDecodeError as error:
        raise InvalidInputException(f"{name}.properties is not valid JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidInputException(f"{name}.properties must be a JSON object.")
    fields = {_bare(field): field for field in schema.names}
    if unknown := [each for each in found if _bare(each) not in fields]:
        hint = did_you_mean(unknown[0], map(_camel, schema.names))
        raise InvalidInputException(f"{name}.properties: {schema.dataset} has no field for '{unknown[0]}'{hint}.")
    return {fields[_bare(each)]: _text(value, f"{name}.properties.{each}") for each, value in found.items()}


def _typed(schema: Schema, rows: Sequence[Row], names: Sequence[str], ids: Sequence[str]) -> list[Fields]:
    """The rows as the table has them, each with its id.

    Raises:
        InvalidInputException: one message with everything that is wrong.
    """
    columns = [[row.get(field, "") for row in rows] for field in schema.names]
    found = typed(columns, range(len(rows)), Reading(schema)).to_pylist()
    if problems := [f"{name}: {row[REASON]}" for name, row in zip(names, found, strict=True) if row[REASON]]:
        raise InvalidInputException(f"{'; '.join(problems)}.")
    return [{field: row[field] for field in schema.names} | {PUT: each} for row, each in zip(found, ids, strict=True)]


def _text(value: object, name: str) -> str:
    """A value as a CSV file has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "|".join(value)
    raise InvalidInputException(f"{name} must be a text, a number, true or false, or a list of texts.")


def _bare(name: str) -> str:
    """What names that differ in case and underscores have in common."""
    return name.replace("_", "").upper()


def _camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    return first + "".join(map(str.title, rest))
