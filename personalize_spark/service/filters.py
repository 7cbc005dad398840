"""CreateFilter, DescribeFilter, ListFilters, DeleteFilter; and what a batch inference job needs of a filter."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import running
from personalize_spark.catalog.resources import find
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException, ResourceInUseException
from personalize_spark.filters.binding import BoundFilter, bind
from personalize_spark.filters.expression import ITEM_ID, Field, Filter
from personalize_spark.filters.unmatched import unmatched_values
from personalize_spark.job.job import KIND as JOB
from personalize_spark.request import validate
from personalize_spark.schemas import EVENT_TYPE, INTERACTIONS, ITEMS, Schema, schemas_of
from personalize_spark.service.pages import page_of_kind, shown

_log = logging.getLogger(__name__)

KIND = "filter"
_LISTED = ("name", "filterArn", "creationDateTime", "lastUpdatedDateTime", "datasetGroupArn", "failureReason", "status")
_DESCRIBED = (*_LISTED, "filterExpression")


def create_filter(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Compile an expression against the dataset group's schemas and keep it; texts in it that no row has are warned of.

    Raises:
        InvalidInputException: the expression is not one, or does not fit the group.
        ResourceAlreadyExistsException: the name is taken.
        ResourceNotFoundException: there is no such dataset group.
    """
    validate("CreateFilter", params)
    group = find(catalog, params["datasetGroupArn"], "dataset group")
    parsed, view = _parsed(params["filterExpression"]), _view(group)
    try:
        bound = bind(parsed, schemas_of(view.properties["schemas"].values()))
    except InvalidInputException as error:
        raise InvalidInputException(f"Could not create filter. {error.message}") from error
    arn = group.arn.sibling(KIND, params["name"])
    fields = {name: params[name] for name in ("name", "datasetGroupArn", "filterExpression")}
    catalog.create(arn, {**fields, "filterArn": str(arn), "tags": params.get("tags", []), "status": Status.ACTIVE})
    for warning in unmatched_values(bound, partial(_values_of, view)):
        _log.warning("%s", warning)
    return {"filterArn": str(arn)}


def _values_of(view: Artifact, field: Field) -> Sequence[str] | None:
    """The event types of a view, or the distinct texts of an attribute of its items."""
    if field == Field(INTERACTIONS, EVENT_TYPE):
        events: list[str] = view.properties["eventTypes"]
        return events
    name = f"items/{field.name}.texts"
    if field.dataset != ITEMS or f"{name}.arrow" not in view.entries:
        return None
    return [text.decode() for text in view.table(name).column("text").to_pylist()]


def describe_filter(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """A filter, its expression included."""
    validate("DescribeFilter", params)
    return {"filter": shown(find(catalog, params["filterArn"], KIND), _DESCRIBED)}


def list_filters(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The filters of the catalog, or of one dataset group, the newest first."""
    validate("ListFilters", params)
    page, rest = page_of_kind(catalog, KIND, params, "datasetGroupArn")
    return {"Filters": [shown(record, _LISTED) for record in page], **rest}


def delete_filter(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Delete a filter.

    Raises:
        ResourceInUseException: a batch inference job in progress uses it.
    """
    validate("DeleteFilter", params)
    record = find(catalog, params["filterArn"], KIND)
    users = [job.arn.name for job in running(catalog, JOB) if job.fields.get("filterArn") == str(record.arn)]
    if users:
        raise ResourceInUseException(
            f"{record.arn} is in use by the batch inference job {users[0]}; wait until it has ended."
        )
    catalog.delete(record)
    return {}


def bind_for_job(record: Record, group: Record | None, expression: str) -> BoundFilter:
    """A filter as a job on a solution version of that dataset group uses it: bound to the schemas of the group's current view.

    Args:
        record: of the filter.
        group: of the solution version.
        expression: the filter's, `parser.frozen`.

    Raises:
        InvalidInputException: it is another group's, it is not for items, or it no longer fits the group's schemas.
    """
    text = record.fields["filterArn"]
    if group is None or record.fields["datasetGroupArn"] != str(group.arn):
        raise InvalidInputException(
            f"The filter {text} belongs to a different dataset group than the solution version."
        )
    try:
        bound = bind(_parsed(expression), _schemas(group))
    except InvalidInputException as error:  # an import has changed the schemas since
        raise InvalidInputException(f"The filter {text} no longer fits its dataset group. {error.message}") from error
    if bound.subject != ITEM_ID:
        raise InvalidInputException(
            f"The filter {text} is for {bound.subject}; a batch inference job needs one for ItemID."
        )
    return bound


def _parsed(expression: str) -> Filter:
    from personalize_spark.filters.parser import parse  # lark costs 0.1 s: not for jobs without a filter

    return parse(expression)


def _schemas(group: Record) -> Mapping[str, Schema]:
    return schemas_of(_view(group).properties["schemas"].values())


def _view(group: Record) -> Artifact:
    if "view" not in group.fields:
        raise InvalidInputException(f"{group.arn} has no data yet: import datasets before creating a filter.")
    return Pinned(**group.fields["view"]).open()
