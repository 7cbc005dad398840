"""A filter explained: what it says, what it keeps of a dataset group's items, and what it does to one line.

The view and the model are read in this process, without Spark.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from personalize_spark.answer import answer
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.artifacts.view import View
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.resources import find, find_active_version, find_group
from personalize_spark.errors import InvalidInputException
from personalize_spark.filters import parser
from personalize_spark.filters.binding import bind, check_shape
from personalize_spark.filters.explain import (
    Clause,
    Line,
    Share,
    dropped_by,
    explain_group,
    explain_line,
    fields_of,
    kept,
    outline,
    placeholders_of,
)
from personalize_spark.filters.expression import ITEM_ID, Filter
from personalize_spark.filters.values import BadValue
from personalize_spark.recipes import Recipe, Settings, recipe_of
from personalize_spark.records import Object, ids_of, parse
from personalize_spark.scoring.model import Model
from personalize_spark.storage.location import Place

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

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        top = None if self.top is None else [asdict(each) for each in self.top]
        return {"tree": _tree(self.clauses), "kept": self.kept and asdict(self.kept), "top": top}


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
        self.bound = bind(parsed, self._view.schemas)
        self._columns = self._view.columns()
        items = self.bound.subject == ITEM_ID
        self.clauses = (
            explain_group(self.bound, self._columns, self._view.events) if items else outline(self.bound.filter)
        )
        self.kept = kept(self.clauses, self._columns)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "arn": self.arn,
            "tree": _tree(self.clauses),
            "kept": self.kept and asdict(self.kept),
            "fields": fields_of(self.bound),
            "placeholders": placeholders_of(self.bound),
        }

    def total(self) -> str:
        """What its expressions keep together, in a sentence."""
        if self.bound.subject != ITEM_ID:
            return f"The filter is for {self.bound.subject}; a batch inference job needs one for ItemID."
        return _together(self.kept)

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
                f"The filter compares with CurrentItem, but lines of {version.recipe.name} have no item."
            )
        return version.recipe.required, own

    def _line(self, asked: Object) -> Line:
        users = ids_of([asked], "userId") if self.bound.needs_user else []
        known = self._view.lookup(users, self.bound.user_fields)
        current = int(self._view.rows_of(ids_of([asked], "itemId"))[0]) if self.bound.needs_item else None
        events = [self._view.events[code] for code in known.events.tolist()]
        attributes = known.attributes[0] if users else {}
        return Line(asked.get("filterValues"), attributes, known.items.values, events, current)

    def _top(self, version: Version, text: bytes, clauses: list[Clause], line: Line) -> list[Ranked]:
        answered = orjson.loads(answer(version.recipe, version.model, Settings(TOP), [text]).data)
        items: list[str] = answered["output"]["recommendedItems"][:TOP]
        rows = self._view.rows_of(items).tolist()
        return [
            Ranked(item, dropped_by(clauses, self._columns, line, row)) for item, row in zip(items, rows, strict=True)
        ]


@dataclass(frozen=True)
class Explanation:
    """A filter, explained as far as it was asked.

    Attributes:
        parsed: the filter.
        in_group: what it is in a dataset group, if one was named.
        line: the input line, if one was given.
        of_line: what the filter does to that line, or the text of the line's error.
    """

    parsed: Filter
    in_group: GroupFilter | None = None
    line: str | None = None
    of_line: LineExplanation | str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain values; trees are lists of lines, a share is `count` of `total` items."""
        explained: dict[str, Any] = {"expression": str(self.parsed), "tree": _tree(outline(self.parsed))}
        if self.in_group is not None:
            explained["group"] = self.in_group.to_dict()
        if isinstance(self.of_line, LineExplanation):
            explained["line"] = {"input": self.line, "error": None, **self.of_line.to_dict()}
        elif self.of_line is not None:
            explained["line"] = {"input": self.line, "error": self.of_line}
        return explained

    def __str__(self) -> str:
        return "\n".join(_section(title, lines) for title, lines in self._sections())

    def _sections(self) -> Iterator[tuple[str, Iterable[str]]]:
        yield "Tree", _tree(outline(self.parsed))
        yield "Normal form", [str(self.parsed)]
        if self.in_group is not None:
            yield f"In {self.in_group.arn}", [*_tree(self.in_group.clauses), self.in_group.total()]
            yield "Fields", fields_of(self.in_group.bound)
            yield "Placeholders", placeholders_of(self.in_group.bound) or ["none"]
        if isinstance(self.of_line, str):
            yield f"Line {self.line}", [self.of_line]
        elif self.of_line is not None:
            yield f"Line {self.line}", [*_tree(self.of_line.clauses), _together(self.of_line.kept)]
            if self.of_line.top is not None:
                ranked = [f"{place:>2}  {each}" for place, each in enumerate(self.of_line.top, 1)]
                yield f"Top {TOP} without the filter", ranked or ["no items"]


