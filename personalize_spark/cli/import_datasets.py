"""`import`: CSV files into a dataset group."""

from __future__ import annotations

import argparse
import sys

from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, json_of, uri_of
from personalize_spark.errors import InvalidInputException


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "import", _import, "Import datasets from CSV files.")
    add_catalog(parser)
    parser.add_argument("--group", required=True, metavar="NAME", help="the dataset group, made if there is none")
    for name in ("interactions", "items", "users"):
        parser.add_argument(f"--{name}", metavar="CSV", help=f"file or folder of the {name} dataset")
        parser.add_argument(f"--{name}-schema", metavar="JSON", help="its Avro schema; inferred when left out")
    parser.add_argument("--import-mode", choices=["FULL", "INCREMENTAL"], default="FULL", help="replace or add (FULL)")


def _import(arguments: argparse.Namespace) -> None:
    from personalize_spark.datasets.imports import ImportMode, Source, import_datasets
    from personalize_spark.solutions.refresh_users import update_users
    from personalize_spark.spark import open_session

    catalog = catalog_of(arguments)
    sources = {
        name: Source(uri_of(path), json_of(schema) if schema else None)
        for name in ("Interactions", "Items", "Users")
        if (path := getattr(arguments, name.lower()))
        for schema in [getattr(arguments, f"{name.lower()}_schema")]
    }
    if not sources:
        raise InvalidInputException("Nothing to import: name at least one of --interactions, --items, --users.")
    session = open_session(f"personalize-spark import {arguments.group}", data=True)
    report = import_datasets(session, catalog, arguments.group, sources, ImportMode(arguments.import_mode))
    sys.stderr.write(f"{report}\n")
    if "Interactions" in sources:
        for arn, users in update_users(session, catalog, arguments.group).items():
            sys.stderr.write(f"{users:,} users have moved in {arn}\n")
