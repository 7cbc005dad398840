"""`train`: a solution version from a dataset group and a recipe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping

from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "train", _train, "Train a solution version; its ARN is the last line of stdout.")
    add_catalog(parser)
    parser.add_argument("--group", required=True, metavar="NAME", help="the dataset group to learn from")
    parser.add_argument(
        "--recipe", required=True, metavar="NAME", help="such as aws-user-personalization; list-recipes names all"
    )
    parser.add_argument("--solution", required=True, metavar="NAME", help="the solution, made if there is none")
    parser.add_argument("--rank", type=int, help="dimensions of the factors")
    parser.add_argument("--iterations", type=int, help="ALS iterations")
    parser.add_argument("--regularization", type=float, help="ALS regularization")
    parser.add_argument("--alpha", type=float, help="ALS confidence of one interaction")
    parser.add_argument("--seed", type=int, help="of the factors' first values")


def _train(arguments: argparse.Namespace) -> None:
    from personalize_spark.solutions.train import Hyperparameters, train
    from personalize_spark.spark import open_session

    catalog = catalog_of(arguments)
    names = ("rank", "iterations", "regularization", "alpha", "seed")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    session = open_session(f"personalize-spark train {arguments.solution}", data=True)
    arn = train(session, catalog, arguments.group, arguments.recipe, arguments.solution, Hyperparameters(**given))
    sys.stderr.writelines(f"{line}\n" for line in _told(catalog.read(arn).fields.get("metrics", {})))
    sys.stdout.write(f"{arn}\n")


def _told(metrics: Mapping[str, float]) -> Iterator[str]:
    """The metrics, and how to read the log-losses."""
    for name, value in metrics.items():
        yield f"{name}: {value}" if isinstance(value, int) else f"{name}: {value:.4f}"
    if "logLossPopularity" in metrics:
        better = "better" if metrics["logLoss"] < metrics["logLossPopularity"] else "no better"
        yield f"The scores explain what users did next {better} than popularity does."
