"""`gc`: remove what nothing needs any more."""

from __future__ import annotations

import argparse
import sys

from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, options_of


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "gc",
        _gc,
        "Remove the staging folders of dead jobs, what no record names, and lists of rows that old imports rejected.",
    )
    add_catalog(parser)
    parser.add_argument("--older-than", default="7d", metavar="AGE", help="90s, 30m, 12h or 7d; default: 7d")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be removed")


def _gc(arguments: argparse.Namespace) -> None:
    from personalize_spark.service.garbage import collect_garbage

    sys.stdout.write(f"{collect_garbage(catalog_of(arguments), **options_of(arguments))}\n")
