"""`personalize-spark.toml`, what the command line lays under the environment; and `config`, which shows all settings."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from personalize_spark.cli.arguments import (
    CATALOG_BEFORE,
    LOG_OPTIONS,
    Commands,
    add_catalog,
    add_command,
    add_engine,
    add_limits,
    show,
    why_unread,
)
from personalize_spark.errors import InvalidInputException, did_you_mean
from personalize_spark.logs import logging_as_set
from personalize_spark.settings import FILE, FILE_VARIABLE, SETTINGS, problem, value_of

_OPTIONS = {
    "catalog": "catalog",
    "engine": "engine",
    "limits": "limits",
    "theme-model": "theme_model",
    "driver-memory": "memory",
}
"""By the name of a setting, the argument of its option."""
_laid: dict[str, str] = {}
"""By variable of the environment that was not set from without, what has set it: the file, or an option."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "config", _config, "Show all settings, and where each comes from.")
    for option in (add_catalog, add_engine, add_limits):
        option(parser)
    parser.add_argument("--theme-model", metavar="MODEL", help=SETTINGS["theme-model"].meaning)
    parser.add_argument("--driver-memory", metavar="SIZE", dest="memory", help=SETTINGS["driver-memory"].meaning)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(**dict.fromkeys(_OPTIONS.values()))


@contextlib.contextmanager
def settings_of_file() -> Iterator[None]:
    """In here the environment has what the file of settings says, where it says nothing itself.

    Raises:
        InvalidInputException: the file, or a variable, has what is no setting or no value of it.
    """
    given = _read_file()
    _check_environment()
    laid = {SETTINGS[name].variable: value for name, value in given.items()}
    laid = {name: value for name, value in laid.items() if not os.environ.get(name)}
    with _laid_over(laid, dict.fromkeys(laid, str(_place()))):
        yield


@contextlib.contextmanager
def log_as_asked(arguments: argparse.Namespace) -> Iterator[None]:
    """In here the options of the log hold, which are taken out of the arguments; processes that start inherit them.

    Raises:
        InvalidInputException: a value is none of them.
    """
    given = {name: vars(arguments).pop(name.replace("-", "_"), None) for name in LOG_OPTIONS}
    checked = {SETTINGS[name].variable: _checked(name, value, f"--{name}: ") for name, value in given.items() if value}
    sources = {SETTINGS[name].variable: f"--{name}" for name in given}
    with _laid_over(checked, {name: sources[name] for name in checked}), logging_as_set():
        yield


@contextlib.contextmanager
def _laid_over(values: Mapping[str, str], sources: Mapping[str, str]) -> Iterator[None]:
    """In here the environment has these variables, which come from these sources."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    _laid.update(sources)
    try:
        yield
    finally:
        for name, value in before.items():
            _laid.pop(name, None)
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _place() -> Path:
    return Path(os.environ.get(FILE_VARIABLE) or FILE)


def _read_file() -> Mapping[str, str]:
    """What the file says, by the names of settings; nothing without a file."""
    path = _place()
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if FILE_VARIABLE in os.environ:
            raise InvalidInputException(f"{FILE_VARIABLE} names {path}, which is not there.") from None
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInputException(f"{path} cannot be read as TOML: {why_unread(error)}") from error
    return {name: _checked(name, value, f"{path}, {name}: ") for name, value in said.items()}


def _checked(name: str, value: object, where: str) -> str:
    if name not in SETTINGS:
        hint = did_you_mean(name, SETTINGS) or f"; there are {', '.join(SETTINGS)}"
        raise InvalidInputException(f"{where}there is no such setting{hint}.")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidInputException(f"{where}give a text or a whole number: {SETTINGS[name].form}.")
    if (wrong := problem(name, str(value))) is not None:
        raise InvalidInputException(f"{where}{wrong}.")
    return str(value)


def _check_environment() -> None:
    for name, setting in SETTINGS.items():
        if value := os.environ.get(setting.variable):
            _checked(name, value, f"{setting.variable}: ")


def _config(arguments: argparse.Namespace) -> None:
    given = {name: getattr(arguments, argument) for name, argument in _OPTIONS.items()}
    given["catalog"] = given["catalog"] or getattr(arguments, CATALOG_BEFORE, None)
    rows = {name: _row(name, given.get(name)) for name in SETTINGS}
    if arguments.json:
        show({name: {"value": value, "from": source} for name, (value, source) in rows.items()})
        return
    shown = [(name, value or "-", source) for name, (value, source) in rows.items()]
    widths = [max(len(row[column]) for row in shown) for column in range(2)]
    for name, value, source in shown:
        sys.stdout.write(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source}\n")


def _row(name: str, option: str | None) -> tuple[str | None, str]:
    """The value of a setting, and where it comes from."""
    variable = SETTINGS[name].variable
    if option is not None:
        return option, f"--{name}"
    if os.environ.get(variable):
        return value_of(name), _laid.get(variable, variable)
    return value_of(name), "default"
