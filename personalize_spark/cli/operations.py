"""The service's own operations, by the names and arguments that the AWS CLI gives them."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from personalize_spark.cli.arguments import (
    Commands,
    add_catalog,
    add_command,
    add_engine,
    add_session,
    catalog_of,
    json_of,
    text_of,
)
from personalize_spark.cli.command_parser import REQUIRED
from personalize_spark.cli.examples import kebab
from personalize_spark.cli.output import FORMATS, spelled
from personalize_spark.cli.shorthand import parse
from personalize_spark.errors import InvalidInputException
from personalize_spark.request import members, required, skeleton, with_scalars, with_times
from personalize_spark.service.operations import BEGINNING, OPERATIONS, perform

if TYPE_CHECKING:
    from personalize_spark.catalog.catalog import Catalog, Fields
    from personalize_spark.service.work import Begin

_NESTED = {"structure", "list", "map"}


def names() -> list[str]:
    """The commands, as the AWS CLI spells them."""
    return [kebab(operation) for operation in OPERATIONS]


def add(commands: Commands, wanted: Collection[str]) -> None:
    """Add those of the commands that are wanted."""
    for operation in OPERATIONS:
        if (command := kebab(operation)) not in wanted:
            continue
        needed = required(operation)
        text = f"{operation}, as in the AWS CLI."
        parser = add_command(commands, command, _operate, text, needed=needed, listed=False)
        add_catalog(parser)
        what = "all parameters, as JSON or file://FILE; options take the place of what is there"
        parser.add_argument("--cli-input-json", metavar="JSON", help=what)
        parser.add_argument(
            "--generate-cli-skeleton",
            nargs="?",
            const="input",
            choices=("input", "output"),
            help="print parameters to fill in, or such an answer, and end",
        )
        parser.add_argument("--query", metavar="JMESPATH", help="what to print of the answer")
        parser.add_argument("--output", choices=FORMATS, default="json", help="how to print it (default: json)")
        for name, kind in members(operation).items():
            _add_parameter(parser, name, kind, f" {REQUIRED}" if name in needed else "")
        parser.set_defaults(operation=operation)
        if operation in BEGINNING:
            add_session(parser)
        if operation == "CreateBatchInferenceJob":
            add_engine(parser)


def _add_parameter(parser: argparse.ArgumentParser, name: str, kind: str, mark: str) -> None:
    """One option; argparse must not ask for it, as it may stand in `--cli-input-json`."""
    option = kebab(name)
    if kind == "boolean":
        parser.add_argument(f"--{option}", dest=name, nargs="?", const=["true"], type=lambda text: [text], help=mark)
        parser.add_argument(f"--no-{option}", dest=name, action="store_const", const=["false"])
    elif kind in _NESTED:
        help_ = "JSON, shorthand such as name=value,other={name=value}, or file://FILE"
        parser.add_argument(f"--{option}", dest=name, nargs="+", metavar=kind.upper(), help=help_ + mark)
    else:
        parser.add_argument(f"--{option}", dest=name, nargs=1, metavar=kind.upper(), help=mark)


def _operate(arguments: argparse.Namespace) -> None:
    from personalize_spark.service.work import Compute, Foreground

    operation = arguments.operation
    if arguments.generate_cli_skeleton:
        shown = skeleton(operation, arguments.generate_cli_skeleton)
        sys.stdout.write(spelled(shown, "json", None))
        return
    catalog = catalog_of(arguments)
    params = params_of(arguments)
    compute = Compute(getattr(arguments, "engine", "spark"), data=operation != "CreateBatchInferenceJob")
    work = Foreground(catalog, compute)
    answer = with_times(operation, _all_pages(catalog, operation, params, work.begin), _iso)
    if answer:  # the AWS CLI prints nothing where there is nothing to answer
        sys.stdout.write(spelled(answer, arguments.output, arguments.query))
        sys.stdout.flush()
    work.finish()


def params_of(arguments: argparse.Namespace) -> Fields:
    """The parameters of the operation that is called."""
    params = json_of(arguments.cli_input_json) if arguments.cli_input_json else {}
    for name, kind in members(arguments.operation).items():
        if (texts := getattr(arguments, name)) is not None:
            params[name] = _value(texts, kind)
    return with_scalars(arguments.operation, params)


def _all_pages(catalog: Catalog, operation: str, params: Fields, begin: Begin) -> Fields:
    """The answer of an operation; of a list, unless a page is asked for, all of it."""
    answer = perform(catalog, operation, params, begin)
    while not params.keys() & {"maxResults", "nextToken"} and (token := answer.pop("nextToken", None)):
        for name, value in perform(catalog, operation, {**params, "nextToken": token}, begin).items():
            answer[name] = [*answer[name], *value] if isinstance(value, list) else value
    return answer


def _value(texts: Sequence[str], kind: str) -> Any:
    """What an option was given; `file://FILE` stands for what is in the file."""
    texts = [text_of(text) if text.startswith("file://") else text for text in texts]
    if kind not in _NESTED:
        return texts[0]
    if texts[0].lstrip().startswith(("{", "[")):
        try:
            return json.loads(" ".join(texts))
        except ValueError as error:
            raise InvalidInputException(f"{' '.join(texts)} is not valid JSON: {error}.") from error
    values = [parse(text) for text in texts]
    if kind != "list":
        return values[0]
    return [each for value in values for each in (value if isinstance(value, list) else [value])]


def _iso(time: float) -> str:
    """A time as the AWS CLI prints it: to the millisecond, with the offset of this machine's zone."""
    return dt.datetime.fromtimestamp(round(time, 3)).astimezone().isoformat()
