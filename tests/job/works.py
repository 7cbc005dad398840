"""Work for tasks, as executors take it: functions of a module that worker processes can import."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from personalize_spark.errors import DataError, ObjectExists
from personalize_spark.storage.store import Store


def count(word: str, _: Store, number: int) -> list[str]:
    """Report the number, and in whose process."""
    return [f"{word} {number}"]


def process(_: Store, __: int) -> list[str]:
    """Report the process."""
    return [str(os.getpid())]


def threads(_: Store, __: int) -> list[str]:
    """Report how many threads BLAS may start."""
    return [os.environ["OPENBLAS_NUM_THREADS"]]


def modules(_: Store, __: int) -> list[str]:
    """Report what is imported once pyarrow has made an array."""
    pa.array(["a"])
    return list(sys.modules)


def fail(_: Store, number: int) -> list[str]:
    """Raise something foreign in one task of two."""
    return [f"half {1 // (number % 2)}"]


def refuse(_: Store, __: int) -> Iterator[str]:
    """Raise an error of ours after a report."""
    yield "so far"
    raise DataError("The rest is damaged.")


def fill(_: Store, __: int) -> list[str]:
    """Write to a disk that is full."""
    try:
        Path("/dev/full").write_bytes(b"x")
    except OSError as error:
        error.filename = "/dev/full"
        raise
    return []


def die_once(staging: Store, number: int) -> list[str]:
    """Kill the own process at the first try."""
    try:
        staging.create(f"died/{number}", b"")
    except ObjectExists:
        return [f"survived {number}"]
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def die(staging: Store, number: int) -> list[str]:
    """Kill the own process at every try of one task of three."""
    staging.write(f"tried/{number}/{time.monotonic_ns()}", b"")
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return [f"done {number}"]


def leave(_: Store, __: int) -> list[str]:
    """Exit from within a library, as C code does."""
    os._exit(3)


def write_forever(staging: Store, number: int) -> list[str]:
    """Write objects until somebody ends it."""
    while True:
        staging.write(f"{number}-{time.monotonic_ns()}", b"")
        time.sleep(0.001)


def escape(staging: Store, _: int) -> list[str]:
    """Leave a process that a kill of the others does not reach, as one in the kernel's hands; then hang like it."""
    if not os.fork():
        os.setsid()
        staging.write("escaped", str(os.getpid()).encode())
    time.sleep(600)
    return []
