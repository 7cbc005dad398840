"""`train`: a solution version from a dataset group and a recipe."""

from __future__ import annotations

import argparse
import sys

from personalize_spark.commands.arguments import Commands, add_catalog, add_command, catalog_of


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "train", _train, "Train a solution version; its ARN is the last line of stdout.")
    add_catalog(parser)
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


def _train(arguments: argparse.Namespace) -> None:
    from personalize_spark.job.session import open_session
    from personalize_spark.training.train import Hyperparameters, train

    catalog = catalog_of(arguments)
    names = ("rank", "iterations", "regularization", "alpha", "seed")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    session = open_session(f"personalize-spark train {arguments.solution}", data=True)
    arn = train(session, catalog, arguments.group, arguments.recipe, arguments.solution, Hyperparameters(**given))
    for name, value in catalog.read(arn).fields.get("metrics", {}).items():
        sys.stderr.write(f"{name}: {value}\n")
    sys.stdout.write(f"{arn}\n")
