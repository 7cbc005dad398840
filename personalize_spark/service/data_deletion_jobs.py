"""CreateDataDeletionJob, DescribeDataDeletionJob, ListDataDeletionJobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import reap, running
from personalize_spark.catalog.resources import find
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException, LimitExceededException
from personalize_spark.request import validate
from personalize_spark.schemas import INTERACTIONS
from personalize_spark.service.data_jobs import begin_data_job
from personalize_spark.service.pages import page_of_kind, shown
from personalize_spark.service.work import Begin
from personalize_spark.storage.location import uri_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KIND = "data-deletion-job"
MAX_UNFINISHED = 5
_STATUSES: Mapping[str, str] = {
    Status.PENDING: "PENDING",
    Status.IN_PROGRESS: "IN_PROGRESS",
    Status.ACTIVE: "COMPLETED",
    Status.FAILED: "FAILED",
}
"""The service spells the states of these jobs, and of no others, like this."""
_LISTED = (
    *("dataDeletionJobArn", "datasetGroupArn", "jobName", "status", "creationDateTime", "lastUpdatedDateTime"),
    "failureReason",
)
_DESCRIBED = (*_LISTED, "dataSource", "roleArn", "numDeleted")


def begin_data_deletion_job(catalog: Catalog, params: Mapping[str, Any], begin: Begin) -> Fields:
    """CreateDataDeletionJob: begin to delete the users that CSV files list from the datasets of a group.

    Raises:
        InvalidInputException: there is no data location, or it is not one.
        LimitExceededException: five jobs of the group have not ended.
        ResourceAlreadyExistsException: the name is taken.
        ResourceNotFoundException: there is no such dataset group.
    """
    validate("CreateDataDeletionJob", params)
    group = find(catalog, params["datasetGroupArn"], "dataset group")
    if not params["dataSource"].get("dataLocation"):
        raise InvalidInputException("dataSource.dataLocation is required.")
    if sum(each.fields["datasetGroupArn"] == str(group.arn) for each in running(catalog, KIND)) >= MAX_UNFINISHED:
        raise LimitExceededException(
            f"{MAX_UNFINISHED} data deletion jobs of {group.arn} have not ended; wait for one."
        )
    arn = group.arn.sibling(KIND, params["jobName"])
    given = {name: params[name] for name in ("jobName", "datasetGroupArn", "dataSource", "roleArn")}
    told = {"dataDeletionJobArn": str(arn), "tags": params.get("tags") or [], "status": Status.PENDING}
    record = catalog.create(arn, {**given, **told})
    begin_data_job(catalog, record, begin, lambda spark: {"numDeleted": _delete(spark, catalog, record)})
    return {"dataDeletionJobArn": str(arn)}


def describe_data_deletion_job(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """A deletion as it stands; one whose driver is gone is FAILED from now on."""
    validate("DescribeDataDeletionJob", params)
    [record] = reap(catalog, [find(catalog, params["dataDeletionJobArn"], "data deletion job")])
    return {"dataDeletionJob": _shown(record, _DESCRIBED)}


def list_data_deletion_jobs(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The deletions of the catalog, or of one dataset group, the newest first."""
    validate("ListDataDeletionJobs", params)
    page, rest = page_of_kind(catalog, KIND, params, "datasetGroupArn")
    return {"dataDeletionJobs": [_shown(record, _LISTED) for record in reap(catalog, page)], **rest}


def _shown(record: Record, names: tuple[str, ...]) -> Fields:
    return {**shown(record, names), "status": _STATUSES[record.status]}


def _delete(spark: SparkSession, catalog: Catalog, record: Record) -> int:
    from personalize_spark.datasets.deletions import delete_users
    from personalize_spark.solutions.refresh_users import refresh_users

    group = find(catalog, record.fields["datasetGroupArn"], "dataset group").arn
    deleted = delete_users(spark, catalog, group, uri_of(record.fields["dataSource"]["dataLocation"]))
    if INTERACTIONS in deleted:
        refresh_users(spark, catalog, group.name)
    return sum(deleted.values())
