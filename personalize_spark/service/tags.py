"""TagResource, UntagResource, ListTagsForResource: for everything that has a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import reap
from personalize_spark.errors import ResourceInUseException, TooManyTagKeysException, TooManyTagsException
from personalize_spark.request import MAX_TAGS, validate


def tag_resource(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Add tags; one whose key is there gets the new value.

    Raises:
        ResourceInUseException: the resource is being created.
        ResourceNotFoundException: there is no such resource.
        TooManyTagsException: it would have more than 50.
    """
    validate("TagResource", params)
    record = _changeable(catalog, params)
    tags = _tags(record) | {each["tagKey"]: each["tagValue"] for each in params["tags"]}
    if len(tags) > MAX_TAGS:
        raise TooManyTagsException(f"{len(tags)} tags are more than the {MAX_TAGS} that a resource may have.")
    _keep(catalog, record, tags)
    return {}


def untag_resource(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Remove the tags of these keys, as far as they are there; see `tag_resource`.

    Raises:
        TooManyTagKeysException: there are more than 50 keys.
    """
    validate("UntagResource", params)
    if len(params["tagKeys"]) > MAX_TAGS:
        raise TooManyTagKeysException(
            f"{len(params['tagKeys'])} keys are more than the {MAX_TAGS} tags that a resource may have."
        )
    record = _changeable(catalog, params)
    _keep(catalog, record, {key: value for key, value in _tags(record).items() if key not in params["tagKeys"]})
    return {}


def list_tags_for_resource(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The tags of a resource."""
    validate("ListTagsForResource", params)
    return {"tags": catalog.read(Arn.parse(params["resourceArn"])).fields.get("tags", [])}


def _changeable(catalog: Catalog, params: Mapping[str, Any]) -> Record:
    record = catalog.read(Arn.parse(params["resourceArn"]))
    if (
        "status" in record.fields and reap(catalog, [record])[0].status.unfinished
    ):  # its driver alone may change the record
        raise ResourceInUseException(
            f"{record.arn} is {record.status}; tag it when it is created, or when that has ended."
        )
    return record


def _tags(record: Record) -> dict[str, str]:
    return {each["tagKey"]: each["tagValue"] for each in record.fields.get("tags", [])}


def _keep(catalog: Catalog, record: Record, tags: Mapping[str, str]) -> None:
    catalog.update(record, tags=[{"tagKey": key, "tagValue": value} for key, value in tags.items()])
