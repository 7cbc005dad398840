"""CreateDatasetGroup, DescribeDatasetGroup, ListDatasetGroups, DeleteDatasetGroup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import forget_sole
from personalize_spark.catalog.resources import find, import_arn
from personalize_spark.catalog.status import Status
from personalize_spark.errors import ResourceInUseException
from personalize_spark.request import validate
from personalize_spark.service.pages import page_of, shown
from personalize_spark.service.refusals import refuse

KIND = "dataset-group"
_LISTED = ("name", "datasetGroupArn", "status", "creationDateTime", "lastUpdatedDateTime", "failureReason")
_DESCRIBED = (*_LISTED, "roleArn", "kmsKeyArn")


def create_dataset_group(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Make an empty dataset group; it is ACTIVE at once.

    Raises:
        InvalidInputException: it is to be one of a domain, whose recommenders are no batch jobs.
        ResourceAlreadyExistsException: the name is taken.
    """
    validate("CreateDatasetGroup", params)
    refuse(params, "domain", "leave it out for a custom dataset group, which batch inference needs")
    refuse(params, "kmsKeyArn", "encrypt the catalog's bucket with a default key")
    arn = catalog.new_arn(KIND, params["name"])
    given = {name: params[name] for name in ("name", "roleArn") if params.get(name)}
    fields = {"datasetGroupArn": str(arn), "tags": params.get("tags") or [], "status": Status.ACTIVE}
    catalog.create(arn, {**given, **fields})
    return {"datasetGroupArn": str(arn)}


def describe_dataset_group(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """A dataset group."""
    validate("DescribeDatasetGroup", params)
    return {"datasetGroup": shown(find(catalog, params["datasetGroupArn"], "dataset group"), _DESCRIBED)}


def list_dataset_groups(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """All dataset groups, the newest first."""
    validate("ListDatasetGroups", params)
    page, rest = page_of(catalog.list(KIND), params)
    return {"datasetGroups": [shown(record, _LISTED) for record in page], **rest}


def delete_dataset_group(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Delete a dataset group that nothing belongs to any more.

    Raises:
        ResourceInUseException: it has datasets, solutions, filters or an event tracker.
    """
    validate("DeleteDatasetGroup", params)
    group = find(catalog, params["datasetGroupArn"], "dataset group")
    for owned in _owned(catalog, group):
        raise ResourceInUseException(
            f"{group.arn} still has {owned.arn}; delete its solutions, filters, datasets and event tracker."
        )
    for folder in ("views", "datasets"):
        catalog.store.at(f"{folder}/{group.arn.name}").delete("")
    forget_sole(catalog, import_arn(group.arn))
    catalog.delete(group)
    return {}


def _owned(catalog: Catalog, group: Record) -> Iterator[Record]:
    yield from catalog.list("dataset", group.arn.name)
    for kind in ("solution", "filter", "event-tracker"):
        yield from (each for each in catalog.list(kind) if each.fields.get("datasetGroupArn") == str(group.arn))
