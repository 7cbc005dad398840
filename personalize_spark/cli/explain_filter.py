"""`explain-filter`: what a filter expression says, what it keeps of a group's items, and what it does to a line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Record
from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of
from personalize_spark.errors import InvalidInputException
from personalize_spark.filters.binding import check_shape
from personalize_spark.filters.explain import Clause, Share, fields_of, outline, placeholders_of
from personalize_spark.filters.expression import ITEM_ID
from personalize_spark.filters.parser import parse
from personalize_spark.service.explain import TOP, GroupFilter, LineExplanation, Ranked, group_named, open_version
from personalize_spark.service.filters import read_filter


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "explain-filter", _explain, "Tell what a filter says, keeps and drops.")
    add_catalog(parser)
    parser.add_argument("--expression", metavar="E", help="the filter expression; the filter's own when left out")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--group", metavar="NAME", help="the dataset group whose schemas and items to look at")
    where.add_argument("--filter-arn", metavar="ARN", help="a filter, for its dataset group and its expression")
    parser.add_argument("--line", metavar="JSON", help="an input line, to see what the filter does to it")
    parser.add_argument(
        "--solution-version", metavar="ARN", help="also show what the line gets unfiltered, kept or dropped"
    )


def _explain(arguments: argparse.Namespace) -> None:
    _check(arguments)
    expression, group = _asked(arguments)
    parsed = parse(expression)
    _show("Tree", _tree(outline(parsed)))
    _show("Normal form", [str(parsed)])
    if group is None:
        check_shape(parsed)
        return
    explained = GroupFilter(group, parsed)
    _show(f"In {explained.arn}", [*_tree(explained.clauses), *_total(explained)])
    _show("Fields", fields_of(explained.bound))
    _show("Placeholders", placeholders_of(explained.bound) or ["none"])
    if arguments.line is None:
        return
    arn = arguments.solution_version
    version = open_version(catalog_of(arguments), arn, explained.arn) if arn else None
    line = explained.explain(os.fsencode(arguments.line), version)
    _show(f"Line {arguments.line}", [line] if isinstance(line, str) else _of_line(line))
    if isinstance(line, LineExplanation) and line.top is not None:
        _show(f"Top {TOP} without the filter", _ranked(line.top))


def _check(arguments: argparse.Namespace) -> None:
    if not (arguments.expression or arguments.filter_arn):
        raise InvalidInputException("Nothing to explain: give --expression or --filter-arn.")
    if arguments.line is not None and not (arguments.group or arguments.filter_arn):
        raise InvalidInputException("--line needs a dataset group: give --group or --filter-arn.")
    if arguments.solution_version and arguments.line is None:
        raise InvalidInputException("--solution-version needs a line: give --line.")


def _asked(arguments: argparse.Namespace) -> tuple[str, Record | None]:
    """The expression, and the record of the dataset group if one is named."""
    if arguments.filter_arn:
        catalog = catalog_of(arguments)
        fields = read_filter(catalog, arguments.filter_arn).fields
        group = catalog.read(Arn.parse(fields["datasetGroupArn"]))
        return arguments.expression or fields["filterExpression"], group
    return arguments.expression, group_named(catalog_of(arguments), arguments.group) if arguments.group else None


def _tree(clauses: Sequence[Clause]) -> list[str]:
    numbered = enumerate(clauses, 1)
    return [
        f"{'   ' if part else f'{number}. '}{text}"
        for number, each in numbered
        for part, text in enumerate(each.lines())
    ]


def _total(explained: GroupFilter) -> list[str]:
    if explained.bound.subject != ITEM_ID:
        return [f"The filter is for {explained.bound.subject}; a batch inference job needs one for ItemID."]
    return [_together(explained.kept)]


def _together(kept: Share | None) -> str:
    return f"Together they keep {kept}." if kept else "What they keep together depends on the line."


def _of_line(line: LineExplanation) -> list[str]:
    return [*_tree(line.clauses), _together(line.kept)]


def _ranked(top: Sequence[Ranked]) -> list[str]:
    return [f"{place:>2}  {each}" for place, each in enumerate(top, 1)] or ["no items"]


def _show(title: str, lines: Iterable[str]) -> None:
    sys.stdout.write("\n".join([title, *(f"    {line}" for line in lines)]) + "\n\n")
    sys.stdout.flush()
