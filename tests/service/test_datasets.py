"""Schemas, dataset groups, datasets and tags, by the table of operations."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.catalog import lease
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.resources import find_dataset, find_own_schema, find_schema, import_arn
from personalize_spark.catalog.status import Status
from personalize_spark.errors import (
    InvalidInputException,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
    TooManyTagsException,
)
from personalize_spark.service.operations import perform
from personalize_spark.service.work import Work

FIELDS = [{"name": "USER_ID", "type": "string"}, {"name": "ITEM_ID", "type": "string"}]
AVRO: dict[str, Any] = {
    "type": "record",
    "name": "Interactions",
    "fields": [*FIELDS, {"name": "TIMESTAMP", "type": "long"}],
}
ROLE = "arn:aws:iam::111122223333:role/PersonalizeBatch"


class Service:
    """Operations as methods; what begins is kept."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.begun: list[tuple[Record, Work]] = []

    def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        return perform(self.catalog, operation, params, lambda record, work: self.begun.append((record, work)))

    def dataset(self) -> dict[str, str]:
        """A dataset group with a dataset, without data."""
        group = self("CreateDatasetGroup", name="shop")["datasetGroupArn"]
        schema = self("CreateSchema", name="clicks", schema=json.dumps(AVRO))["schemaArn"]
        kind = {"datasetType": "INTERACTIONS", "name": "shop-clicks"}
        dataset = self("CreateDataset", datasetGroupArn=group, schemaArn=schema, **kind)["datasetArn"]
        return {"group": group, "schema": schema, "dataset": dataset}

    def import_of(self, dataset: str, name: str = "first", **more: Any) -> str:
        source = {"dataLocation": "s3://acme/interactions.csv"}
        asked = {"jobName": name, "datasetArn": dataset, "dataSource": source, "roleArn": ROLE, **more}
        arn: str = self("CreateDatasetImportJob", **asked)["datasetImportJobArn"]
        return arn


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(Catalog(tmp_path))


def test_a_schema_is_created_described_listed_and_deleted(service: Service) -> None:
    arn = service("CreateSchema", name="clicks", schema=json.dumps(AVRO))["schemaArn"]
    assert arn == "arn:aws:personalize:us-east-1:000000000000:schema/clicks"
    described = service("DescribeSchema", schemaArn=arn)["schema"]
    assert [each["name"] for each in json.loads(described["schema"])["fields"]] == ["USER_ID", "ITEM_ID", "TIMESTAMP"]
    assert [each["name"] for each in service("ListSchemas")["schemas"]] == ["clicks"]
    with pytest.raises(ResourceAlreadyExistsException):
        service("CreateSchema", name="clicks", schema=json.dumps(AVRO))
    assert service("DeleteSchema", schemaArn=arn) == {}
    with pytest.raises(ResourceNotFoundException):
        service("DescribeSchema", schemaArn=arn)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"schema": "{"}, "not valid JSON"),
        ({"schema": "[]"}, "must be a JSON object"),
        ({"schema": json.dumps({**AVRO, "name": "Actions"})}, "Interactions, Items or Users"),
        ({"schema": json.dumps({**AVRO, "fields": FIELDS})}, "required field TIMESTAMP is missing"),
        ({"domain": "ECOMMERCE"}, "domain is not supported"),
    ],
)
def test_what_is_no_schema_is_refused(service: Service, more: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidInputException, match=said):
        service("CreateSchema", **{"name": "clicks", "schema": json.dumps(AVRO), **more})


def test_a_dataset_lives_and_dies_with_its_group(service: Service) -> None:
    arns = service.dataset()
    assert arns["dataset"].endswith(":dataset/shop/INTERACTIONS")
    described = service("DescribeDataset", datasetArn=arns["dataset"])["dataset"]
    assert (described["name"], described["datasetType"], described["status"]) == (
        "shop-clicks",
        "Interactions",
        "ACTIVE",
    )
    assert described["schemaArn"] == arns["schema"]
    for asked in ({}, {"datasetGroupArn": arns["group"]}):
        assert [each["name"] for each in service("ListDatasets", **asked)["datasets"]] == ["shop-clicks"]
    with pytest.raises(ResourceInUseException, match="delete the dataset first"):
        service("DeleteSchema", schemaArn=arns["schema"])
    with pytest.raises(ResourceInUseException, match="still has arn:.*dataset/shop"):
        service("DeleteDatasetGroup", datasetGroupArn=arns["group"])
    for operation, arn in (("DeleteDataset", "dataset"), ("DeleteSchema", "schema")):
        assert service(operation, **{f"{arn}Arn": arns[arn]}) == {}
    assert service("DeleteDatasetGroup", datasetGroupArn=arns["group"]) == {}
    assert service("ListDatasetGroups") == {"datasetGroups": []}
    assert list(service.catalog.store.list()) == []


