"""`explain-filter`: what a filter expression says, what it keeps of a group's items, and what it does to a line."""

from __future__ import annotations

import argparse
import sys

from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, options_of


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "explain-filter", _explain, "Explain what a filter means, keeps and drops.")
    add_catalog(parser)
    parser.add_argument("--expression", metavar="E", help="the filter expression; if left out, that of --filter-arn")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--group", metavar="NAME", help="the dataset group that supplies schemas and items")
    where.add_argument(
        "--filter-arn", metavar="ARN", help="a filter that supplies the dataset group and, by default, the expression"
    )
    parser.add_argument("--line", metavar="JSON", help="an input line, to see what the filter does to it")
    parser.add_argument(
        "--solution-version",
        metavar="ARN",
        help="also show which of the line's unfiltered items the filter keeps or drops",
    )


def _explain(arguments: argparse.Namespace) -> None:
    from personalize_spark.service.explain import explain_filter

    catalog = catalog_of(arguments) if arguments.group or arguments.filter_arn else None
    sys.stdout.write(f"{explain_filter(catalog, **options_of(arguments))}\n")
