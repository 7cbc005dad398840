"""From JSON lines in to JSON lines out: this project beside Spark ML ALS and implicit, same lines, same factors, one run.

    python -m benchmarks.endtoend [--lines 100000] [--items 10000] [--runs 3]

Every contender runs as a process of its own on the same cores, and does its job twice: `process` is from the start of the
process to the end of the first job, `first job` and `second job` are the jobs alone, in a cold session and a warm one. The
ratios are of the same kind of run. Times are medians of several runs in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.factors import RANK, factor_sets, resample
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"
N = 25

Seconds = dict[str, float]
"""Of one run: `process`, `first job`, `second job`."""
CORES = os.cpu_count() or 1


def main() -> None:
    """Run all contenders and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        run = {**CONTENDERS, **FIXED_COSTS}[arguments.contender]
        print(json.dumps([run(arguments.folder) for _ in range(2)]))
        return
    result = compare(arguments.lines, arguments.items, arguments.runs)
    name = "endtoend.json" if arguments.items == parser.get_default("items") else f"endtoend-{arguments.items}.json"
    (RESULTS / name).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def compare(lines: int, items: int, runs: int) -> dict[str, object]:
    """Time all contenders in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        factors = generate(folder, lines, items)
        times: dict[str, list[Seconds]] = {each: [] for each in (*CONTENDERS, *FIXED_COSTS)}
        for _ in range(runs):
            for each, seconds in times.items():
                seconds.append(_time(each, folder))
    return {
        "machine": machine(),
        "work": {
            "factors": factors,
            "lines": lines,
            "items": items,
            "rank": RANK,
            "numResults": N,
            "cores": CORES,
        },
        "seconds": {each: _medians(seconds) for each, seconds in times.items()},
        "lines per second, second job": {
            each: round(lines / _medians(times[each])["second job"]) for each in CONTENDERS
        },
        "times as fast": {each: _ratios(times[each], times[OURS]) for each in CONTENDERS if each != OURS},
        "local engine, times as fast": {
            each: _ratios(times[each], times[LOCAL]) for each in CONTENDERS if each != LOCAL
        },
    }


def generate(folder: Path, lines: int, items: int) -> str:
    """Factors, a catalog with them, and the lines; returns what the factors are."""
    name, (user_factors, item_factors) = list(factor_sets().items())[-2]
    random = np.random.default_rng(7)
    users, chosen = resample(user_factors, lines, random), resample(item_factors, items, random)
    np.save(folder / "items.npy", chosen)
    np.save(folder / "users.npy", users)
    (folder / "in").mkdir()
    (folder / "in" / "users.json").write_text("".join(f'{{"userId": "{user}"}}\n' for user in range(lines)))
    (folder / "three.json").write_text("".join(f'{{"userId": "{user}"}}\n' for user in range(3)))
    _write_catalog(folder, chosen, users)
    return name


def _write_catalog(folder: Path, items: NDArray[np.float32], users: NDArray[np.float32]) -> None:
    from personalize_spark.catalog.catalog import Catalog
    from personalize_spark.testing.toy import request, write_version

    catalog = Catalog(f"file://{folder}/catalog")
    ids = sorted(str(item) for item in range(len(items)))
    by_id = items[[int(each) for each in ids]]
    vectors = {str(user): vector for user, vector in enumerate(users)}
    recipe = "aws-user-personalization"
    version = write_version(catalog, recipe, ids, by_id, vectors, [1] * len(ids), shards=max(1, len(users) // 32_768))
    for name, source in {"all": "in/", "three": "three.json"}.items():
        job = request(version, f"file://{folder}/{source}", f"file://{folder}/out-{name}/", numResults=N)
        (folder / f"request-{name}.json").write_text(json.dumps(job))


def _ours(folder: Path, name: str = "all") -> float:
    import personalize_spark as ps
    from personalize_spark.spark import open_session

    catalog, request = ps.Catalog(f"file://{folder}/catalog"), _request(folder, name)
    spark = open_session("benchmark")
    started = time.perf_counter()
    ps.run_batch_inference(catalog, request, spark=spark)
    return time.perf_counter() - started


def _als(folder: Path) -> float:
    """`recommendForUserSubset`, its ids and ratings written as JSON."""
    from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

    from benchmarks.als import als_model, open_als_session

    spark = open_als_session(CORES)
    users, items = (np.load(folder / f"{side}.npy") for side in ("users", "items"))
    model = als_model(spark, folder / "als", users, items, 2 * CORES)
    started = time.perf_counter()
    asked = spark.read.json(f"{folder}/in").select(F.col("userId").cast("int").alias("user"))
    answers = model.recommendForUserSubset(asked, N)
    answers.select(
        F.struct(F.col("user").cast("string").alias("userId")).alias("input"),
        F.struct(
            F.col("recommendations.item").cast("array<string>").alias("recommendedItems"),
            F.col("recommendations.rating").alias("scores"),
        ).alias("output"),
    ).write.mode("overwrite").json(f"{folder}/out-als")
    return time.perf_counter() - started


def _implicit(folder: Path) -> float:
    """Implicit's top-k in batches on all cores, orjson around it."""
    import orjson
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=RANK, num_threads=CORES)
    model.user_factors, model.item_factors = np.load(folder / "users.npy"), np.load(folder / "items.npy")
    started = time.perf_counter()
    lines = [orjson.loads(line) for line in (folder / "in" / "users.json").read_bytes().splitlines()]
    users = np.array([int(line["userId"]) for line in lines])
    texts = [str(item) for item in range(len(model.item_factors))]
    with (folder / "implicit.out").open("wb") as out:
        for first in range(0, len(users), 10_000):
            part = users[first : first + 10_000]
            ids, scores = model.recommend(part, None, N, filter_already_liked_items=False)
            for line, items, values in zip(lines[first : first + 10_000], ids.tolist(), scores.tolist(), strict=True):
                output = {"recommendedItems": [texts[item] for item in items], "scores": [round(v, 7) for v in values]}
                out.write(orjson.dumps({"input": line, "output": output, "error": None}) + b"\n")
    return time.perf_counter() - started


