"""What themes add to a job: 100 items on a catalogue of 200,000 with descriptions, beside the same job without themes.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.themed_jobs

Each run is `personalize-spark run --engine local` in a process of its own on 2 cores, nothing mapped before; the middle one of three counts.
Memory is the most that one of its processes had resident, mapped files among it (`Pss`). It ends with 1 where the themes add more than `MOST_SECONDS` or `MOST_MEGABYTES`, with the catalogue's own words or with WordLlama.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import scale
from benchmarks.catalogues import SCHEMA, table_of
from benchmarks.machine import machine
from benchmarks.shops import SHOPS, product
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.testing.toy import request, themed_version
from personalize_spark.training.themes import EMBEDDINGS

ITEMS, QUESTIONS, RANK, RUNS, SEED = 200_000, 100, 64, 3, 7
MOST_SECONDS, MOST_MEGABYTES = 5.0, 1_000
_LOOK_SECONDS = 0.05
RESULT = Path(__file__).parent / "results" / "themed_jobs.json"
_THEMED: Mapping[str, Any] = {
    "batchInferenceJobMode": "THEME_GENERATION",
    "themeGenerationConfig": {"fieldsForThemeGeneration": {"itemName": "TITLE"}},
}


def main() -> int:
    """Measure, and write the result."""
    with tempfile.TemporaryDirectory() as folder:
        requests = _requests(Path(folder))
        runs = {
            name: [_run(Path(folder), name, each, number) for number in range(RUNS)] for name, each in requests.items()
        }
    taken = {
        name: [round(statistics.median(each), 2) for each in zip(*found, strict=True)] for name, found in runs.items()
    }
    added = {
        name: [round(more - less, 2) for more, less in zip(taken[name], taken["plain"], strict=True)]
        for name in EMBEDDINGS
    }
    result = {
        "machine": machine(),
        "items": ITEMS,
        "lines": QUESTIONS,
        "what a job takes": {name: _named(each) for name, each in taken.items()},
        "what themes add": {name: _named(each) for name, each in added.items()},
        "what themes may add": _named((MOST_SECONDS, MOST_MEGABYTES)),
    }
    print(json.dumps(result, indent=1))
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(any(each[0] > MOST_SECONDS or each[1] > MOST_MEGABYTES for each in added.values()))


def _named(measures: Sequence[float]) -> dict[str, float]:
    return dict(zip(("seconds", "megabytes"), measures, strict=True))


def _requests(folder: Path) -> dict[str, dict[str, Any]]:
    """A shop as a solution version by each embedding; a request with themes by each of them, and one without."""
    chance, shelves = random.Random(SEED), SHOPS["english"]
    made = [product(shelves, chance) for _ in range(ITEMS)]
    table = table_of([(f"p{number:06d}", *each.texts) for number, each in enumerate(made)])
    traits = {trait: number for number, trait in enumerate(sorted({each for one in made for each in one.traits}))}
    random_ = np.random.default_rng(SEED)
    directions = random_.normal(0, RANK**-0.5, (len(traits), RANK))
    factors = np.array([sum(weight * directions[traits[each]] for each, weight in one.traits.items()) for one in made])
    factors += random_.normal(0, 0.1, factors.shape)
    lines = [json.dumps({"itemId": f"p{number:06d}"}) for number in chance.sample(range(ITEMS), QUESTIONS)]
    source = folder / "items.json"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    requests = {}
    for name, embedding in EMBEDDINGS.items():
        catalog = Catalog(f"file://{folder}/{name}")
        version = themed_version(catalog, table, SCHEMA, factors.astype(np.float32), embedding())
        plain = request(version, f"file://{source}", f"file://{folder}/out/")
        requests[name] = {**plain, **_THEMED}
    return {"plain": plain, **requests}


def _run(folder: Path, name: str, asked: Mapping[str, Any], number: int) -> tuple[float, float]:
    """Seconds of a run, and megabytes of its largest process."""
    file = folder / "request.json"
    file.write_text(json.dumps({**asked, "jobName": f"{name}-{number}"}))
    command = [sys.executable, "-m", "personalize_spark", "run", "--engine", "local", "--request", str(file)]
    catalog = [*EMBEDDINGS][-1] if name == "plain" else name
    environment = {**os.environ, "PERSONALIZE_SPARK_CATALOG": f"file://{folder}/{catalog}", "OPENBLAS_NUM_THREADS": "1"}
    started, most = time.perf_counter(), 0.0
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            found = scale.sample(process.pid, 0.0, set())
            most = max([most, *(value for kind, value in found.items() if kind.endswith("PSS"))])
            time.sleep(_LOOK_SECONDS)
    if process.returncode:
        raise SystemExit(f"{name} failed")
    return time.perf_counter() - started, most


if __name__ == "__main__":
    sys.exit(main())
