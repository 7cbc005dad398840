"""CreateEventTracker, DescribeEventTracker, ListEventTrackers, DeleteEventTracker: they give PutEvents its `trackingId`, and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.resources import find
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException, ResourceAlreadyExistsException
from personalize_spark.request import validate
from personalize_spark.service.pages import page_of_kind, shown

KIND = "event-tracker"
_LISTED = ("name", "eventTrackerArn", "status", "creationDateTime", "lastUpdatedDateTime")
_DESCRIBED = (*_LISTED, "accountId", "trackingId", "datasetGroupArn")


def create_event_tracker(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Make the tracker of a dataset group; it is ACTIVE at once.

    Raises:
        ResourceAlreadyExistsException: the name is taken, or the group has a tracker.
        ResourceNotFoundException: there is no such dataset group.
    """
    validate("CreateEventTracker", params)
    group = find(catalog, params["datasetGroupArn"], "dataset group").arn
    for tracker in catalog.list(KIND):
        if tracker.fields["datasetGroupArn"] == str(group):
            raise ResourceAlreadyExistsException(f"{group} has an event tracker already: {tracker.arn}.")
    arn, tracking = group.sibling(KIND, params["name"]), str(uuid.uuid4())
    own = {"name": params["name"], "eventTrackerArn": str(arn), "accountId": arn.account, "trackingId": tracking}
    told = {"datasetGroupArn": str(group), "tags": params.get("tags") or [], "status": Status.ACTIVE}
    catalog.create(arn, {**own, **told})
    return {"eventTrackerArn": str(arn), "trackingId": tracking}


def describe_event_tracker(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """A tracker, with its `trackingId`."""
    validate("DescribeEventTracker", params)
    return {"eventTracker": shown(find(catalog, params["eventTrackerArn"], "event tracker"), _DESCRIBED)}


def list_event_trackers(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The trackers of the catalog, or of one dataset group, the newest first."""
    validate("ListEventTrackers", params)
    page, rest = page_of_kind(catalog, KIND, params, "datasetGroupArn")
    return {"eventTrackers": [shown(record, _LISTED) for record in page], **rest}


def delete_event_tracker(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Delete a tracker; what was put stays."""
    validate("DeleteEventTracker", params)
    catalog.delete(find(catalog, params["eventTrackerArn"], "event tracker"))
    return {}


def tracker_of(catalog: Catalog, tracking_id: str) -> Record:
    """The tracker of a `trackingId`.

    Raises:
        InvalidInputException: there is none: PutEvents knows no other exception.
    """
    for tracker in catalog.list(KIND):
        if tracker.fields["trackingId"] == tracking_id:
            return tracker
    raise InvalidInputException(f"There is no event tracker with the trackingId '{tracking_id}'.")
