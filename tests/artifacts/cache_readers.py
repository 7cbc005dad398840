"""Readers of one cache, each a process that is forked from this one: `cache_readers.py FOLDER READERS`.

Says how many files were fetched; ends with 1 if a reader did not get what was written.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.artifacts import cache
from personalize_spark.artifacts.artifact import Artifact, finish, write_column
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Store

COLUMNS, ROWS, READS = 12, 1_000, 30


def main(folder: Path, readers: int) -> int:
    """Write the columns, and have each reader read some at random."""
    cache._MOUNTS = (str(folder), str(folder))
    store = open_store(f"file://{folder}")
    finish(store, [write_column(store, f"{n}", np.full(ROWS, n)) for n in range(COLUMNS)], {})
    log, fetch = folder / "log", cache._fetch

    def counted(store: Store, name: str, sha256: str, size: int, path: Path) -> None:
        with log.open("a") as file:
            file.write(f"{name}\n")
        fetch(store, name, sha256, size, path)

    cache._fetch = counted
    processes = []
    for reader in range(readers):
        if (process := os.fork()) == 0:
            read(store, random.Random(reader))
            os._exit(0)
        processes.append(process)
    ends = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    print(len(log.read_text().splitlines()))
    return int(any(ends))


def read(store: Store, dice: random.Random) -> None:
    """Map columns, and look at what they hold while others drop them."""
    try:
        artifact = Artifact(store)
        held: list[tuple[int, NDArray[Any]]] = []
        for number in dice.choices(range(COLUMNS), k=READS):
            held = [*held[-2:], (number, artifact.column(f"{number}"))]
            for expected, column in held:
                assert (column == expected).all()
    except BaseException:  # noqa: BLE001  # a copy of the parent must not go on
        sys.excepthook(*sys.exc_info())
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
