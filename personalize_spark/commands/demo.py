"""`demo`: the main job on a generated catalogue."""

from __future__ import annotations

import argparse
from pathlib import Path

from personalize_spark.commands.arguments import Commands, add_command


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, "demo", _demo, "The main job on a generated catalogue, from nothing to printed answers."
    )
    parser.add_argument("--keep", metavar="DIR", type=Path, help="leave everything there, for play")


def _demo(arguments: argparse.Namespace) -> None:
    from personalize_spark.demo import demo

    demo(arguments.keep)
