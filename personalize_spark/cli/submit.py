"""What `jobs/` run: a command as a program of its own, which spark-submit or a platform begins."""

from __future__ import annotations

import sys

from personalize_spark.cli.main import INTERRUPTED, main
from personalize_spark.spark import end_session


def submitted(command: str) -> None:
    """Run a command with the program's arguments, and end the session that it was given; a failure ends the program with its exit code."""
    code = main([command, *sys.argv[1:]])
    if code != INTERRUPTED:  # then nothing more can be said to the JVM
        end_session()
    if code:  # to Databricks even `exit(0)` is a failure
        sys.exit(code)
