"""A client of Spark Connect, in a process of its own: what is asked of a session there, told as JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from personalize_spark.errors import TaskFailed
from personalize_spark.spark import cores_of, open_session, running_tasks


def main(url: str, folder: str) -> None:
    """Tell the cores, whether threads find the session as it is, and how tasks end."""
    session = SparkSession.builder.remote(url).getOrCreate()
    before = session.conf.getAll
    found: list[SparkSession] = [open_session("from this thread")]
    thread = threading.Thread(target=lambda: found.append(open_session("from another")))
    thread.start()
    thread.join()
    told = {"cores": cores_of(session), "found": [each is session for each in found], "failure": _failure(session)}
    told["interrupted"] = _interrupted(session, folder)
    told["tags"] = sorted(session.getTags())
    told["unchanged"] = session.conf.getAll == before
    print(json.dumps(told))


def _failure(session: SparkSession) -> str:
    def fail(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches
        raise LookupError("no such shard")

    try:
        with running_tasks(session):
            session.range(0, 1, 1, 1).mapInArrow(fail, "id long").collect()
    except TaskFailed as error:
        return error.message
    return ""


def _interrupted(session: SparkSession, folder: str) -> str:
    """What becomes of a query that another thread began under the same tag, once this thread is stopped."""
    ended: list[str] = []
    begun = Path(folder) / "begun"

    def forever(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        begun.touch()
        kept = list(batches)
        while True:
            yield from kept

    def query(tag: str) -> None:
        session.addTag(tag)
        try:
            session.range(0, 1, 1, 1).mapInArrow(forever, "id long").count()
        except Exception as error:  # noqa: BLE001  # what Spark raises is what is told
            ended.append(str(error))

    with suppress(KeyboardInterrupt), running_tasks(session):
        [tag] = session.getTags()
        thread = threading.Thread(target=query, args=(tag,))
        thread.start()
        while thread.is_alive() and not begun.exists():
            time.sleep(0.05)
        raise KeyboardInterrupt
    thread.join()
    session.removeTag(tag)  # Ctrl-C leaves it: nothing is said to Spark behind it
    return ended[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
