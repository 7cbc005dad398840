"""`compare`: how far the answers of two batch inference jobs differ."""

from __future__ import annotations

import argparse

from personalize_spark.cli.arguments import Commands, add_command, options_of, show_as
from personalize_spark.errors import DataError


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, "compare", _compare, "Measure how far the answers of two batch inference jobs differ."
    )
    for name in ("old", "new"):
        parser.add_argument(name, metavar=f"{name.upper()}.out", help="an output file or a folder of them; path or URI")
    parser.add_argument(
        "--at", metavar="K", type=int, help="also report overlap@K; K applies to --plot too (default 25)"
    )
    parser.add_argument("--page", metavar="FILE.html", help="write a page with charts")
    parser.add_argument("--plot", metavar="FILE.svg", help="write a histogram of overlap@K")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _compare(arguments: argparse.Namespace) -> None:
    from personalize_spark.quality.compare import compare

    options = options_of(arguments)
    as_json = options.pop("json")
    comparison = compare(**options)
    show_as(comparison, as_json=as_json)
    if comparison.notes:
        raise DataError(comparison.notes[0])
