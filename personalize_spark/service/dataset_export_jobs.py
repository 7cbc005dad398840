"""CreateDatasetExportJob, DescribeDatasetExportJob, ListDatasetExportJobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import reap
from personalize_spark.catalog.resources import find, find_dataset
from personalize_spark.catalog.status import Status
from personalize_spark.request import validate
from personalize_spark.service.data_jobs import begin_data_job
from personalize_spark.service.pages import page_of_kind, shown
from personalize_spark.service.work import Begin
from personalize_spark.storage.location import uri_of
from personalize_spark.storage.store import Access

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KIND = "dataset-export-job"
_LISTED = (
    *("datasetExportJobArn", "jobName", "status", "creationDateTime", "lastUpdatedDateTime"),
    "failureReason",
)
_DESCRIBED = (*_LISTED, "datasetArn", "ingestionMode", "roleArn", "jobOutput")


def begin_dataset_export_job(catalog: Catalog, params: Mapping[str, Any], begin: Begin) -> Fields:
    """CreateDatasetExportJob: begin to write the rows of a dataset as CSV files, to S3 or `file:///`.

    Raises:
        InvalidInputException: the output is no place.
        ResourceAlreadyExistsException: the name is taken.
        ResourceNotFoundException: there is no such dataset, or it has no rows.
    """
    validate("CreateDatasetExportJob", params)
    dataset = find(catalog, params["datasetArn"], "dataset")
    find_dataset(catalog, Arn.parse(dataset.fields["datasetGroupArn"]), dataset.fields["datasetType"])
    arn = dataset.arn.sibling(KIND, params["jobName"])
    given = {name: params[name] for name in ("jobName", "datasetArn", "roleArn", "jobOutput")}
    fields = {"datasetExportJobArn": str(arn), "ingestionMode": params.get("ingestionMode") or "PUT"}
    told = {"tags": params.get("tags") or [], "status": Status.PENDING}
    record = catalog.create(arn, {**given, **fields, **told})
    begin_data_job(catalog, record, begin, lambda spark: {"report": {"rows": _export(spark, catalog, record)}})
    return {"datasetExportJobArn": str(arn)}


def describe_dataset_export_job(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """An export as it stands; one whose driver is gone is CREATE FAILED from now on."""
    validate("DescribeDatasetExportJob", params)
    [record] = reap(catalog, [find(catalog, params["datasetExportJobArn"], "dataset export job")])
    return {"datasetExportJob": shown(record, _DESCRIBED)}


def list_dataset_export_jobs(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The exports of the catalog, or of one dataset, the newest first."""
    validate("ListDatasetExportJobs", params)
    page, rest = page_of_kind(catalog, KIND, params, "datasetArn")
    return {"datasetExportJobs": [shown(record, _LISTED) for record in reap(catalog, page)], **rest}


def _export(spark: SparkSession, catalog: Catalog, record: Record) -> int:
    from personalize_spark.datasets.exports import Rows, export_rows
    from personalize_spark.solutions.take_in import take_in

    dataset = find(catalog, record.fields["datasetArn"], "dataset")
    if take_in(spark, catalog, Arn.parse(dataset.fields["datasetGroupArn"])):
        dataset = catalog.read(dataset.arn)
    destination = record.fields["jobOutput"]["s3DataDestination"]
    folder = f"{uri_of(destination['path']).rstrip('/')}/{record.arn.name}/"
    access = Access(kms_key_arn=destination.get("kmsKeyArn"))
    return export_rows(spark, catalog, dataset, Rows(record.fields["ingestionMode"]), folder, access)
