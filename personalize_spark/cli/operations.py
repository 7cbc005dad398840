"""The service's own operations, by the names and arguments that the AWS CLI gives them."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, json_of, show
from personalize_spark.request import members

_OPERATIONS = (
    "DescribeBatchInferenceJob",
    "ListBatchInferenceJobs",
    "CreateFilter",
    "DescribeFilter",
    "ListFilters",
    "DeleteFilter",
    "CreateSolution",
    "DescribeSolution",
    "ListSolutions",
    "DeleteSolution",
    "CreateSolutionVersion",
    "DescribeSolutionVersion",
    "ListSolutionVersions",
    "GetSolutionMetrics",
    "DescribeRecipe",
    "ListRecipes",
)


def add(commands: Commands) -> None:
    """Add a command for each operation."""
    for operation in _OPERATIONS:
        parser = add_command(commands, _kebab(operation), _operate, f"{operation}, as in the AWS CLI.")
        add_catalog(parser)
        parser.add_argument("--cli-input-json", metavar="JSON", help="all parameters, as JSON or file://FILE")
        for name, kind in members(operation).items():
            parse = {"string": str, "integer": int}.get(kind, json.loads)  # booleans are true and false
            parser.add_argument(f"--{_kebab(name)}", dest=name, type=parse)
        parser.set_defaults(operation=operation)


def _operate(arguments: argparse.Namespace) -> None:
    from personalize_spark.service import batch_inference_jobs as jobs
    from personalize_spark.service import filters, recipes, solutions

    functions: Mapping[str, Callable[[Catalog, Mapping[str, Any]], Fields]] = {
        "DescribeBatchInferenceJob": jobs.describe_batch_inference_job,
        "ListBatchInferenceJobs": jobs.list_batch_inference_jobs,
        "CreateFilter": filters.create_filter,
        "DescribeFilter": filters.describe_filter,
        "ListFilters": filters.list_filters,
        "DeleteFilter": filters.delete_filter,
        "CreateSolution": solutions.create_solution,
        "DescribeSolution": solutions.describe_solution,
        "ListSolutions": solutions.list_solutions,
        "DeleteSolution": solutions.delete_solution,
        "CreateSolutionVersion": _create_solution_version,
        "DescribeSolutionVersion": solutions.describe_solution_version,
        "ListSolutionVersions": solutions.list_solution_versions,
        "GetSolutionMetrics": solutions.get_solution_metrics,
        "DescribeRecipe": lambda _, params: recipes.describe_recipe(params),
        "ListRecipes": lambda _, params: recipes.list_recipes(params),
    }
    given = {name: getattr(arguments, name) for name in members(arguments.operation)}
    params = json_of(arguments.cli_input_json) if arguments.cli_input_json else {}
    params |= {name: value for name, value in given.items() if value is not None}
    show(functions[arguments.operation](catalog_of(arguments), params))


def _create_solution_version(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    from personalize_spark.service.solutions import create_solution_version
    from personalize_spark.spark import open_session

    return create_solution_version(catalog, params, partial(open_session, "personalize-spark training", data=True))


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
