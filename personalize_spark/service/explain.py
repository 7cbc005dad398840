"""What a filter does in a dataset group, and to one line: read from the view and the model, in this process, without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from personalize_spark.answer import answer
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.artifacts.view import View
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.errors import InvalidInputException, ResourceNotFoundException
from personalize_spark.filters.binding import bind
from personalize_spark.filters.explain import (
    Clause,
    Line,
    Share,
    dropped_by,
    explain_group,
    explain_line,
    kept,
    outline,
)
from personalize_spark.filters.expression import ITEM_ID, Filter
from personalize_spark.filters.values import BadValue
from personalize_spark.recipes import Recipe, Settings, recipe_of
from personalize_spark.records import Object, ids_of, parse
from personalize_spark.scoring.model import Model

TOP = 10


@dataclass(frozen=True)
class Version:
    """A solution version, ready to recommend."""

    recipe: Recipe
    model: Model


@dataclass(frozen=True)
class Ranked:
    """An item of an unfiltered list, and what drops it: nothing where it is kept."""

    item: str
    dropped_by: list[str]

    def __str__(self) -> str:
        return f"{self.item} dropped by {' and by '.join(self.dropped_by)}" if self.dropped_by else f"{self.item} kept"


@dataclass(frozen=True)
class LineExplanation:
    """What a filter does to a line.

    Attributes:
        clauses: its expressions, with what this line gives them.
        kept: what it keeps of the group's items.
        top: the line's first items without the filter; `None` where no solution version was named.
    """

    clauses: list[Clause]
    kept: Share | None
    top: list[Ranked] | None


class GroupFilter:
    """A filter in a dataset group as it is now.

    Args:
        group: the record of the dataset group.
        parsed: the filter.

    Raises:
        InvalidInputException: the group has no data, or the filter does not fit its schemas.
    """

    def __init__(self, group: Record, parsed: Filter) -> None:
        if "view" not in group.fields:
            raise InvalidInputException(f"{group.arn} has no data yet: import datasets before explaining a filter.")
        self.arn = str(group.arn)
        self._view = View(Pinned(**group.fields["view"]).open())
        self.bound = bind(parsed, self._view.schema)
        self._columns = self._view.columns()
        items = self.bound.subject == ITEM_ID
        self.clauses = (
            explain_group(self.bound, self._columns, self._view.events) if items else outline(self.bound.filter)
        )
        self.kept = kept(self.clauses, self._columns)

    def explain(self, text: bytes, version: Version | None) -> LineExplanation | str:
        """What becomes of a line, or the text of its error.

        Raises:
            InvalidInputException: a batch inference job could not use the filter, or would skip the line.
        """
        if self.bound.subject != ITEM_ID:
            raise InvalidInputException(
                f"The filter is for {self.bound.subject}; a batch inference job needs one for ItemID."
            )
        records = parse([text], *self._required(version))
        if not records.inputs:
            raise InvalidInputException("The line is blank: a batch inference job skips it.")
        if records.errors:
            return _error(records.errors[0].message)
        line = self._line(records.objects[0])
        clauses = explain_line(self.bound, self._columns, line)
        if isinstance(clauses, BadValue):
            return _error(clauses.message)
        top = None if version is None else self._top(version, text, clauses, line)
        return LineExplanation(clauses, kept(clauses, self._columns), top)

    def _required(self, version: Version | None) -> tuple[Sequence[str], Sequence[str]]:
        """What the recipe needs of a line, and what the filter does."""
        own = (["userId"] if self.bound.needs_user else []) + (["itemId"] if self.bound.needs_item else [])
        if version is None:
            return (), own
        if self.bound.needs_item and "itemId" not in version.recipe.required:
            raise InvalidInputException(
                f"The filter compares with CurrentItem, which lines of {version.recipe.name} lack."
            )
        return version.recipe.required, own

    def _line(self, given: Object) -> Line:
        users = [each.encode() for each in ids_of([given], "userId")] if self.bound.needs_user else []
        known = self._view.lookup(users, self.bound.user_fields)
        current = int(self._view.rows_of(ids_of([given], "itemId"))[0]) if self.bound.needs_item else None
        events = [self._view.events[code] for code in known.events.tolist()]
        attributes = known.attributes[0] if users else {}
        return Line(given.get("filterValues"), attributes, known.items, events, current)

    def _top(self, version: Version, text: bytes, clauses: list[Clause], line: Line) -> list[Ranked]:
        answered = orjson.loads(answer(version.recipe, version.model, Settings(TOP), [text]).data)
        items: list[str] = answered["output"]["recommendedItems"][:TOP]
        rows = self._view.rows_of(items).tolist()
        return [
            Ranked(item, dropped_by(clauses, self._columns, line, row)) for item, row in zip(items, rows, strict=True)
        ]


def group_named(catalog: Catalog, name: str) -> Record:
    """The record of a dataset group.

    Raises:
        ResourceNotFoundException: there is none of that name.
    """
    groups = {record.arn.name: record for record in catalog.list("dataset-group")}
    if name not in groups:
        there = ", ".join(groups) or "none"
        raise ResourceNotFoundException(
            f"There is no dataset group '{name}' in the catalog {catalog.uri}; there are: {there}."
        )
    return groups[name]


def open_version(catalog: Catalog, text: str, group: str) -> Version:
    """A solution version of a dataset group, without exploration.

    Raises:
        InvalidInputException: it is not ACTIVE, or of another group.
        ResourceNotFoundException: there is none.
    """
    fields: dict[str, Any] = catalog.read(Arn.parse(text)).fields
    if "model" not in fields or fields["status"] != "ACTIVE":
        raise InvalidInputException(f"{text} is not a solution version that is ACTIVE.")
    if fields.get("datasetGroupArn") != group:
        raise InvalidInputException(f"The solution version {text} belongs to another dataset group than {group}.")
    model = read_model(Pinned(**fields["model"]).open())
    return Version(recipe_of(fields["recipeArn"]), model)


def _error(message: str) -> str:
    """As it stands in the output of a job."""
    return f"User error: {message}"
