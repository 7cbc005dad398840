"""Work of this process on all of its cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def all_cores() -> Iterator[ThreadPoolExecutor]:
    """A thread for each core. BLAS has one in each: its own threads wait for each other in products as small as a training's."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool


def share(work: Callable[[T], None], parts: Iterable[T], pool: Executor | None) -> None:
    """Do the work of all parts, on the threads of the pool if there is one."""
    for _ in map(work, parts) if pool is None else pool.map(work, parts):
        pass
