"""Jobs that grow, and what they hold in memory while they run: lines, seconds, and a plot of the memory of every process.

    python -m benchmarks.scale [--lines 10000000] [--items 50000] [--users 10000000] [--only lines|items]

First the number of lines grows up to `--lines`, then the number of items up to a million, for 200,000 lines.

The job runs as a user runs it, `personalize-spark run` in a process of its own on all cores. Every two seconds the private and the
proportional memory (PSS) of the JVM, the driver's Python and each worker is read from the system. Pages of the model that are
mapped from disk are shared: they count in the PSS, once for all workers, and not in the private memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.factors import RANK, factor_sets, resample
from benchmarks.machine import machine
from personalize_spark.artifacts.artifact import Entry, finish, write_table
from personalize_spark.artifacts.model import users_schema, write_items
from personalize_spark.artifacts.shards import USERS, keys_of, shard_count, shard_name, shards_of
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.status import Status
from personalize_spark.quality.charts import curves
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.softmax import log_normaliser
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.storage.store import Store
from personalize_spark.testing.toy import NO_EXPLORATION, request

RESULTS = Path(__file__).parent / "results" / "scale.json"
CORES = os.cpu_count() or 1
N = 25
VECTORS, PRODUCTS = 100_000, 5_000_000_000
"""Different users, and products for their normalisers, at most; the other users repeat their vectors, or it would take longer than the job."""
ITEMS, LINES_BY_ITEMS = (10_000, 50_000, 200_000, 1_000_000), 200_000
SAMPLE_SECONDS = 2.0

Work = dict[str, object]
Sample = dict[str, float]
"""`seconds`, and MiB of each kind of process."""


def main() -> None:
    """Generate, run, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--only", choices=("lines", "items"))
    arguments = parser.parse_args()
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    result |= {"machine": machine(), "rank": RANK, "numResults": N}
    if arguments.only != "items":
        result["by lines"] = by_lines(arguments.lines, arguments.items, arguments.users)
    if arguments.only != "lines":
        result["by items"] = by_items()
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


def by_lines(most: int, items: int, users: int) -> Work:
    """One model, more and more lines; draws the memory of the last job."""
    sizes, runs = [size for size in (3, 10_000, 100_000, 1_000_000) if size < most], {}
    with tempfile.TemporaryDirectory() as folder:
        name = generate(Path(folder), [*sizes, most], items, users)
        for lines in (*sizes, most):
            runs[f"{lines:,}"], samples = measure(Path(folder), lines, items)
            print(json.dumps(runs[f"{lines:,}"]), flush=True)
    RESULTS.with_suffix(".svg").write_text(plot(samples, f"{most:,} lines x {items:,} items"))
    return {"factors": name, "items": items, "users": users, "runs": runs}


def by_items() -> Work:
    """As many lines, more and more items."""
    runs = {}
    for items in ITEMS:
        with tempfile.TemporaryDirectory() as folder:
            name = generate(Path(folder), [LINES_BY_ITEMS], items, LINES_BY_ITEMS)
            runs[f"{items:,}"], _ = measure(Path(folder), LINES_BY_ITEMS, items)
        print(json.dumps(runs[f"{items:,}"]), flush=True)
    return {"factors": name, "lines": LINES_BY_ITEMS, "users": LINES_BY_ITEMS, "runs": runs}


