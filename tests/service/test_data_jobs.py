"""Exports and deletions: what is created, described, listed and refused; and on a real session, what they do to the data."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import personalize_spark as ps
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.shards import Shards
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import dataset_arn
from personalize_spark.catalog.status import Status
from personalize_spark.datasets.csv_files import open_csv
from personalize_spark.errors import (
    DataError,
    InvalidInputException,
    LimitExceededException,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from personalize_spark.service.work import Compute
from tests.service.test_datasets import AVRO, ROLE, Service

ROWS = [
    ("u1", "a", 10, 'says "so", and\n\\ends'),
    ("u1", "b", 11, ""),
    ("ü2", "a", 12, "\\N"),
    ("ü2", "a", 12, "\\N"),
    ("u3", "c", 13, "plain"),
]
AGE = {"name": "AGE", "type": "int"}
TOLD = {**AVRO, "fields": [*AVRO["fields"], {"name": "TOLD", "type": ["null", "string"]}]}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(Catalog(tmp_path / "catalog"))


def export_of(service: Service, dataset: str, folder: Path, name: str = "out", **more: Any) -> str:
    output = {"s3DataDestination": {"path": f"file://{folder}/"}}
    asked = {"jobName": name, "datasetArn": dataset, "roleArn": ROLE, "jobOutput": output, **more}
    arn: str = service("CreateDatasetExportJob", **asked)["datasetExportJobArn"]
    return arn


def deletion_of(service: Service, group: str, where: str, name: str = "forget") -> str:
    source = {"dataLocation": where} if where else {}
    asked = {"jobName": name, "datasetGroupArn": group, "dataSource": source, "roleArn": ROLE}
    arn: str = service("CreateDataDeletionJob", **asked)["dataDeletionJobArn"]
    return arn


def with_data(service: Service) -> dict[str, str]:
    """A dataset that is said to have rows."""
    arns = service.dataset()
    service.catalog.update(service.catalog.read(Arn.parse(arns["dataset"])), deltaVersion=0)
    return arns


def test_an_export_is_created_described_and_listed(service: Service, tmp_path: Path) -> None:
    arns = service.dataset()
    with pytest.raises(ResourceNotFoundException, match="import interactions first"):
        export_of(service, arns["dataset"], tmp_path)
    service.catalog.update(service.catalog.read(Arn.parse(arns["dataset"])), deltaVersion=0)
    tags = [{"tagKey": "team", "tagValue": "home"}]
    job = export_of(service, arns["dataset"], tmp_path, tags=tags)
    assert job.endswith(":dataset-export-job/out")
    described = service("DescribeDatasetExportJob", datasetExportJobArn=job)["datasetExportJob"]
    assert (described["status"], described["ingestionMode"], described["roleArn"]) == ("CREATE PENDING", "PUT", ROLE)
    assert described["jobOutput"] == {"s3DataDestination": {"path": f"file://{tmp_path}/"}}
    assert service("ListTagsForResource", resourceArn=job)["tags"] == tags
    second = export_of(service, arns["dataset"], tmp_path, "more", ingestionMode="ALL")
    page = service("ListDatasetExportJobs", datasetArn=arns["dataset"], maxResults=1)
    assert [each["datasetExportJobArn"] for each in page["datasetExportJobs"]] == [second]
    [last] = service("ListDatasetExportJobs", nextToken=page["nextToken"])["datasetExportJobs"]
    assert last["datasetExportJobArn"] == job
    with pytest.raises(ResourceAlreadyExistsException):
        export_of(service, arns["dataset"], tmp_path)
    with pytest.raises(InvalidInputException, match="BULK, PUT, ALL"):
        export_of(service, arns["dataset"], tmp_path, "third", ingestionMode="SOME")
    with pytest.raises(ResourceInUseException, match="dataset-export-job/more"):
        service("DeleteDataset", datasetArn=arns["dataset"])


def test_a_deletion_has_states_of_its_own(service: Service) -> None:
    arns = with_data(service)
    job = deletion_of(service, arns["group"], "s3://acme/users.csv")
    assert job.endswith(":data-deletion-job/forget")
    record = service.catalog.read(Arn.parse(job))
    for status, told in (
        (Status.PENDING, "PENDING"),
        (Status.IN_PROGRESS, "IN_PROGRESS"),
        (Status.FAILED, "FAILED"),
        (Status.ACTIVE, "COMPLETED"),
    ):
        service.catalog.update(record, status=status, numDeleted=3)
        described = service("DescribeDataDeletionJob", dataDeletionJobArn=job)["dataDeletionJob"]
        [listed] = service("ListDataDeletionJobs", datasetGroupArn=arns["group"])["dataDeletionJobs"]
        assert described["status"] == listed["status"] == told
    assert (described["numDeleted"], described["dataSource"]) == (3, {"dataLocation": "s3://acme/users.csv"})


def test_a_deletion_that_cannot_be_is_refused(service: Service) -> None:
    arns = with_data(service)
    with pytest.raises(InvalidInputException, match="dataLocation is required"):
        deletion_of(service, arns["group"], "")
    with pytest.raises(InvalidInputException, match="not the ARN of a dataset group"):
        deletion_of(service, arns["dataset"], "s3://acme/users.csv")
    for number in range(5):
        deletion_of(service, arns["group"], "s3://acme/users.csv", f"job-{number}")
    with pytest.raises(LimitExceededException, match="5 data deletion jobs"):
        deletion_of(service, arns["group"], "s3://acme/users.csv")
    with pytest.raises(ResourceInUseException, match="data-deletion-job/job-"):
        service("DeleteDataset", datasetArn=arns["dataset"])


def imported(catalog: Catalog, folder: Path, spark: Any) -> dict[str, str]:
    """A group with interactions and users."""
    users: dict[str, Any] = {"type": "record", "name": "Users", "fields": [AVRO["fields"][0], AGE]}
    texts: dict[str, list[Any]] = {"Interactions": ROWS, "Users": [("u1", 30), ("ü2", 40), ("u9", 50)]}
    given: dict[str, Any] = {}
    for avro in (TOLD, users):
        kind = avro["name"]
        with (folder / f"{kind}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, escapechar="\\")
            writer.writerows([[each["name"] for each in avro["fields"]], *texts[kind]])
        given[kind.lower()] = folder / f"{kind}.csv"
        given[f"{kind.lower()}_schema"] = avro
    group = Arn.parse(ps.import_datasets(catalog, "shop", **given, spark=spark).dataset_group_arn)
    return {"group": str(group), **{kind: str(dataset_arn(group, kind)) for kind in texts}}


def finish(service: Service, spark: Any) -> None:
    """Do what has begun."""
    begun, service.begun = service.begun, []
    for _, work in begun:
        work(Compute("spark", spark))


def rows_below(folder: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the CSV files below a folder, as an import reads them."""
    header, rows = [], []
    for path in sorted(folder.glob("*.csv")):
        with path.open("rb") as file:
            opened = open_csv(file, path.name)
            header = opened.header
            rows += list(opened.rows)
    return header, sorted(rows)


