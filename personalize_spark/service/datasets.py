"""CreateDataset, UpdateDataset, DescribeDataset, ListDatasets, DeleteDataset."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.catalog.lease import running
from personalize_spark.catalog.resources import dataset_arn, find, find_own_schema
from personalize_spark.catalog.status import Status
from personalize_spark.datasets.puts import folder_of
from personalize_spark.errors import InvalidInputException, ResourceInUseException
from personalize_spark.request import validate
from personalize_spark.schemas import Schema
from personalize_spark.service.data_deletion_jobs import KIND as DELETION
from personalize_spark.service.dataset_export_jobs import KIND as EXPORT
from personalize_spark.service.dataset_import_jobs import KIND as IMPORT
from personalize_spark.service.pages import page_of, shown

KIND = "dataset"
_LISTED = ("name", "datasetArn", "datasetType", "status", "creationDateTime", "lastUpdatedDateTime")
_DESCRIBED = (*_LISTED, "datasetGroupArn", "schemaArn", "latestDatasetUpdate")


def create_dataset(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Make an empty dataset of a dataset group; it is ACTIVE at once.

    Raises:
        InvalidInputException: the schema is for another dataset type.
        ResourceAlreadyExistsException: the group has such a dataset.
        ResourceNotFoundException: there is no such dataset group or schema.
    """
    validate("CreateDataset", params)
    group = find(catalog, params["datasetGroupArn"], "dataset group")
    schema = find(catalog, params["schemaArn"], "schema")
    kind = schema.fields["schema"]["name"]
    if params["datasetType"].casefold() != kind.casefold():
        raise InvalidInputException(f"The schema {schema.arn} is for {kind}, not for {params['datasetType']}.")
    arn = dataset_arn(group.arn, kind)
    given = {name: params[name] for name in ("name", "datasetGroupArn", "schemaArn")}
    fields = {"datasetArn": str(arn), "datasetType": kind, "tags": params.get("tags") or [], "status": Status.ACTIVE}
    catalog.create(arn, given | fields)
    return {"datasetArn": str(arn)}


def update_dataset(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Give a dataset a schema with more columns. Its rows stay as they are until the next FULL import, which must have them.

    Raises:
        InvalidInputException: the schema is for another dataset type, lacks a column, or adds one that may not be null.
        ResourceNotFoundException: there is no such dataset or schema.
    """
    validate("UpdateDataset", params)
    dataset, schema = find(catalog, params["datasetArn"], KIND), find(catalog, params["schemaArn"], "schema")
    old, new = find_own_schema(catalog, dataset), Schema.read(schema.fields["schema"])
    if old.dataset != new.dataset:
        raise InvalidInputException(f"The schema {schema.arn} is for {new.dataset}, not for {old.dataset}.")
    if lost := [each.name for each in old.columns if each not in new.columns]:
        raise InvalidInputException(f"The schema {schema.arn} must have the field {lost[0]} as it is in {old.dataset}.")
    if strict := [each.name for each in new.columns if each not in old.columns and not each.nullable]:
        raise InvalidInputException(f'The new field {strict[0]} must be nullable: give it the type ["null", ...].')
    now = time.time()
    update = {
        "schemaArn": str(schema.arn),
        "status": Status.ACTIVE,
        "creationDateTime": now,
        "lastUpdatedDateTime": now,
    }
    rows = dataset.fields.get("rowsSchemaArn") or dataset.fields["schemaArn"]
    kept = {"rowsSchemaArn": rows} if "deltaVersion" in dataset.fields else {}
    catalog.update(dataset, schemaArn=str(schema.arn), latestDatasetUpdate=update, **kept)
    return {"datasetArn": str(dataset.arn)}


def describe_dataset(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """A dataset."""
    validate("DescribeDataset", params)
    return {"dataset": shown(find(catalog, params["datasetArn"], KIND), _DESCRIBED)}


def list_datasets(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The datasets of a dataset group, or of all, the newest first."""
    validate("ListDatasets", params)
    if params.get("datasetGroupArn"):
        groups = [find(catalog, params["datasetGroupArn"], "dataset group")]
    else:
        groups = list(catalog.list("dataset-group"))
    records = [dataset for group in groups for dataset in catalog.list(KIND, group.arn.name)]
    page, rest = page_of(records, params)
    return {"datasets": [shown(record, _LISTED) for record in page], **rest}


def delete_dataset(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Delete a dataset and its rows. The group has no view until the next import, which makes one of what is left.

    Raises:
        ResourceInUseException: an import, an export, a deletion or a training of the group has not ended.
    """
    validate("DeleteDataset", params)
    dataset = find(catalog, params["datasetArn"], KIND)
    group = catalog.read(Arn.parse(dataset.fields["datasetGroupArn"]))
    busy = [
        job
        for kind in (IMPORT, EXPORT)
        for job in running(catalog, kind)
        if job.fields["datasetArn"] == str(dataset.arn)
    ]
    busy += [job for job in running(catalog, DELETION) if job.fields["datasetGroupArn"] == str(group.arn)]
    for solution in catalog.list("solution"):
        if solution.fields.get("datasetGroupArn") == str(group.arn):
            busy += running(catalog, "solution", solution.arn.name)
    if busy:
        raise ResourceInUseException(f"{dataset.arn} is in use by {busy[0].arn}; wait until that has ended.")
    kind = dataset.fields["datasetType"]
    catalog.delete(dataset)
    if "view" in group.fields:
        catalog.update(group, view=None)
    for folder in (f"datasets/{group.arn.name}/{kind.lower()}", folder_of(group.arn, kind)):
        catalog.store.at(folder).delete("")
    return {}
