"""`import-model`: a solution version from factors that something else has learned."""

from __future__ import annotations

import argparse
import sys

from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, uri_of

_FILES = {
    "items": "the item factors",
    "users": "the user factors; left out, those of the same file or folder",
    "item-ids": "integer,id of the items, where their rows have but a number (CSV, JSON Lines, Parquet); else NAME.ids.txt beside NAME.npy is found by itself",
    "user-ids": "the same for the users",
    "counts": "id,count: how often each item was met (CSV, JSON Lines, Parquet); this, --interactions or --group is needed",
    "interactions": "USER_ID,ITEM_ID and maybe TIMESTAMP, instead of --counts",
}


def add(commands: Commands) -> None:
    """Add the command."""
    text = "Import factors as a solution version; its ARN is the last line of stdout."
    parser = add_command(commands, "import-model", _import_model, text)
    add_catalog(parser)
    parser.add_argument("--solution", required=True, metavar="NAME", help="the solution, made if there is none")
    parser.add_argument("--recipe", required=True, metavar="NAME", help="such as aws-user-personalization")
    for name, help_ in _FILES.items():
        parser.add_argument(f"--{name}", metavar="F", help=help_)
    parser.add_argument("--format", choices=["als", "implicit", "parquet", "npy"], help="else what the files look like")
    parser.add_argument("--group", metavar="NAME", help="the dataset group, for filters, exploration and popularity")
    parser.add_argument("--arn", help="of the solution version, such as one that exists in the service")
    parser.add_argument("--fit-temperature", action="store_true", help="fit the scores to the interactions")


def _import_model(arguments: argparse.Namespace) -> None:
    from personalize_spark.external.tables import names_below
    from personalize_spark.solutions.import_model import Sources, Target, check_request, import_model
    from personalize_spark.spark import open_session

    catalog = catalog_of(arguments)
    given = {name.replace("-", "_"): getattr(arguments, name.replace("-", "_")) for name in _FILES}
    uris = {name: uri_of(path) for name, path in given.items() if path}
    sources = Sources(form=arguments.format, **uris)
    target = Target(arguments.solution, arguments.recipe, arguments.group, arguments.arn)
    check_request(target, sources, fit=arguments.fit_temperature)  # Spark takes its time to start
    for uri in uris.values():
        names_below(uri)
    session = open_session(f"personalize-spark import-model {arguments.solution}", data=True)
    arn = import_model(session, catalog, target, sources, fit_temperature=arguments.fit_temperature)
    metrics = catalog.read(arn).fields["metrics"]
    for name, value in metrics.items():
        sys.stderr.write(f"{name}: {value}\n")
    if metrics and metrics["logLoss"] >= metrics["logLossUniform"]:
        sys.stderr.write(
            "The scores say no more about the interactions than chance: do the ids of users and items belong to these factors?\n"
        )
    sys.stdout.write(f"{arn}\n")