def generate(folder: Path, sizes: Sequence[int], items: int, users: int) -> str:
    """A catalog with a model, and inputs of so many lines; returns what the factors are."""
    name, (user_factors, item_factors) = list(factor_sets().items())[-2]
    random = np.random.default_rng(7)
    vectors = resample(user_factors, min(users, VECTORS, PRODUCTS // items), random)
    matrix, order = ItemMatrix.sort(
        resample(item_factors, items, random), np.arange(items, dtype=np.int32), vectors[:4096]
    )
    catalog = Catalog(f"file://{folder}/catalog")
    arn = Arn("aws", "us-east-1", "000000000000", "solution", "scale", "1")
    store = catalog.store.at("models/scale/1")
    texts = JsonTexts.of([b'"item-%07d"' % item for item in order])
    popular = np.argsort(order).astype(np.int32)
    entries = write_items(store, Model(texts, popular, np.full(items, 1 / items), matrix))
    entries += _write_users(store, vectors, log_normaliser(vectors, matrix.factors, 1.0), users)
    pinned = finish(store, entries, {"recipe": "aws-user-personalization", "temperature": 1.0})
    about = {"recipeArn": "arn:aws:personalize:::recipe/aws-user-personalization", "status": Status.ACTIVE}
    model = {"model": asdict(pinned)}
    catalog.create(arn, {"solutionVersionArn": str(arn), **about, **model})
    for count in sizes:
        _write_lines(folder / f"in-{count}.json", count, users)
        job = request(arn, f"file://{folder}/in-{count}.json", f"file://{folder}/out-{count}/", numResults=N)
        job["batchInferenceJobConfig"] = NO_EXPLORATION
        (folder / f"request-{count}.json").write_text(json.dumps(job))
    return name


def _write_lines(path: Path, count: int, users: int) -> None:
    random = np.random.default_rng(count)
    with path.open("wb") as file:
        for start in range(0, count, 1_000_000):
            chosen = random.integers(0, users, min(1_000_000, count - start)).tolist()
            file.write(b"".join(b'{"userId":"user-%08d"}\n' % user for user in chosen))


def _write_users(
    store: Store, vectors: NDArray[np.float32], normalisers: NDArray[np.float64], users: int
) -> list[Entry]:
    ids = [b"user-%08d" % user for user in range(users)]
    keys = keys_of(ids)
    shards = shards_of(keys, shard_count(users))
    by_shard = np.lexsort((np.arange(users), keys, shards))
    ends = np.searchsorted(shards[by_shard], np.arange(shard_count(users) + 1))
    entries = []
    for shard in range(shard_count(users)):
        rows = by_shard[ends[shard] : ends[shard + 1]]
        same = rows % len(vectors)
        columns = [
            pa.array(keys[rows]),
            pa.array([ids[row] for row in rows.tolist()], pa.binary()),
            pa.FixedSizeListArray.from_arrays(vectors[same].ravel(), RANK),
            pa.array(normalisers[same]),
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=users_schema(RANK))
        entries.append(write_table(store, shard_name(USERS, shard), batch))
    return entries


def measure(folder: Path, lines: int, items: int) -> tuple[dict[str, object], list[Sample]]:
    """Run one job and watch it."""
    command = [sys.executable, "-m", "personalize_spark", "run", "--catalog", str(folder / "catalog")]
    started = time.perf_counter()
    job = subprocess.Popen(
        [*command, "--request", str(folder / f"request-{lines}.json")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    samples: list[Sample] = []
    shards: set[str] = set()
    while job.poll() is None:
        samples.append(sample(job.pid, time.perf_counter() - started, shards))
        time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - started
    said = job.stderr.read() if job.stderr else ""
    assert job.returncode == 0, said
    answered = re.search(r"answered in ([0-9.]+) s", said)
    assert answered, said
    of_job, written = float(answered[1]), sum(path.stat().st_size for path in (folder / f"out-{lines}").glob("*.out"))
    result: dict[str, object] = {
        "seconds of the process": round(seconds, 1),
        "seconds of the job": of_job,
        "lines per second": round(lines / of_job),
        "million pairs per core-second": round(lines * items / of_job / CORES / 1e6, 1),
        "MB written": round(written / 1e6, 1),
        "MB written per second": round(written / 1e6 / of_job, 1),
        "user shards touched": len(shards),
        "most MiB": {kind: round(max(sample.get(kind, 0.0) for sample in samples)) for kind in _kinds(samples)},
    }
    return result, samples


def _kinds(samples: list[Sample]) -> list[str]:
    return sorted({kind for sample in samples for kind in sample} - {"seconds"})


def sample(root: int, seconds: float, shards: set[str]) -> Sample:
    """The largest memory of each kind among a process and all below it; adds the shards that they have mapped."""
    found: Sample = {"seconds": seconds}
    for pid in _family(root):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            maps = Path(f"/proc/{pid}/maps").read_text()
        except OSError:
            continue
        shards.update(re.findall(r"/users/(\d+)\.arrow", maps))
        kind = "JVM" if b"java" in command.split(b"\0")[0] else "driver" if pid == root else "worker"
        if kind == "worker" and b"pyspark.daemon" not in command and b"worker" not in command:
            continue
        # pages of a file that nobody else maps right now are "private" and clean: they are no memory of the process's own
        for name, field in {"private": "Private_Dirty", "PSS": "Pss", "RSS": "Rss"}.items():
            found[f"{kind}, {name}"] = max(_number(rollup, field), found.get(f"{kind}, {name}", 0.0))
    return found


def _number(rollup: str, field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+)", rollup, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _family(root: int) -> list[int]:
    """A process and all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    family, open_ = [], [root]
    while open_:
        pid = open_.pop()
        family.append(pid)
        open_ += parents.get(pid, [])
    return family


def plot(samples: list[Sample], title: str) -> str:
    """Memory over time as SVG: the private memory of each kind of process, the largest of its kind."""
    series = {
        f"{kind.partition(',')[0]} (MiB)": [(sample["seconds"], sample[kind]) for sample in samples if kind in sample]
        for kind in _kinds(samples)
        if kind.endswith("private")
    }
    return curves(f"Private memory over a job of {title}", series, "s")


if __name__ == "__main__":
    main()
