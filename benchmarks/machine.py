"""On what a benchmark ran."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("personalize-spark", "numpy", "pyarrow", "orjson", "pyspark", "implicit", "faiss-cpu")


def machine() -> dict[str, object]:
    """The processor, the cores and the versions of what was measured."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": _versions(),
    }


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