@pytest.mark.spark
def test_a_dataset_comes_out_as_it_went_in_and_users_are_forgotten(
    service: Service, tmp_path: Path, spark: Any
) -> None:
    arns = imported(service.catalog, tmp_path, spark)
    job = export_of(service, arns["Interactions"], tmp_path / "out", "all", ingestionMode="ALL")
    export_of(service, arns["Interactions"], tmp_path / "out", "put")
    finish(service, spark)
    assert service("DescribeDatasetExportJob", datasetExportJobArn=job)["datasetExportJob"]["status"] == "ACTIVE"
    header, rows = rows_below(tmp_path / "out" / "all")
    assert header == ["USER_ID", "ITEM_ID", "TIMESTAMP", "TOLD"]
    assert rows == sorted([str(value) for value in row] for row in {*ROWS})
    assert rows_below(tmp_path / "out" / "put") == (header, [])

    (tmp_path / "gone.csv").write_text("USER_ID\nü2\nu9\nnobody\n", encoding="utf-8")
    deletion = deletion_of(service, arns["group"], f"file://{tmp_path}/gone.csv")
    finish(service, spark)
    described = service("DescribeDataDeletionJob", dataDeletionJobArn=deletion)["dataDeletionJob"]
    assert (described["status"], described["numDeleted"]) == ("COMPLETED", 4)
    view = Pinned(**service.catalog.read(Arn.parse(arns["group"])).fields["view"]).open()
    assert [found.rows.tolist() for found in Shards(view, "users").find(["ü2".encode(), b"u9"])] == []
    assert view.properties["users"] == 2
    assert view.properties["interactions"] == 3
    export_of(service, arns["Users"], tmp_path / "out", "users", ingestionMode="BULK")
    finish(service, spark)
    assert rows_below(tmp_path / "out" / "users") == (["USER_ID", "AGE"], [["u1", "30"]])

    (tmp_path / "gone.csv").write_text("user\nu1\n")
    wrong = deletion_of(service, arns["group"], f"file://{tmp_path}/gone.csv", "wrong")
    with pytest.raises(DataError):
        finish(service, spark)
    described = service("DescribeDataDeletionJob", dataDeletionJobArn=wrong)["dataDeletionJob"]
    assert described["status"] == "FAILED"
    assert "it must have USER_ID alone" in described["failureReason"]
