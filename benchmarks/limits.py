"""What a core could do at most: products that it adds up in a nanosecond, in float32 and in int8, with nothing read from memory."""

from __future__ import annotations

import ctypes
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from personalize_spark.scoring.kernel import kernels

_SOURCE = Path(__file__).with_suffix(".c")
_ROUNDS, _REPEATS = 20_000_000, 5


def limits(rank: int) -> dict[str, float]:
    """Pairs of a user and an item in a nanosecond, of this rank, by kind of number; empty where the processor is not an x86."""
    found = {each.name for each in kernels()}
    if platform.machine() != "x86_64" or "avx2" not in found:
        return {}
    level = "avx512" if "avx512vnni" in found else "avx2"
    with tempfile.TemporaryDirectory() as folder:
        built = f"{folder}/limits.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", built, str(_SOURCE)], check=True)
        library = ctypes.CDLL(built)
        counting = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)
        return {kind: round(_rate(counting((f"{kind}_{level}", library))) / rank, 3) for kind in ("float32", "int8")}


def _rate(run: Callable[[int], int]) -> float:
    """Products in a nanosecond."""
    rates = []
    for _ in range(_REPEATS):
        start = time.process_time_ns()
        count = run(_ROUNDS)
        rates.append(count / (time.process_time_ns() - start))
    return statistics.median(rates)
