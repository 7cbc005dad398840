"""TagResource, UntagResource, ListTagsForResource: for everything that has a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import reap
from personalize_spark.errors import ResourceInUseException, TooManyTagKeysException, TooManyTagsException
from personalize_spark.request import MAX_TAGS, validate

_TRIES = 100
"""Of requests that change one resource at once, one gets through each time."""


def tag_resource(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Add tags; one whose key is there gets the new value.

    Raises:
        ResourceInUseException: the resource is being created.
        ResourceNotFoundException: there is no such resource.
        TooManyTagsException: it would have more than 50.
    """
    validate("TagResource", params)
    added = {each["tagKey"]: each["tagValue"] for each in params["tags"]}
    _change(catalog, params, lambda tags: tags | added)
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
    _change(catalog, params, lambda tags: {key: value for key, value in tags.items() if key not in params["tagKeys"]})
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


def _change(catalog: Catalog, params: Mapping[str, Any], change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """Change the tags of a resource; again, where another request came between."""
    for left in reversed(range(_TRIES)):
        record = _changeable(catalog, params)
        tags = change({each["tagKey"]: each["tagValue"] for each in record.fields.get("tags", [])})
        if len(tags) > MAX_TAGS:
            raise TooManyTagsException(f"{len(tags)} tags are more than the {MAX_TAGS} that a resource may have.")
        try:
            catalog.update(record, tags=[{"tagKey": key, "tagValue": value} for key, value in tags.items()])
        except ResourceInUseException:
            if not left:
                raise
        else:
            return
