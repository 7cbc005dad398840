"""`evaluate`: the quality of a solution version's recommendations, beside popular and random ones."""

from __future__ import annotations

import argparse

from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, options_of, show_result


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, "evaluate", _evaluate, "Measure the quality of a solution version's recommendations."
    )
    add_catalog(parser)
    parser.add_argument("--solution-version", required=True, metavar="ARN", help="the solution version to evaluate")
    parser.add_argument(
        "--interactions",
        metavar="FILE.csv",
        help="evaluate on later interactions (CSV with USER_ID and ITEM_ID; path or URI) instead of those held out of "
        "training; required for imported models, and with TIMESTAMP for recipes of related items",
    )
    parser.add_argument("--beside", metavar="ARN", help="another solution version, to stand beside it")
    parser.add_argument("--page", metavar="FILE.html", help="write a page with charts")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _evaluate(arguments: argparse.Namespace) -> None:
    from personalize_spark.quality.evaluate import evaluate

    options = options_of(arguments)
    as_json = options.pop("json")
    show_result(evaluate(catalog_of(arguments), **options), as_json=as_json)
