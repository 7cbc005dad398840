"""`import`, `train` and `import-model`: from data, or from factors, to a solution version."""

from __future__ import annotations

import argparse
import sys

from personalize_spark import api
from personalize_spark.cli.arguments import (
    Commands,
    add_catalog,
    add_command,
    add_session,
    catalog_of,
    json_of,
    options_of,
    show,
)
from personalize_spark.errors import InvalidInputException
from personalize_spark.solutions.new_version import NewVersion

_DATASETS = ("interactions", "items", "users")
_FACTORS = {
    "items": "the item factors; a saved PipelineModel gives the factors and the ids",
    "users": "the user factors; by default those in the file or folder of --items",
    "item-ids": "a table integer,id, for items that are only numbered (CSV, JSON Lines, Parquet); NAME.ids.txt beside NAME.npy is found automatically; or a saved StringIndexerModel",
    "user-ids": "the same for the users",
    "counts": "a table id,count: the number of interactions of each item (CSV, JSON Lines, Parquet); one of --counts, --interactions and --group is required",
    "interactions": "a table USER_ID,ITEM_ID, optionally with TIMESTAMP, instead of --counts",
}


def add(commands: Commands) -> None:
    """Add the commands."""
    _add_import(commands)
    _add_train(commands)
    _add_import_model(commands)


def _add_import(commands: Commands) -> None:
    parser = add_command(
        commands,
        "import",
        _import,
        "Import datasets from CSV files, Parquet or Delta tables. Stdout is the ARN of the dataset group.",
    )
    add_catalog(parser)
    add_session(parser)
    parser.add_argument("--group", required=True, metavar="NAME", help="the dataset group, created if there is none")
    for name in _DATASETS:
        parser.add_argument(
            f"--{name}",
            metavar="PATH",
            help=f"file, folder or table of the {name} dataset; TABLE@v12 is a version of a Delta table",
        )
        parser.add_argument(f"--{name}-schema", metavar="JSON", help="its Avro schema; inferred if left out")
    parser.add_argument(
        "--map",
        metavar="NAME=COLUMN",
        action="append",
        help="a column that the files name otherwise, such as USER_ID=customer_id; may be repeated",
    )
    parser.add_argument(
        "--import-mode",
        choices=["FULL", "INCREMENTAL"],
        default="FULL",
        help="FULL replaces the existing rows (default), INCREMENTAL adds to them",
    )
    parser.add_argument(
        "--filter-history",
        type=int,
        metavar="N",
        help="how many of a user's newest interactions of each event type filters see, from now on; 100 if never given",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be imported, and write nothing")
    parser.add_argument(
        "--print-schema", action="store_true", help="a dry run of one dataset; print its Avro schema, to keep and edit"
    )


def _add_train(commands: Commands) -> None:
    parser = add_command(commands, "train", _train, "Train a solution version. The last line of stdout is its ARN.")
    add_catalog(parser)
    add_session(parser)
    parser.add_argument("--group", required=True, metavar="NAME", help="the dataset group to train on")
    parser.add_argument(
        "--recipe", required=True, metavar="NAME", help="such as aws-user-personalization; list-recipes names all"
    )
    parser.add_argument("--solution", required=True, metavar="NAME", help="the solution, created if there is none")
    parser.add_argument("--rank", type=int, help="dimensions of the factors")
    parser.add_argument("--iterations", type=int, help="ALS iterations")
    parser.add_argument("--regularization", type=float, help="ALS regularization")
    parser.add_argument("--alpha", type=float, help="ALS confidence of one interaction")
    parser.add_argument("--seed", type=int, help="random seed of the initial factors")
    parser.add_argument(
        "--training-jobs",
        type=int,
        metavar="N",
        help="recipes for users: train up to N candidates and keep the best on held-out items, as performHPO does; 1: no choice; "
        "default: 1 beyond 2 million interactions, and where a setting of ALS is given, else 4",
    )
    parser.add_argument(
        "--theme-embedding",
        choices=["words", "wordllama"],
        help="what relevance to a theme is measured by: the catalogue's own words (default), or WordLlama (the extra themes)",
    )


def _add_import_model(commands: Commands) -> None:
    text = "Import factors as a solution version. The last line of stdout is its ARN."
    parser = add_command(commands, "import-model", _import_model, text)
    add_catalog(parser)
    add_session(parser)
    parser.add_argument("--solution", required=True, metavar="NAME", help="the solution, created if there is none")
    parser.add_argument("--recipe", required=True, metavar="NAME", help="such as aws-user-personalization")
    for name, text in _FACTORS.items():
        parser.add_argument(f"--{name}", metavar="F", help=text)
    parser.add_argument(
        "--format",
        choices=["als", "implicit", "parquet", "npy"],
        help="the format of the factors; detected from the files by default",
    )
    parser.add_argument("--group", metavar="NAME", help="the dataset group, for filters, exploration and popularity")
    parser.add_argument("--arn", help="the ARN of the new solution version, such as one that exists in the service")
    parser.add_argument(
        "--fit-temperature", action="store_true", help="fit the temperature of the scores to the interactions"
    )


def _import(arguments: argparse.Namespace) -> None:
    options = options_of(arguments)
    for name in (f"{dataset}_schema" for dataset in _DATASETS):
        options[name] = json_of(options[name]) if options[name] else None
    pairs = [each.partition("=") for each in options["map"] or []]
    if wrong := next(("".join(each) for each in pairs if not (each[0] and each[2])), None):
        raise InvalidInputException(f"--map {wrong} is no NAME=COLUMN, such as USER_ID=customer_id.")
    options["map"] = {name: column for name, _, column in pairs}
    if len(options["map"]) < len(pairs):
        raise InvalidInputException(
            "--map names a column twice. Where two datasets call it otherwise, import one after the other."
        )
    print_schema = options.pop("print_schema")
    if print_schema and len([name for name in _DATASETS if options[name]]) != 1:
        raise InvalidInputException(
            "--print-schema prints one schema: give one of --interactions, --items and --users."
        )
    options["dry_run"] |= print_schema
    report = api.import_datasets(catalog_of(arguments), **options)
    sys.stderr.write(f"{report}\n")
    if print_schema:
        show(report.datasets[0].schema.avro())
    elif not options["dry_run"]:
        sys.stdout.write(f"{report.dataset_group_arn}\n")


def _train(arguments: argparse.Namespace) -> None:
    _show(api.train(catalog_of(arguments), **options_of(arguments)))


def _import_model(arguments: argparse.Namespace) -> None:
    _show(api.import_model(catalog_of(arguments), **options_of(arguments)))


def _show(version: NewVersion) -> None:
    sys.stderr.writelines(f"{line}\n" for line in version.remarks())
    sys.stdout.write(f"{version.arn}\n")
