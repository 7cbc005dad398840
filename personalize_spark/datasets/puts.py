"""Rows that were put one by one, and wait for the next import, export, deletion or training to take them into Delta.

    datasets/GROUP/put/TYPE/01700000000000000000-1a2b3c4d.json     the rows of one request, as a JSON array

A name begins with the time of the request in nanoseconds, so names ascend with time. Each row has the column `_PUT`: the id of an event,
or of an item or user. Of events with the same id the first counts, of items and users the last.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import orjson

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.schemas import INTERACTIONS
from personalize_spark.storage.store import Store

PUT = "_PUT"
"""The column of a table that says which rows were put; it is null in those that an import brought."""
_READERS = 16


class Puts:
    """What was put into one dataset and is not in its table yet.

    Args:
        catalog: holds the dataset group.
        group: the dataset group.
        dataset: `Interactions`, `Items` or `Users`.
    """

    def __init__(self, catalog: Catalog, group: Arn, dataset: str) -> None:
        self._store: Store = catalog.store.at(folder_of(group, dataset))
        self._first = dataset == INTERACTIONS

    def add(self, rows: Sequence[Fields]) -> None:
        """Keep the rows of one request; when this returns, they are not lost any more."""
        self._store.create(f"{time.time_ns():020d}-{secrets.token_hex(4)}.json", orjson.dumps(rows))

    def names(self) -> list[str]:
        """The files that there are, the oldest first."""
        return [each.name for each in self._store.list()]

    def rows(self, names: Iterable[str]) -> list[Fields]:
        """The rows of files, each id once.

        Raises:
            ObjectNotFound: somebody has taken a file in meanwhile.
        """
        with ThreadPoolExecutor(_READERS) as readers:
            found = [row for data in readers.map(self._store.read, names) for row in orjson.loads(data)]
        return list({row[PUT]: row for row in (reversed(found) if self._first else found)}.values())

    def forget(self, names: Iterable[str]) -> None:
        """Remove files whose rows are in the table."""
        for name in names:
            self._store.delete(name)


def folder_of(group: Arn, dataset: str) -> str:
    """Where the rows wait in the catalog."""
    return f"datasets/{group.name}/put/{dataset.lower()}"