def _local(folder: Path, name: str = "all") -> float:
    """The local engine, the start of its processes included."""
    import personalize_spark as ps

    catalog, request = ps.Catalog(f"file://{folder}/catalog"), _request(folder, name)
    started = time.perf_counter()
    ps.run_batch_inference(catalog, request, engine="local")
    return time.perf_counter() - started


def _request(folder: Path, name: str) -> dict[str, Any]:
    request: dict[str, Any] = json.loads((folder / f"request-{name}.json").read_text())
    return request | {"jobName": f"job-{time.time_ns()}"}


CONTENDERS: dict[str, Callable[[Path], float]] = {
    "personalize_spark": _ours,
    "personalize_spark, local engine": _local,
    "Spark ML ALS": _als,
    "implicit + orjson": _implicit,
}
FIXED_COSTS: dict[str, Callable[[Path], float]] = {
    "personalize_spark, 3 lines": partial(_ours, name="three"),
    "personalize_spark, local engine, 3 lines": partial(_local, name="three"),
}
OURS, LOCAL = "personalize_spark", "personalize_spark, local engine"


def _time(contender: str, folder: Path) -> Seconds:
    command = [sys.executable, "-m", "benchmarks.endtoend", "--folder", str(folder), "--contender", contender]
    started = time.perf_counter()
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # what implicit asks for; Spark's tasks have one anyway
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    whole = time.perf_counter() - started
    first, second = json.loads(done.stdout.splitlines()[-1])
    return {"process": whole - second, "first job": first, "second job": second}


def _medians(runs: list[Seconds]) -> Seconds:
    return {kind: round(statistics.median(run[kind] for run in runs), 2) for kind in runs[0]}


def _ratios(theirs: list[Seconds], ours: list[Seconds]) -> Seconds:
    pairs = list(zip(theirs, ours, strict=True))
    return {kind: round(statistics.median(a[kind] / b[kind] for a, b in pairs), 2) for kind in ours[0]}


if __name__ == "__main__":
    main()
