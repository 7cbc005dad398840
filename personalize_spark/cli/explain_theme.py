"""`explain-theme`: what could be said of the items like an item, and why one phrase was chosen."""

from __future__ import annotations

import argparse

from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, options_of, show_as


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "explain-theme", _explain, "Explain the theme of the items like an item.")
    add_catalog(parser)
    parser.add_argument("--item", required=True, metavar="ID", help="the item whose similar items get the theme")
    parser.add_argument(
        "--solution-version", metavar="ARN", help="a version with themes; by default the newest of the catalog"
    )
    parser.add_argument(
        "--item-name",
        metavar="COLUMN",
        help="the column of the names of items; by default the first one of type string",
    )
    parser.add_argument("--num-results", type=int, default=25, help="how many similar items (default 25)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _explain(arguments: argparse.Namespace) -> None:
    from personalize_spark.service.explain_theme import explain_theme

    options = options_of(arguments)
    as_json = options.pop("json")
    show_as(explain_theme(catalog_of(arguments), **options), as_json=as_json)
