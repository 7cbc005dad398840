"""Work of this process on all of its cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def all_cores() -> Iterator[ThreadPoolExecutor]:
    """A thread for each core. BLAS has one in each: its own threads wait for each other in products as small as a training's."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool
