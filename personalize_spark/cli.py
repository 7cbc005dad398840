"""The command line, `personalize-spark` or `python -m personalize_spark`.

Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed, 2 refused.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.model import StructureShape

from personalize_spark.errors import InvalidInputException, PersonalizeSparkError, ServiceError
from personalize_spark.progress import ProgressLine, summary
from personalize_spark.request import service_model
from personalize_spark.storage.catalog import Catalog, Fields

DONE, FAILED, REFUSED = 0, 1, 2
CATALOG = "PERSONALIZE_SPARK_CATALOG"

_OPERATIONS = (
    "DescribeBatchInferenceJob",
    "ListBatchInferenceJobs",
    "CreateFilter",
    "DescribeFilter",
    "ListFilters",
    "DeleteFilter",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except ServiceError as error:
        return _tell(f"An error occurred ({error.code}): {error.message}", REFUSED)
    except PersonalizeSparkError as error:
        return _tell(error.message, FAILED)
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "personalize-spark", description="Amazon Personalize's batch inference on your own Spark."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=run)
        return added

    def with_catalog(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument(
            "--catalog", metavar="URI", default=os.environ.get(CATALOG), help=f"file:///... or s3://...; ${CATALOG}"
        )
        return added

    run = with_catalog(command("run", _run, "Create a batch inference job from a request and wait for its end."))
    run.add_argument("--request", required=True, metavar="FILE", help="a CreateBatchInferenceJob request, as JSON")
    run.add_argument("--assume-role", action="store_true", help="read and write as the request's roleArn")
    run.add_argument("--limits", choices=["service"], help="refuse what exceeds the managed service's quotas")

    check = with_catalog(command("validate", _validate, "Check a request without running it."))
    check.add_argument("--request", required=True, metavar="FILE", help="a CreateBatchInferenceJob request, as JSON")

    _add_import(with_catalog(command("import", _import, "Import datasets from CSV files.")))
    _add_train(with_catalog(command("train", _train, "Train a solution version; its ARN is the last line of stdout.")))

    demo = command("demo", _demo, "The main job on a generated catalogue, from nothing to printed answers.")
    demo.add_argument("--keep", metavar="DIR", type=Path, help="leave everything there, for play")

    for operation in _OPERATIONS:
        _add_operation(
            with_catalog(command(_kebab(operation), _operate, f"{operation}, as in the AWS CLI.")), operation
        )
    return parser


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--group", required=True, metavar="NAME", help="the dataset group, made if there is none")
    for name in ("interactions", "items", "users"):
        parser.add_argument(f"--{name}", metavar="CSV", help=f"file or folder of the {name} dataset")
        parser.add_argument(f"--{name}-schema", metavar="JSON", help="its Avro schema; inferred when left out")
    parser.add_argument("--import-mode", choices=["FULL", "INCREMENTAL"], default="FULL", help="replace or add (FULL)")


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--group", required=True, metavar="NAME", help="the dataset group to learn from")
    parser.add_argument(
        "--recipe", required=True, metavar="NAME", help="aws-user-personalization or aws-popularity-count"
    )
    parser.add_argument("--solution", required=True, metavar="NAME", help="the solution, made if there is none")
    parser.add_argument("--rank", type=int, help="dimensions of the factors")
    parser.add_argument("--iterations", type=int, help="ALS iterations")
    parser.add_argument("--regularization", type=float, help="ALS regularization")
    parser.add_argument("--alpha", type=float, help="ALS confidence of one interaction")
    parser.add_argument("--seed", type=int, help="of the factors' first values")


def _add_operation(parser: argparse.ArgumentParser, operation: str) -> None:
    parser.add_argument("--cli-input-json", metavar="JSON", help="all parameters, as JSON or file://FILE")
    for name, shape in _members(operation).items():
        parse = {"string": str, "integer": int}.get(shape.type_name, json.loads)
        parser.add_argument(f"--{_kebab(name)}", dest=name, type=parse)
    parser.set_defaults(operation=operation)


def _run(arguments: argparse.Namespace) -> None:
    # Spark and what needs it are imported by the commands that start it: the others answer at once.
    from personalize_spark.job.batch_inference import run_job
    from personalize_spark.job.session import open_session
    from personalize_spark.service.batch_inference_jobs import create_batch_inference_job

    catalog = _catalog(arguments)
    job = create_batch_inference_job(
        catalog,
        _json(arguments.request),
        assume_role=arguments.assume_role,
        service_limits=arguments.limits == "service",
    )
    _print({"batchInferenceJobArn": str(job.record.arn)})
    with ProgressLine(sys.stderr) as line:
        report = run_job(open_session(f"personalize-spark {job.request.job_name}"), catalog, job, line.show)
    sys.stderr.write(summary(report))


def _validate(arguments: argparse.Namespace) -> None:
    from personalize_spark.job.plan import find_inputs
    from personalize_spark.service.batch_inference_jobs import check_batch_inference_job
    from personalize_spark.storage.location import AMBIENT

    checked = check_batch_inference_job(_catalog(arguments), _json(arguments.request))
    request = checked.request
    inputs = find_inputs(request.input_path, request.output_path, AMBIENT)
    size = sum(each.source.size for each in inputs)
    _print({"valid": True, "inputFiles": len(inputs), "inputBytes": size, "notes": checked.notes})


def _import(arguments: argparse.Namespace) -> None:
    from personalize_spark.datasets.imports import ImportMode, Source, import_datasets
    from personalize_spark.job.session import open_session

    catalog = _catalog(arguments)
    sources = {
        name: Source(_uri(path), _json(schema) if schema else None)
        for name in ("Interactions", "Items", "Users")
        if (path := getattr(arguments, name.lower()))
        for schema in [getattr(arguments, f"{name.lower()}_schema")]
    }
    if not sources:
        raise InvalidInputException("Nothing to import: name at least one of --interactions, --items, --users.")
    session = open_session(f"personalize-spark import {arguments.group}", data=True)
    report = import_datasets(session, catalog, arguments.group, sources, ImportMode(arguments.import_mode))
    sys.stderr.write(f"{report}\n")


def _train(arguments: argparse.Namespace) -> None:
    from personalize_spark.job.session import open_session
    from personalize_spark.training.train import Hyperparameters, train

    catalog = _catalog(arguments)
    names = ("rank", "iterations", "regularization", "alpha", "seed")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    session = open_session(f"personalize-spark train {arguments.solution}", data=True)
    arn = train(session, catalog, arguments.group, arguments.recipe, arguments.solution, Hyperparameters(**given))
    for name, value in catalog.read(arn).fields.get("metrics", {}).items():
        sys.stderr.write(f"{name}: {value}\n")
    sys.stdout.write(f"{arn}\n")


def _demo(arguments: argparse.Namespace) -> None:
    from personalize_spark.demo import demo

    demo(arguments.keep)


def _operate(arguments: argparse.Namespace) -> None:
    from personalize_spark.service import batch_inference_jobs as jobs
    from personalize_spark.service import filters

    functions: Mapping[str, Callable[[Catalog, Mapping[str, Any]], Fields]] = {
        "DescribeBatchInferenceJob": jobs.describe_batch_inference_job,
        "ListBatchInferenceJobs": jobs.list_batch_inference_jobs,
        "CreateFilter": filters.create_filter,
        "DescribeFilter": filters.describe_filter,
        "ListFilters": filters.list_filters,
        "DeleteFilter": filters.delete_filter,
    }
    given = {name: getattr(arguments, name) for name in _members(arguments.operation)}
    params = _json(arguments.cli_input_json) if arguments.cli_input_json else {}
    params |= {name: value for name, value in given.items() if value is not None}
    _print(functions[arguments.operation](_catalog(arguments), params))


def _members(operation: str) -> Mapping[str, Any]:
    shape = service_model().operation_model(operation).input_shape
    return shape.members if isinstance(shape, StructureShape) else {}


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def _catalog(arguments: argparse.Namespace) -> Catalog:
    if not arguments.catalog:
        raise InvalidInputException(f"Which catalog? Give --catalog URI or set {CATALOG}.")
    return Catalog(_uri(arguments.catalog))


def _uri(path: str) -> str:
    """A local path as a URI; a URI as it is."""
    return path if "://" in path else f"file://{Path(path).absolute()}"


def _json(source: str) -> dict[str, Any]:
    """A JSON object: the text itself, a path, or `file://PATH` as in the AWS CLI."""
    try:
        text = (
            source
            if source.lstrip().startswith("{")
            else Path(source.removeprefix("file://")).read_text(encoding="utf-8-sig")
        )
        value = json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidInputException(f"{source} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInputException(f"{source} holds no JSON object.")
    return value


def _print(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer, indent=4, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _tell(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code