def test_a_dataset_that_a_group_has_not_is_not_found(service: Service) -> None:
    arn = service.dataset()["dataset"].replace("INTERACTIONS", "USERS")
    with pytest.raises(ResourceNotFoundException, match="dataset/shop/USERS does not exist"):
        service("DescribeDataset", datasetArn=arn)


def test_a_dataset_without_data_is_said_to_have_none(service: Service) -> None:
    arns = service.dataset()
    with pytest.raises(ResourceNotFoundException, match="has no Interactions dataset: import interactions first"):
        find_dataset(service.catalog, Arn.parse(arns["group"]), "Interactions")


def test_a_dataset_of_another_type_than_its_schema_is_refused(service: Service) -> None:
    arns = service.dataset()
    asked = {"datasetGroupArn": arns["group"], "schemaArn": arns["schema"], "name": "items", "datasetType": "Items"}
    with pytest.raises(InvalidInputException, match="is for Interactions, not for Items"):
        service("CreateDataset", **asked)


def test_a_group_of_a_domain_is_refused(service: Service) -> None:
    with pytest.raises(InvalidInputException, match="domain is not supported"):
        service("CreateDatasetGroup", name="shop", domain="ECOMMERCE")


def test_an_import_is_created_described_and_listed(service: Service) -> None:
    arns = service.dataset()
    job = service.import_of(arns["dataset"], importMode="INCREMENTAL")
    described = service("DescribeDatasetImportJob", datasetImportJobArn=job)["datasetImportJob"]
    assert (described["status"], described["importMode"]) == ("CREATE PENDING", "INCREMENTAL")
    assert described["dataSource"] == {"dataLocation": "s3://acme/interactions.csv"}
    [listed] = service("ListDatasetImportJobs", datasetArn=arns["dataset"])["datasetImportJobs"]
    assert listed["datasetImportJobArn"] == job
    assert [str(record.arn) for record, _ in service.begun] == [job]
    with pytest.raises(ResourceAlreadyExistsException):
        service.import_of(arns["dataset"])
    with pytest.raises(ResourceInUseException, match="in use by arn:.*dataset-import-job/first"):
        service("DeleteDataset", datasetArn=arns["dataset"])


