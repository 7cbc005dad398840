"""The parser of the command line: a mistake is answered by the command's own usage and the name that was meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from personalize_spark.errors import did_you_mean
from personalize_spark.request import service_of
from personalize_spark.service.operations import NOT_BATCH

_GLUE = ("--JOB_NAME", "--JOB_RUN_ID")
"""AWS Glue gives a script its own options beside the script's, these among them; whatever else it adds is passed over."""

REQUIRED = "(required)"
"""Behind the help of an option that a command cannot do without."""


class _Help(argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        help_ = super()._get_help_string(action)
        return f"{help_} {REQUIRED}" if action.required and action.option_strings else help_


class Parser(argparse.ArgumentParser):
    """Of all commands, and of each."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Help, **options)
        self._given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown options here, where it is known which command they were given to."""
        self._given = [*(sys.argv[1:] if args is None else args)]
        known, unknown = super().parse_known_args(args, namespace)
        if unknown and not {*_GLUE} & {each.partition("=")[0] for each in self._given}:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Print the usage and the mistake: the name of an option that is a slip, rather than what is missing because of it."""
        options = [option for option in self._option_string_actions if option.startswith("--")]
        named = [each.partition("=")[0] for each in self._given if each.startswith("--")]
        slips = [name for name in named if not any(option.startswith(name) for option in options)]
        meant = [f"there is no option {name}{hint}" for name in slips if (hint := did_you_mean(name, options))]
        super().error(meant[0] if meant else message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Of a command that is none, the nearest one says more than the list of them all."""
        names = [str(name) for name in action.choices or ()]
        if value not in names and action.metavar == "COMMAND":
            operation = "".join(part.capitalize() for part in str(value).split("-"))
            if service_of(operation) is not None:
                self.error(f"{operation} is not supported: {NOT_BATCH}")
            hint = did_you_mean(str(value), names)
            self.error(f"there is no command {value!r}{hint}; personalize-spark --help lists them")
        super()._check_value(action, value)
