"""From JSON lines in to JSON lines out: this project beside Spark ML ALS and implicit, same lines, same factors, one run.

    python -m benchmarks.endtoend [--lines 100000] [--items 10000] [--runs 3]

Every contender runs as a process of its own, from its start to its end, on the same cores; the seconds of its job alone
(a session that is up, data that is there) stand beside. Times are medians of several runs in turn.
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
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "endtoend.json"
RANK, N = 64, 25
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
        run = _three_lines if arguments.contender == FIXED_COST else CONTENDERS[arguments.contender]
        print(run(arguments.folder))
        return
    result = compare(arguments.lines, arguments.items, arguments.runs)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def compare(lines: int, items: int, runs: int) -> dict[str, object]:
    """Time all contenders in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, lines, items)
        process: dict[str, list[float]] = {each: [] for each in CONTENDERS}
        job: dict[str, list[float]] = {each: [] for each in CONTENDERS}
        for _ in range(runs):
            for each in CONTENDERS:
                seconds, inner = _time(each, folder)
                process[each].append(seconds)
                job[each].append(inner)
        three = [_time(FIXED_COST, folder)[0] for _ in range(runs)]
    ours = "personalize_spark"
    return {
        "machine": machine(),
        "work": {"lines": lines, "items": items, "rank": RANK, "numResults": N, "cores": CORES},
        "process seconds": {each: round(statistics.median(times), 2) for each, times in process.items()},
        "job seconds": {each: round(statistics.median(times), 2) for each, times in job.items()},
        "lines per second": {each: round(lines / statistics.median(times)) for each, times in job.items()},
        "times as fast, process": {each: _ratio(process[each], process[ours]) for each in CONTENDERS},
        "times as fast, job": {each: _ratio(job[each], job[ours]) for each in CONTENDERS},
        "3 lines, process seconds": round(statistics.median(three), 2),
    }


def generate(folder: Path, lines: int, items: int) -> None:
    """Factors with the spread of norms that implicit ALS has, a catalog with them, and the lines."""
    random = np.random.default_rng(7)
    item_factors = _factors(random, items)
    user_factors = _factors(random, lines)
    np.save(folder / "items.npy", item_factors)
    np.save(folder / "users.npy", user_factors)
    (folder / "in").mkdir()
    (folder / "in" / "users.json").write_text("".join(f'{{"userId": "{user}"}}\n' for user in range(lines)))
    (folder / "three.json").write_text("".join(f'{{"userId": "{user}"}}\n' for user in range(3)))
    _write_catalog(folder, item_factors, user_factors)


def _factors(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    directions = random.normal(size=(count, RANK))
    norms = random.gamma(2.0, 0.5, size=(count, 1))
    factors: NDArray[np.float64] = directions / np.linalg.norm(directions, axis=1, keepdims=True) * norms
    return factors.astype(np.float32)


def _write_catalog(folder: Path, items: NDArray[np.float32], users: NDArray[np.float32]) -> None:
    from personalize_spark.storage.catalog import Catalog
    from tests.toy import request, write_version

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
    from personalize_spark.job.batch_inference import run_job
    from personalize_spark.job.session import open_session
    from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
    from personalize_spark.storage.catalog import Catalog

    catalog = Catalog(f"file://{folder}/catalog")
    request = json.loads((folder / f"request-{name}.json").read_text()) | {"jobName": f"job-{time.time_ns()}"}
    spark = open_session("benchmark")
    started = time.perf_counter()
    run_job(spark, catalog, create_batch_inference_job(catalog, request), lambda _: None)
    return time.perf_counter() - started


def _als(folder: Path) -> float:
    """`recommendForUserSubset`, its ids and ratings written as JSON."""
    from pyspark.ml.recommendation import ALS, ALSModel
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

    spark = (
        SparkSession.builder.master(f"local[{CORES}]")
        .config("spark.driver.memory", "8g")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", 4 * CORES)
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    saved = folder / "als"
    if not saved.exists():  # a model fitted to one row, with our factors in the place of its own
        ALS(rank=RANK).fit(spark.createDataFrame([(0, 0, 1.0)], "user int, item int, rating float")).save(str(saved))
        for side in ("user", "item"):
            frame = _frame(np.load(folder / f"{side}s.npy"))
            spark.createDataFrame(frame).repartition(2 * CORES).write.mode("overwrite").parquet(
                f"{saved}/{side}Factors"
            )
    model = ALSModel.load(str(saved))
    started = time.perf_counter()
    users = spark.read.json(f"{folder}/in").select(F.col("userId").cast("int").alias("user"))
    answers = model.recommendForUserSubset(users, N)
    answers.select(
        F.struct(F.col("user").cast("string").alias("userId")).alias("input"),
        F.struct(
            F.col("recommendations.item").cast("array<string>").alias("recommendedItems"),
            F.col("recommendations.rating").alias("scores"),
        ).alias("output"),
    ).write.mode("overwrite").json(f"{folder}/out-als")
    return time.perf_counter() - started


def _frame(factors: NDArray[np.float32]) -> object:
    import pyarrow as pa

    values = pa.ListArray.from_arrays(np.arange(len(factors) + 1, dtype=np.int32) * RANK, factors.ravel())
    return pa.table({"id": pa.array(np.arange(len(factors), dtype=np.int32)), "features": values})


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


def _three_lines(folder: Path) -> float:
    return _ours(folder, "three")


CONTENDERS: dict[str, Callable[[Path], float]] = {
    "personalize_spark": _ours,
    "Spark ML ALS": _als,
    "implicit + orjson": _implicit,
}
FIXED_COST = "personalize_spark, 3 lines"


def _time(contender: str, folder: Path) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.endtoend", "--folder", str(folder), "--contender", contender]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # our own module
    return time.perf_counter() - started, float(done.stdout.splitlines()[-1])


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(theirs, ours, strict=True)), 2)


if __name__ == "__main__":
    main()