@pytest.mark.slow
def test_an_import_that_is_killed_ends_and_its_group_takes_the_next(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
import os, signal, sys, threading
from unittest import mock
import personalize_spark as ps
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.lease import sole
from personalize_spark.catalog.resources import import_arn
from personalize_spark.service import dataset_import_jobs
def killed(_, catalog, record):
    with sole(catalog, import_arn(Arn.parse(sys.argv[2])), "An import"):
        os.kill(os.getpid(), signal.SIGKILL)
dataset_import_jobs._import_rows = killed
client = ps.client(sys.argv[1], spark=mock.MagicMock())
source = {"dataLocation": "s3://acme/interactions.csv"}
job = client.create_dataset_import_job(jobName="first", datasetArn=sys.argv[3], dataSource=source, roleArn=sys.argv[4])
print(job["datasetImportJobArn"], flush=True)
threading.Event().wait()
"""
    arns = service.dataset()
    arguments = [sys.executable, "-c", program, service.catalog.uri, arns["group"], arns["dataset"], ROLE]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    job, group = (
        {"datasetImportJobArn": f"{arns['dataset'].rpartition(':')[0]}:dataset-import-job/first"},
        Arn.parse(arns["group"]),
    )
    assert service.catalog.read(Arn.parse(job["datasetImportJobArn"])).status.unfinished
    monkeypatch.setattr(lease, "STALE_SECONDS", 0.0)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    told = service("DescribeDatasetImportJob", **job)["datasetImportJob"]
    reason = "Its driver is gone: it no longer sends a heartbeat. Create it again under a new name."
    assert (told["status"], told["failureReason"]) == ("CREATE FAILED", reason)
    service.import_of(arns["dataset"], "second")
    with lease.sole(service.catalog, import_arn(group), "The next import"):
        pass


def test_an_import_that_cannot_be_is_refused(service: Service) -> None:
    arns = service.dataset()
    with pytest.raises(InvalidInputException, match="dataLocation is required"):
        service.import_of(arns["dataset"], dataSource={})
    with pytest.raises(InvalidInputException, match="publishAttributionMetricsToS3 is not supported"):
        service.import_of(arns["dataset"], publishAttributionMetricsToS3=True)
    with pytest.raises(InvalidInputException, match="not the ARN of a dataset"):
        service.import_of(arns["group"])


def test_tags_are_added_changed_listed_and_removed(service: Service) -> None:
    arn = service.dataset()["group"]
    service("TagResource", resourceArn=arn, tags=[{"tagKey": "a", "tagValue": "1"}, {"tagKey": "b", "tagValue": "2"}])
    service("TagResource", resourceArn=arn, tags=[{"tagKey": "a", "tagValue": "3"}])
    service("UntagResource", resourceArn=arn, tagKeys=["b", "c"])
    assert service("ListTagsForResource", resourceArn=arn) == {"tags": [{"tagKey": "a", "tagValue": "3"}]}
    many = [{"tagKey": f"k{number}", "tagValue": ""} for number in range(50)]
    with pytest.raises(TooManyTagsException):
        service("TagResource", resourceArn=arn, tags=many)


def test_tags_that_come_at_once_are_all_there(service: Service) -> None:
    arn = service.dataset()["group"]
    keys = [f"k{number:02}" for number in range(20)]

    def tag(key: str) -> None:
        service("TagResource", resourceArn=arn, tags=[{"tagKey": key, "tagValue": ""}])

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(tag, keys))
    tags = service("ListTagsForResource", resourceArn=arn)["tags"]
    assert sorted(each["tagKey"] for each in tags) == keys


def test_what_is_being_created_cannot_be_tagged(service: Service) -> None:
    job = service.import_of(service.dataset()["dataset"])
    with pytest.raises(ResourceInUseException, match="is CREATE PENDING"):
        service("TagResource", resourceArn=job, tags=[])
    record = service.catalog.read(Arn.parse(job))
    service.catalog.update(record, status=Status.ACTIVE)
    assert service("TagResource", resourceArn=job, tags=[{"tagKey": "a", "tagValue": "1"}]) == {}


def test_what_a_batch_system_has_not_is_refused_by_name(service: Service) -> None:
    with pytest.raises(InvalidInputException, match="CreateCampaign is not supported: .* CreateBatchInferenceJob"):
        service("CreateCampaign")


def test_a_dataset_gets_a_schema_with_more_columns(service: Service) -> None:
    arns = service.dataset()
    wider = {**AVRO, "fields": [*AVRO["fields"], {"name": "DEVICE", "type": ["null", "string"]}]}
    new = service("CreateSchema", name="wider", schema=json.dumps(wider))["schemaArn"]
    changed = {"datasetArn": arns["dataset"], "schemaArn": new}
    assert service("UpdateDataset", **changed) == {"datasetArn": arns["dataset"]}
    described = service("DescribeDataset", datasetArn=arns["dataset"])["dataset"]
    assert described["schemaArn"] == new
    update = described["latestDatasetUpdate"]
    assert (update["schemaArn"], update["status"]) == (new, "ACTIVE")
    with pytest.raises(InvalidInputException, match="must have the field DEVICE"):
        service("UpdateDataset", datasetArn=arns["dataset"], schemaArn=arns["schema"])
    assert service("DeleteSchema", schemaArn=arns["schema"]) == {}  # no row has it


def test_rows_keep_their_schema_until_a_full_import(service: Service) -> None:
    arns = service.dataset()
    dataset = service.catalog.read(Arn.parse(arns["dataset"]))
    service.catalog.update(dataset, deltaVersion=0)
    wider = {**AVRO, "fields": [*AVRO["fields"], {"name": "DEVICE", "type": ["null", "string"]}]}
    new = service("CreateSchema", name="wider", schema=json.dumps(wider))["schemaArn"]
    service("UpdateDataset", datasetArn=arns["dataset"], schemaArn=new)
    dataset = service.catalog.read(dataset.arn)
    assert "DEVICE" not in find_schema(service.catalog, dataset).names
    assert "DEVICE" in find_own_schema(service.catalog, dataset).names
    with pytest.raises(ResourceInUseException):
        service("DeleteSchema", schemaArn=arns["schema"])


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        (
            "Interactions",
            [*AVRO["fields"], {"name": "DEVICE", "type": "string"}],
            "The new field DEVICE must be nullable",
        ),
        ("Items", [{"name": "ITEM_ID", "type": "string"}, {"name": "PRICE", "type": "long"}], "is for Items, not for"),
    ],
)
def test_a_dataset_keeps_what_it_is(service: Service, name: str, fields: list[Any], said: str) -> None:
    arns = service.dataset()
    new = service("CreateSchema", name="new", schema=json.dumps({**AVRO, "name": name, "fields": fields}))["schemaArn"]
    with pytest.raises(InvalidInputException, match=said):
        service("UpdateDataset", datasetArn=arns["dataset"], schemaArn=new)
