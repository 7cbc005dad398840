"""CreateDatasetImportJob, DescribeDatasetImportJob, ListDatasetImportJobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import reap
from personalize_spark.catalog.resources import find, find_own_schema
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException
from personalize_spark.request import validate
from personalize_spark.schemas import INTERACTIONS
from personalize_spark.service.data_jobs import begin_data_job
from personalize_spark.service.pages import page_of_kind, shown
from personalize_spark.service.refusals import refuse
from personalize_spark.service.work import Begin
from personalize_spark.storage.location import uri_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KIND = "dataset-import-job"
_LISTED = (
    *("datasetImportJobArn", "jobName", "status", "creationDateTime", "lastUpdatedDateTime"),
    *("failureReason", "importMode"),
)
_DESCRIBED = (*_LISTED, "datasetArn", "dataSource", "roleArn")


def begin_dataset_import_job(catalog: Catalog, params: Mapping[str, Any], begin: Begin) -> Fields:
    """CreateDatasetImportJob: begin to import CSV files into a dataset, from S3 or `file:///`.

    Raises:
        InvalidInputException: there is no data location, or it is not one.
        ResourceAlreadyExistsException: the name is taken.
        ResourceNotFoundException: there is no such dataset.
    """
    validate("CreateDatasetImportJob", params)
    refuse(params, "publishAttributionMetricsToS3", "a batch system has no metric attributions")
    dataset = find(catalog, params["datasetArn"], "dataset")
    if not params["dataSource"].get("dataLocation"):
        raise InvalidInputException("dataSource.dataLocation is required.")
    arn = dataset.arn.sibling(KIND, params["jobName"])
    given = {name: params[name] for name in ("jobName", "datasetArn", "dataSource", "roleArn") if params.get(name)}
    fields = {"datasetImportJobArn": str(arn), "importMode": params.get("importMode") or "FULL"}
    told = {"tags": params.get("tags") or [], "status": Status.PENDING}
    record = catalog.create(arn, {**given, **fields, **told})
    begin_data_job(catalog, record, begin, lambda spark: {"report": _import_rows(spark, catalog, record)})
    return {"datasetImportJobArn": str(arn)}


def describe_dataset_import_job(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """An import as it stands; one whose driver is gone is CREATE FAILED from now on."""
    validate("DescribeDatasetImportJob", params)
    [record] = reap(catalog, [find(catalog, params["datasetImportJobArn"], "dataset import job")])
    return {"datasetImportJob": shown(record, _DESCRIBED)}


def list_dataset_import_jobs(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The imports of the catalog, or of one dataset, the newest first."""
    validate("ListDatasetImportJobs", params)
    page, rest = page_of_kind(catalog, KIND, params, "datasetArn")
    return {"datasetImportJobs": [shown(record, _LISTED) for record in reap(catalog, page)], **rest}


def _import_rows(spark: SparkSession, catalog: Catalog, record: Record) -> Fields:
    from personalize_spark.datasets.imports import CsvSource, ImportMode, plan_import, run_import
    from personalize_spark.solutions.refresh_users import refresh_users

    dataset = find(catalog, record.fields["datasetArn"], "dataset")
    kind, group = dataset.fields["datasetType"], Arn.parse(dataset.fields["datasetGroupArn"]).name
    source = CsvSource(uri_of(record.fields["dataSource"]["dataLocation"]), find_own_schema(catalog, dataset).avro())
    plan = plan_import(catalog, group, {kind: source}, ImportMode(record.fields["importMode"]))
    [imported] = run_import(spark, catalog, plan).datasets
    if kind == INTERACTIONS:
        refresh_users(spark, catalog, group)
    return {"rows": imported.rows, "replaced": imported.replaced, "rejected": imported.rejected}
