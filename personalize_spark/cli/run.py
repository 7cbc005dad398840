"""`run`, `resume`, `watch` and `validate`: a CreateBatchInferenceJob request carried out, its job finished later or followed, or it is only checked."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from personalize_spark import api
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import find
from personalize_spark.cli.arguments import (
    Commands,
    add_catalog,
    add_command,
    add_engine,
    add_limits,
    add_session,
    catalog_of,
    json_of,
    options_of,
    show,
    tell,
)
from personalize_spark.cli.extension_options import add_extensions
from personalize_spark.cli.progress import ProgressLine
from personalize_spark.errors import JobFailed, StorageError
from personalize_spark.logs import set_job


def add(commands: Commands) -> None:
    """Add the commands."""
    run = add_command(commands, "run", _run, "Create a batch inference job from a request and wait until it ends.")
    resume = add_command(
        commands, "resume", _resume, "Finish a batch inference job whose driver was killed or stopped."
    )
    watch = add_command(commands, "watch", _watch, "Follow a batch inference job that any driver runs, to its end.")
    check = add_command(commands, "validate", _validate, "Check a request without running it.")
    what = "say what the job will take: counts or samples its lines, and answers some for two seconds"
    check.add_argument("--estimate", action="store_true", help=what)
    check.add_argument("--cores", type=int, metavar="N", help="of the estimate; default: those of this machine")
    what = "lines a second of one core, for the estimate, in place of the two seconds"
    check.add_argument("--rate", type=float, metavar="LINES", help=what)
    for command in (resume, watch):
        command.add_argument("arn", metavar="ARN", help="the ARN of the job")
    run.add_argument("--job-name", metavar="NAME", help="takes the place of the request's jobName")
    for command in (run, resume):
        what = (
            "add a line of metrics to this file at the job's end, in CloudWatch's embedded metric format; - is stdout"
        )
        command.add_argument("--emf", metavar="FILE", help=what)
        add_session(command)
        add_engine(command)
    run.add_argument(
        "--tolerated-failure-percentage",
        type=float,
        metavar="PERCENT",
        help="with more error lines the job is CREATE FAILED; its outputs are kept",
    )
    run.add_argument(
        "--errors-to", metavar="PREFIX", help="write error lines there, as NAME.errors; the .out files then have none"
    )
    run.add_argument(
        "--report-files",
        action="store_true",
        help="write report.json and report.html beside the outputs, too, in _report/JOBNAME/",
    )
    add_extensions(run)
    run.add_argument(
        "--theme-model",
        metavar="MODEL",
        help="a language model that phrases the themes: bedrock:MODEL_ID or openai-compatible:URL[#MODEL]",
    )
    for command in (run, resume, watch, check):
        add_catalog(command)
    what = "a CreateBatchInferenceJob request, as JSON; - reads stdin"
    check.add_argument("--request", metavar="FILE", required=True, help=what)
    asked = run.add_mutually_exclusive_group(required=True)
    asked.add_argument("--request", metavar="FILE", help=f"{what} (required, or --retry-errors)")
    what = "answer again the lines that were error lines, and files without an output; replaces these outputs"
    asked.add_argument("--retry-errors", metavar="REPORT|ARN", help=what)
    what = "write what --retry-errors answers there, alone; the old outputs stay"
    run.add_argument("--retry-to", metavar="PREFIX", help=what)
    for command in (run, check):
        command.add_argument("--assume-role", action="store_true", help="read and write as the request's roleArn")
        add_limits(command)


def _run(arguments: argparse.Namespace) -> None:
    catalog, options = catalog_of(arguments), _options(arguments)

    def created(arn: str) -> None:
        set_job(arn)
        show({"batchInferenceJobArn": arn})
        arns.append(arn)

    arns: list[str] = []
    with _metrics_told(catalog, options.pop("emf"), arns), _telling_the_way_on(arns), ProgressLine(sys.stderr) as line:
        report = api.run_batch_inference(catalog, **options, created=created, progress=line.show)
    tell(f"{report}")


def _resume(arguments: argparse.Namespace) -> None:
    catalog, options = catalog_of(arguments), options_of(arguments)
    found = find(catalog, arguments.arn, "batch inference job")
    set_job(arguments.arn)
    if found.status.unfinished:
        tell("Looking for 45 seconds at most whether its driver lives.")
    with _metrics_told(catalog, options.pop("emf"), [arguments.arn]), ProgressLine(sys.stderr) as line:
        report = api.resume(catalog, **options, progress=line.show)
    tell(f"{report}")


def _watch(arguments: argparse.Namespace) -> None:
    from personalize_spark.job.watch import watch_job

    set_job(arguments.arn)
    with ProgressLine(sys.stderr) as line:
        report = watch_job(catalog_of(arguments), **options_of(arguments), progress=line.show)
    tell(f"{report}")


@contextlib.contextmanager
def _metrics_told(catalog: Catalog, place: str | None, arns: Sequence[str]) -> Iterator[None]:
    """A job that ends in here, ACTIVE or CREATE FAILED, leaves a line of metrics at the place, if there is one."""
    if place not in {None, "-"}:  # before there is a job, not when it is done
        with _appended(f"{place}"):
            pass
    try:
        yield
    except JobFailed:
        _write_metrics(catalog, place, arns)
        raise
    _write_metrics(catalog, place, arns)


def _write_metrics(catalog: Catalog, place: str | None, arns: Sequence[str]) -> None:
    if place is None:
        return
    from personalize_spark.service.metrics import metric_line

    lines = [metric_line(catalog, arn) for arn in arns]
    if place == "-":
        sys.stdout.writelines(lines)
        return
    with _appended(place) as file:
        file.writelines(lines)


@contextlib.contextmanager
def _appended(place: str) -> Iterator[TextIO]:
    try:
        with Path(place).open("a", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise StorageError(f"--emf {place} cannot be written: {error.strerror}.") from error


@contextlib.contextmanager
def _telling_the_way_on(arns: Sequence[str]) -> Iterator[None]:
    """Who interrupts a job learns that its name is taken from now on."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        for arn in arns:
            interrupt.add_note(f"The job keeps its name. Continue it with: personalize-spark resume {arn}")
        raise


def _validate(arguments: argparse.Namespace) -> None:
    from personalize_spark.service.validation import validate_batch_inference

    show(validate_batch_inference(catalog_of(arguments), **_options(arguments)))


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    options = options_of(arguments)
    return {**options, "request": json_of(options["request"]) if options["request"] is not None else None}
