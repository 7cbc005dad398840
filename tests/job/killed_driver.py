"""A driver that is killed at a given point: `python -m tests.job.killed_driver POINT CATALOG REQUEST`. The kill is a real SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from personalize_spark import api
from personalize_spark.catalog.catalog import Catalog

BEFORE = {
    "before the record": "job.job:Job.create",
    "after the listing": "job.run:check_inputs",
    "within the plan": "job.run:write_inputs",
    "before the splits are frozen": "job.run:write_splits",
    "before the outputs": "job.publish:Publisher.publish",
    "before the cleaning": "job.run:_clean",
}
"""The functions that are not reached, by the name of the point."""
WHEN = {
    "in the tasks": "out/_staging/*/*/manifests/*",
    "in composing": "out/_staging/*/*/.*.unfinished~",
    "between two outputs": "out/*.out",
}
"""The files that the kill waits for."""
AFTER = {"before ACTIVE": "job.run:_clean"}
POINTS = [*BEFORE, *WHEN, *AFTER]


def main(point: str, folder: str, asked: str) -> None:
    """Run the request, and be killed."""
    if point in WHEN:
        threading.Thread(target=_kill_when, args=(Path(folder), WHEN[point]), daemon=True).start()
    else:
        _replace((BEFORE | AFTER)[point], after=point in AFTER)
    api.run_batch_inference(Catalog(f"file://{folder}/catalog"), json.loads(asked), engine="local")


def _kill_when(folder: Path, pattern: str) -> None:
    while not list(folder.glob(pattern)):
        time.sleep(0.0005)
    _kill()


def _kill(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _replace(place: str, *, after: bool) -> None:
    module, _, name = place.partition(":")
    owner: Any = import_module(f"personalize_spark.{module}")
    *path, last = name.split(".")
    for each in path:
        owner = getattr(owner, each)
    setattr(owner, last, _killed_behind(getattr(owner, last)) if after else _kill)


def _killed_behind(function: Callable[..., Any]) -> Callable[..., Any]:
    def carried_out(*arguments: Any) -> None:
        function(*arguments)
        _kill()

    return carried_out


if __name__ == "__main__":
    main(*sys.argv[1:])
