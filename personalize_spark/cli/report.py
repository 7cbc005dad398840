"""`report`: what became of the lines of a job."""

from __future__ import annotations

import argparse

from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, options_of, show_as


def add(commands: Commands) -> None:
    """Add the command."""
    what = "Print what became of a job's lines: errors with examples, unknown ids, empty lists, times, notes."
    parser = add_command(commands, "report", _report, what)
    parser.add_argument("arn", metavar="ARN", help="the ARN of the job")
    add_catalog(parser)
    parser.add_argument(
        "--json", action="store_true", help="print all numbers as JSON; docs/report.schema.json describes it"
    )


def _report(arguments: argparse.Namespace) -> None:
    from personalize_spark.service.batch_inference_jobs import report

    options = options_of(arguments)
    as_json = options.pop("json")
    show_as(report(catalog_of(arguments), **options), as_json=as_json)
