"""What commands share: how they are added, and how they read what they are given."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.examples import examples_of
from personalize_spark.errors import InvalidInputException
from personalize_spark.logs import as_json
from personalize_spark.settings import FILE, SETTINGS, value_of
from personalize_spark.storage.location import open_store, split_prefix, uri_of

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 refused, 130 interrupted."
CATALOG_BEFORE = "catalog_before"
"""The argument of a `--catalog` that stands before the command."""

LOG_OPTIONS = ("log-format", "log-level")
_SHOWN = 200
"""Characters of a text that is no JSON."""

_log = logging.getLogger("personalize_spark.cli")

Commands = Any
"""What `ArgumentParser.add_subparsers` returns; argparse does not name it."""


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], None],
    text: str,
    *,
    needed: Sequence[str] = (),
    listed: bool = True,
) -> argparse.ArgumentParser:
    """A command that `run` carries out.

    Args:
        commands: where it is added.
        name: of the command.
        run: what it does.
        text: what it is for.
        needed: of an operation, the members that its request needs, for the examples.
        listed: the help of all commands has a line for it.
    """
    line = {"help": text} if listed else {}
    added: argparse.ArgumentParser = commands.add_parser(
        name, description=text, epilog=f"{examples_of(name, needed)}\n\n{EXIT_CODES}", **line
    )
    added.set_defaults(command=run)
    for option, shape in zip(LOG_OPTIONS, ("text|json", "LEVELS"), strict=True):
        added.add_argument(f"--{option}", metavar=shape, help=SETTINGS[option].meaning)
    return added


def add_catalog(parser: argparse.ArgumentParser, name: str = "catalog") -> None:
    """The option `--catalog`; `name` is that of the argument."""
    parser.add_argument(
        "--catalog",
        metavar="URI",
        dest=name,
        default=argparse.SUPPRESS if name == CATALOG_BEFORE else None,
        help=f"the catalog: file:///... or s3://...; default: ${SETTINGS['catalog'].variable}",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """The option `--engine`."""
    what = "local runs in processes on this machine, without Spark and Java; the output is the same"
    parser.add_argument("--engine", choices=["spark", "local"], default=value_of("engine"), help=what)


def add_limits(parser: argparse.ArgumentParser) -> None:
    """The option `--limits`."""
    limits = SETTINGS["limits"]
    parser.add_argument("--limits", choices=["service"], default=value_of("limits"), help=limits.meaning)


def add_session(parser: argparse.ArgumentParser) -> None:
    """What a local session of Spark is begun with."""
    local = "of a local session; spark-submit has its own"
    parser.add_argument("--driver-memory", metavar="SIZE", help=f"memory of the JVM, such as 4g, {local}")
    parser.add_argument("--conf", metavar="NAME=VALUE", action="append", help=f"a setting {local}; may be repeated")
    what = "show the warnings of Spark itself, too, where the session is a local one"
    parser.add_argument("-v", "--verbose", action="store_true", help=what)


def session_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """What `add_session` added, taken out of the arguments and checked before a JVM starts.

    Raises:
        InvalidInputException: a setting is none.
    """
    memory, pairs, verbose = (vars(arguments).pop(name, None) for name in ("driver_memory", "conf", "verbose"))
    if memory is not None and not re.fullmatch(r"[1-9][0-9]*[kmgtKMGT]", memory):
        raise InvalidInputException(f"--driver-memory {memory} is no size, such as 4g or 900m.")
    settings = {"spark.log.level": "WARN"} if verbose else {}
    if memory is not None:
        settings["spark.driver.memory"] = str(memory)
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not (equals and name.startswith("spark.")):
            raise InvalidInputException(f"--conf {pair} is no NAME=VALUE, such as spark.sql.shuffle.partitions=8.")
        settings[name] = value
    return settings


def catalog_of(arguments: argparse.Namespace) -> Catalog:
    """The catalog that `--catalog`, behind the command or before it, the environment or the file of settings names.

    Raises:
        InvalidInputException: none does.
    """
    place = arguments.catalog or getattr(arguments, CATALOG_BEFORE, None) or value_of("catalog")
    if not place:
        raise InvalidInputException(
            f"No catalog is given: use --catalog URI, set {SETTINGS['catalog'].variable}, or write it into {FILE}."
        )
    return Catalog(place)


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """All other options: the function behind a command takes them by the same names."""
    return {
        name: value for name, value in vars(arguments).items() if name not in {"catalog", CATALOG_BEFORE, "command"}
    }


def tell(text: str, level: int = logging.INFO, **fields: Any) -> None:
    """Say something on stderr: a line of the log where that is JSON."""
    if as_json():
        _log.log(level, "%s", text, extra={"fields": fields})
    else:
        sys.stderr.write(f"{text}\n")


def json_of(source: str) -> dict[str, Any]:
    """A JSON object: the text itself, a path, `file://PATH` as in the AWS CLI, an object `s3://BUCKET/KEY`, or `-` for stdin.

    Raises:
        InvalidInputException: it cannot be read, or is no object.
        StorageError: S3 refuses it.
    """
    inline = source.lstrip().startswith("{")
    shown = source[:_SHOWN] if inline else _place_of(source)
    try:
        value = json.loads(source if inline else _read(source))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputException(f"{shown} cannot be read as JSON: {why_unread(error)}") from error
    if not isinstance(value, dict):
        raise InvalidInputException(f"{shown} does not contain a JSON object.")
    return value


def text_of(file: str) -> str:
    """What a local file holds, `PATH` or `file://PATH`, which may be relative.

    Raises:
        InvalidInputException: it cannot be read.
    """
    try:
        return _read(file)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputException(f"{_place_of(file)} cannot be read: {why_unread(error)}.") from error


def _read(place: str) -> str:
    if place == "-":
        return sys.stdin.read()
    if place.startswith(("s3://", "s3a://")):
        folder, name = split_prefix(place)
        return open_store(folder).read(name).decode("utf-8-sig")
    return Path(place.removeprefix("file://")).read_text(encoding="utf-8-sig")


def _place_of(source: str) -> str:
    return "stdin" if source == "-" else uri_of(source.removeprefix("file://"))


def why_unread(error: Exception) -> object:
    """What is wrong, without the path: the message has it."""
    return getattr(error, "strerror", None) or error


class Shown(Protocol):
    """A result that prints well."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""


class Result(Shown, Protocol):
    """What `evaluate` and `compare` return."""

    @property
    def notes(self) -> Sequence[str]:
        """What to know before one reads the result."""


def show_result(result: Result, *, as_json: bool) -> None:
    """Print a result, as a table or as JSON; its notes go to stderr."""
    for note in result.notes:
        tell(note)
    show_as(result, as_json=as_json)


def show_as(result: Shown, *, as_json: bool) -> None:
    """Print a result, as people read it or as JSON."""
    if as_json:
        show(result.to_dict())
    else:
        sys.stdout.write(f"{result}\n")


def show(answer: Mapping[str, Any]) -> None:
    """Print a result as JSON."""
    sys.stdout.write(json.dumps(answer, indent=4, ensure_ascii=False) + "\n")
    sys.stdout.flush()
