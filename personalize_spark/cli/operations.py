"""The service's own operations, by the names and arguments that the AWS CLI gives them."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re

from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, json_of, show
from personalize_spark.request import members, with_times
from personalize_spark.service.operations import OPERATIONS, perform


def add(commands: Commands) -> None:
    """Add a command for each operation."""
    for operation in OPERATIONS:
        parser = add_command(commands, _kebab(operation), _operate, f"{operation}, as in the AWS CLI.")
        add_catalog(parser)
        parser.add_argument("--cli-input-json", metavar="JSON", help="all parameters, as JSON or file://FILE")
        for name, kind in members(operation).items():
            parse = {"string": str, "integer": int}.get(kind, json.loads)  # booleans are true and false
            parser.add_argument(f"--{_kebab(name)}", dest=name, type=parse)
        parser.set_defaults(operation=operation)
        if operation == "CreateBatchInferenceJob":
            parser.add_argument("--engine", choices=["spark", "local"], default="spark", help="what the job runs on")


def _operate(arguments: argparse.Namespace) -> None:
    from personalize_spark.service.work import Compute, Foreground

    catalog, operation = catalog_of(arguments), arguments.operation
    given = {name: getattr(arguments, name) for name in members(operation)}
    params = json_of(arguments.cli_input_json) if arguments.cli_input_json else {}
    params |= {name: value for name, value in given.items() if value is not None}
    compute = Compute(getattr(arguments, "engine", "spark"), data=operation != "CreateBatchInferenceJob")
    work = Foreground(catalog, compute)
    show(with_times(operation, perform(catalog, operation, params, work.begin), _iso))
    work.finish()


def _iso(time: float) -> str:
    """A time as the AWS CLI prints it: to the millisecond, with the offset of this machine's zone."""
    return dt.datetime.fromtimestamp(round(time, 3)).astimezone().isoformat()


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
