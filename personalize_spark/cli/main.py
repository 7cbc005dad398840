"""The command line, `personalize-spark` or `python -m personalize_spark`.

Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed, 2 refused, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence

from personalize_spark import __version__
from personalize_spark.cli import (
    compare,
    config,
    demo,
    evaluate,
    explain_filter,
    explain_theme,
    gc,
    models,
    operations,
    report,
    run,
    serve,
)
from personalize_spark.cli.arguments import CATALOG_BEFORE, EXIT_CODES, add_catalog, session_settings, tell
from personalize_spark.cli.command_parser import Parser
from personalize_spark.cli.config import log_as_asked, settings_of_file
from personalize_spark.errors import PersonalizeSparkError, ServiceError, interrupts_told, missing_spark_told

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
_COMMANDS = (run, models, evaluate, compare, explain_filter, explain_theme, report, gc, config, demo, serve)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        code = _code_of(lambda: _run(argv))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has what it wanted; at the end Python would write the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def _code_of(work: Callable[[], int], operation: str | None = None) -> int:
    """The exit code of some work; why it failed is said, of an operation as the AWS CLI says it."""
    try:
        with missing_spark_told(), interrupts_told():
            return work()
    except ServiceError as error:
        when = f" when calling the {operation} operation" if operation else ""
        return _tell(f"An error occurred ({error.code}){when}: {error.message}", REFUSED, *_notes(error))
    except PersonalizeSparkError as error:
        return _tell(error.message, FAILED, *_notes(error))
    except KeyboardInterrupt as interrupt:
        return _tell("Interrupted.", INTERRUPTED, *_notes(interrupt))


def _run(argv: Sequence[str] | None) -> int:
    with settings_of_file():
        arguments = _arguments(argv)
        if arguments is None:
            return DONE
        with log_as_asked(arguments):
            return _code_of(lambda: _carry_out(arguments), getattr(arguments, "operation", None))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace | None:
    """The arguments; nothing of a bare call, which is shown the commands."""
    commands = parser(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:  # a shell asks how the line may go on
        import argcomplete

        argcomplete.autocomplete(parser())
    arguments: argparse.Namespace = commands.parse_known_args(argv)[0]
    if hasattr(arguments, "command"):
        return arguments
    commands.print_help()
    return None


def _carry_out(arguments: argparse.Namespace) -> int:
    with _stopped_as_by_ctrl_c():
        if settings := session_settings(arguments):
            from personalize_spark.local_session import set_local

            set_local(settings)
        arguments.command(arguments)
    return DONE


@contextlib.contextmanager
def _stopped_as_by_ctrl_c() -> Iterator[None]:
    """SIGTERM, which a platform sends before it kills, ends the work as Ctrl-C does.

    Afterwards the caller's handlers are back, also that of SIGINT, which a session that begins replaces.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.suppress(ValueError):  # a notebook's thread gets no signals
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(ValueError, TypeError):  # and a handler that is not Python's cannot be set by it
                signal.signal(number, handler)


def parser(asked: Sequence[str] = ()) -> argparse.ArgumentParser:
    """All commands and their options; of the service's own operations, only what is asked for where a command is: they are many."""
    indent = "  "
    as_in_aws = textwrap.fill(
        ", ".join(operations.names()), 78, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    parser = Parser(
        prog="personalize-spark",
        description="Amazon Personalize's batch inference on your own Spark.",
        epilog=f"as in the AWS CLI:\n{as_in_aws}\n\nCOMMAND --help has its options, and examples.\n{EXIT_CODES}",
    )
    what = "print the version, and what runs the search for the best items"
    parser.add_argument("--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help=what)
    add_catalog(parser, CATALOG_BEFORE)
    commands = parser.add_subparsers(metavar="COMMAND")
    for module in _COMMANDS:
        module.add(commands)
    named = {*asked} & {*commands.choices, *operations.names()}
    operations.add(commands, [name for name in operations.names() if name in named or not named])
    return parser


class _Version(argparse.Action):
    """Asked only then, as numpy takes a while to start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from personalize_spark.scoring.kernel import kernel

        print(f"personalize-spark {__version__} ({'numpy' if (native := kernel()) is None else native.name})")
        parser.exit()


def _tell(message: str, code: int, *notes: str) -> int:
    tell("\n".join((message, *notes)), logging.ERROR, exitCode=code)
    return code


def _notes(error: BaseException) -> Sequence[str]:
    notes: Sequence[str] = getattr(error, "__notes__", ())
    return notes
