"""Event trackers, as far as PutEvents needs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import ResourceAlreadyExistsException, ResourceInUseException, ResourceNotFoundException
from tests.service.test_datasets import Service


def test_a_tracker_is_created_described_listed_and_deleted(tmp_path: Path) -> None:
    service = Service(Catalog(tmp_path))
    groups = [service("CreateDatasetGroup", name=name)["datasetGroupArn"] for name in ("shop", "other")]
    tags = [{"tagKey": "team", "tagValue": "home"}]
    created = service("CreateEventTracker", name="clicks", datasetGroupArn=groups[0], tags=tags)
    arn = created["eventTrackerArn"]
    assert arn.endswith(":event-tracker/clicks")
    described = service("DescribeEventTracker", eventTrackerArn=arn)["eventTracker"]
    assert described["trackingId"] == created["trackingId"]
    assert (described["status"], described["accountId"]) == ("ACTIVE", "000000000000")
    assert service("ListTagsForResource", resourceArn=arn)["tags"] == tags
    service("CreateEventTracker", name="others", datasetGroupArn=groups[1])
    assert [each["name"] for each in service("ListEventTrackers")["eventTrackers"]] == ["others", "clicks"]
    [listed] = service("ListEventTrackers", datasetGroupArn=groups[0])["eventTrackers"]
    assert listed["eventTrackerArn"] == arn
    with pytest.raises(ResourceAlreadyExistsException, match="has an event tracker already"):
        service("CreateEventTracker", name="second", datasetGroupArn=groups[0])
    with pytest.raises(ResourceInUseException, match="event-tracker/clicks"):
        service("DeleteDatasetGroup", datasetGroupArn=groups[0])
    assert service("DeleteEventTracker", eventTrackerArn=arn) == {}
    with pytest.raises(ResourceNotFoundException):
        service("DescribeEventTracker", eventTrackerArn=arn)
    assert service("DeleteDatasetGroup", datasetGroupArn=groups[0]) == {}
