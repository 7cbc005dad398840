"""What themes add to a job: 100 items on a catalogue of 200,000 with descriptions, beside the same job without themes.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.themed_jobs

Each run is `personalize-spark run --engine local` in a process of its own on 2 cores, nothing mapped before; the middle one of three counts.
It ends with 1 where the themes add more than `MOST_SECONDS`.
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.catalogues import SCHEMA, table_of
from benchmarks.machine import machine
from benchmarks.shops import SHOPS, product
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.testing.toy import request, themed_version
from personalize_spark.training.themes import Semantic

ITEMS, QUESTIONS, RANK, RUNS, SEED, MOST_SECONDS = 200_000, 100, 64, 3, 7, 5.0
RESULT = Path(__file__).parent / "results" / "themed_jobs.json"
_THEMED: Mapping[str, Any] = {
    "batchInferenceJobMode": "THEME_GENERATION",
    "themeGenerationConfig": {"fieldsForThemeGeneration": {"itemName": "TITLE"}},
}


def main() -> int:
    """Measure, and write the result."""
    with tempfile.TemporaryDirectory() as folder:
        requests = _requests(Path(folder))
        runs = {name: [_run(Path(folder), each, number) for number in range(RUNS)] for name, each in requests.items()}
    seconds = {name: round(statistics.median(found), 2) for name, found in runs.items()}
    added = round(seconds["themed"] - seconds["plain"], 2)
    result = {
        "machine": machine(),
        "items": ITEMS,
        "lines": QUESTIONS,
        "seconds": seconds,
        "seconds that themes add": added,
        "seconds that themes may add": MOST_SECONDS,
    }
    print(json.dumps(result, indent=1))
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(added > MOST_SECONDS)


def _requests(folder: Path) -> dict[str, dict[str, Any]]:
    """A shop as a solution version, and a request with themes and one without."""
    chance, shelves = random.Random(SEED), SHOPS["english"]
    made = [product(shelves, chance) for _ in range(ITEMS)]
    table = table_of([(f"p{number:06d}", *each.texts) for number, each in enumerate(made)])
    traits = {trait: number for number, trait in enumerate(sorted({each for one in made for each in one.traits}))}
    random_ = np.random.default_rng(SEED)
    directions = random_.normal(0, RANK**-0.5, (len(traits), RANK))
    factors = np.array([sum(weight * directions[traits[each]] for each, weight in one.traits.items()) for one in made])
    factors += random_.normal(0, 0.1, factors.shape)
    version = themed_version(Catalog(f"file://{folder}/catalog"), table, SCHEMA, factors.astype(np.float32), Semantic())
    lines = [json.dumps({"itemId": f"p{number:06d}"}) for number in chance.sample(range(ITEMS), QUESTIONS)]
    source = folder / "items.json"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    plain = request(version, f"file://{source}", f"file://{folder}/out/")
    return {"plain": plain, "themed": {**plain, **_THEMED}}


def _run(folder: Path, asked: Mapping[str, Any], number: int) -> float:
    """Seconds of a run."""
    file = folder / "request.json"
    file.write_text(json.dumps({**asked, "jobName": f"{asked.get('batchInferenceJobMode', 'plain')}-{number}"}))
    command = [sys.executable, "-m", "personalize_spark", "run", "--engine", "local", "--request", str(file)]
    environment = {**os.environ, "PERSONALIZE_SPARK_CATALOG": f"file://{folder}/catalog", "OPENBLAS_NUM_THREADS": "1"}
    started = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