def explain_filter(
    catalog: Catalog | Place | None = None,
    *,
    expression: str | None = None,
    group: str | None = None,
    filter_arn: str | None = None,
    line: str | None = None,
    solution_version: str | None = None,
) -> Explanation:
    """Explain a filter expression: alone, in a dataset group, or for one input line.

    Args:
        catalog: the catalog or its place: it holds the dataset group; an expression alone needs none.
        expression: the filter expression; if left out, that of `filter_arn`.
        group: the name of the dataset group that supplies schemas and items.
        filter_arn: a filter that supplies the dataset group and, by default, the expression; instead of `group`.
        line: an input line, as JSON, to see what the filter does to it.
        solution_version: the ARN of a solution version, to see which of its items the filter keeps or drops for `line`.

    Returns:
        The expression as a tree, with what each part keeps: of the items of the group, for the line, and of its best items.

    Raises:
        InvalidInputException: the expression is not valid, does not fit the schemas, or is not explained without what is missing.
            Notes of the error show the expression as it was read.
        ResourceNotFoundException: there is no such dataset group, filter or solution version.
    """
    catalog = None if catalog is None else Catalog(catalog)
    expression, found = _asked(catalog, expression, group, filter_arn)
    if not expression:
        raise InvalidInputException("Nothing to explain: give an expression or a filter ARN.")
    if line is not None and found is None:
        raise InvalidInputException("A line needs a dataset group: give a group or a filter ARN.")
    if solution_version is not None and line is None:
        raise InvalidInputException("A solution version needs a line to recommend items for: give a line.")
    parsed = parser.parse(expression)
    try:
        if found is None or catalog is None:
            check_shape(parsed)
            return Explanation(parsed)
        in_group = GroupFilter(found, parsed)
        if line is None:
            return Explanation(parsed, in_group)
        version = open_version(catalog, solution_version, in_group.arn) if solution_version else None
        return Explanation(parsed, in_group, line, in_group.explain(os.fsencode(line), version))
    except InvalidInputException as error:
        error.add_note(str(Explanation(parsed)))
        raise


def _asked(
    catalog: Catalog | None, expression: str | None, group: str | None, filter_arn: str | None
) -> tuple[str | None, Record | None]:
    """The expression, and the record of the dataset group if one is named."""
    if group is None and filter_arn is None:
        return expression, None
    if catalog is None:
        raise InvalidInputException("A dataset group or a filter is stored in a catalog: give the catalog.")
    if filter_arn is None:
        return expression, find_group(catalog, str(group))
    fields = find(catalog, filter_arn, "filter").fields
    return expression or fields["filterExpression"], catalog.read(Arn.parse(fields["datasetGroupArn"]))


def open_version(catalog: Catalog, text: str, group: str) -> Version:
    """A solution version of a dataset group, without exploration.

    Raises:
        InvalidInputException: it has failed, or it is of another group.
        ResourceInUseException: its training has not ended.
        ResourceNotFoundException: there is none.
    """
    fields = find_active_version(catalog, text).fields
    if fields.get("datasetGroupArn") != group:
        raise InvalidInputException(f"The solution version {text} belongs to a different dataset group than {group}.")
    model = read_model(Pinned(**fields["model"]).open())
    return Version(recipe_of(fields["recipeArn"]), model)


def _error(message: str) -> str:
    """As it stands in the output of a job."""
    return f"User error: {message}"


def _tree(clauses: Sequence[Clause]) -> list[str]:
    return [
        f"{'   ' if part else f'{number}. '}{text}"
        for number, each in enumerate(clauses, 1)
        for part, text in enumerate(each.lines())
    ]


def _together(kept: Share | None) -> str:
    return f"Together they keep {kept}." if kept else "What they keep together depends on the line."


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, *(f"    {line}" for line in lines)]) + "\n"
