"""CreateSchema, DescribeSchema, ListSchemas, DeleteSchema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.catalog.resources import find
from personalize_spark.errors import InvalidInputException, ResourceInUseException
from personalize_spark.request import validate
from personalize_spark.schemas import INTERACTIONS, ITEMS, USERS, Schema
from personalize_spark.service.pages import page_of, shown
from personalize_spark.service.refusals import refuse

KIND = "schema"
_LISTED = ("name", "schemaArn", "creationDateTime", "lastUpdatedDateTime")


def create_schema(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Keep an Avro schema, which is a text with JSON; its record is named as the dataset type that it is for.

    Raises:
        InvalidInputException: the text is not a schema of Interactions, Items or Users.
        ResourceAlreadyExistsException: the name is taken.
    """
    validate("CreateSchema", params)
    refuse(params, "domain", "leave it out for a custom dataset group")
    schema = _parsed(params["schema"])
    arn = catalog.new_arn(KIND, params["name"])
    catalog.create(arn, {"name": params["name"], "schemaArn": str(arn), "schema": schema.avro()})
    return {"schemaArn": str(arn)}


def describe_schema(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """A schema, its Avro text included."""
    validate("DescribeSchema", params)
    record = find(catalog, params["schemaArn"], KIND)
    return {"schema": {**shown(record, _LISTED), "schema": json.dumps(record.fields["schema"])}}


def list_schemas(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """All schemas, the newest first."""
    validate("ListSchemas", params)
    page, rest = page_of(catalog.list(KIND), params)
    return {"schemas": [shown(record, _LISTED) for record in page], **rest}


def delete_schema(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Delete a schema.

    Raises:
        ResourceInUseException: a dataset has it.
    """
    validate("DeleteSchema", params)
    record = find(catalog, params["schemaArn"], KIND)
    for group in catalog.list("dataset-group"):
        for dataset in catalog.list("dataset", group.arn.name):
            if str(record.arn) in {dataset.fields["schemaArn"], dataset.fields.get("rowsSchemaArn")}:
                raise ResourceInUseException(f"{record.arn} is in use by {dataset.arn}; delete the dataset first.")
    catalog.delete(record)
    return {}


def _parsed(text: str) -> Schema:
    try:
        avro = json.loads(text)
    except ValueError as error:
        raise InvalidInputException(f"The schema is not valid JSON: {error}.") from error
    named = str(avro.get("name")).casefold() if isinstance(avro, dict) else ""
    dataset = next((each for each in (INTERACTIONS, ITEMS, USERS) if each.casefold() == named), None)
    if dataset is None:
        raise InvalidInputException(
            f'The schema must be a JSON object whose "name" is {INTERACTIONS}, {ITEMS} or {USERS}; other datasets are not supported.'
        )
    return Schema.parse(dataset, avro)
