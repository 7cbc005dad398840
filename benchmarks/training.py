"""A training of 20 million interactions: how long it takes and what it holds in memory, beside implicit's ALS on the same pairs.

    python -m benchmarks.training [--interactions 20000000]

200,000 users with tastes, 50,000 items of which few are famous; rank 64, ten iterations. Ours is `personalize-spark train` in a
process of its own, from the Delta table to the solution version: ALS, the fold-in and the normaliser of every user, the held-out
metrics. implicit's time is that of `fit` alone, on pairs that lie in memory already.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from benchmarks import scale
from benchmarks.machine import machine
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.status import Status
from personalize_spark.spark import open_session

RESULTS = Path(__file__).parent / "results" / "training.json"
USERS, ITEMS, RANK, ITERATIONS, GROUPS = 200_000, 50_000, 64, 10, 50
GROUP = Arn("aws", "us-east-1", "000000000000", "dataset-group", "large")
_BLOCK = 1_000_000

Pairs = tuple[NDArray[np.int32], NDArray[np.int32]]


def main() -> None:
    """Generate, train, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, default=20_000_000)
    count = parser.parse_args().interactions
    users, items = interactions(count)
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), users, items)
        ours = _train(Path(folder))
    print(json.dumps(ours), flush=True)
    peer = _implicit(users, items)
    print(json.dumps(peer), flush=True)
    work = {"interactions": count, "users": USERS, "items": ITEMS, "rank": RANK, "iterations": ITERATIONS}
    result = {"machine": machine(), "work": work, "personalize_spark": ours, "implicit": peer}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


def interactions(count: int) -> Pairs:
    """Users and items of as many interactions: nine of ten from the tenth of the items that a user's group likes."""
    random = np.random.default_rng(3)
    users = random.integers(0, USERS, count).astype(np.int32)
    # Zipf-like fame: the square of a uniform number favours the low ones
    fame = (random.random(count) ** 3 * (ITEMS // GROUPS)).astype(np.int32)
    shelf = np.where(random.random(count) < 0.9, users % GROUPS, random.integers(0, GROUPS, count))
    return users, (fame * GROUPS + shelf).astype(np.int32)


def _write(folder: Path, users: NDArray[np.int32], items: NDArray[np.int32]) -> None:
    """A Delta table and the records of a dataset group that has it."""
    (folder / "parquet").mkdir()
    for start in range(0, len(users), _BLOCK):
        rows = slice(start, start + _BLOCK)
        table = pa.table(
            {
                "USER_ID": [f"user-{user}" for user in users[rows].tolist()],
                "ITEM_ID": [f"item-{item}" for item in items[rows].tolist()],
                "TIMESTAMP": np.arange(start, start + len(users[rows])),
            }
        )
        pq.write_table(table, folder / "parquet" / f"{start}.parquet")
    spark = open_session("generate", data=True)
    uri = f"file://{folder}/interactions"
    spark.read.parquet(f"file://{folder}/parquet").write.format("delta").save(uri)
    spark.stop()
    catalog = Catalog(f"file://{folder}/catalog")
    catalog.create(GROUP, {"name": GROUP.name, "datasetGroupArn": str(GROUP), "status": Status.ACTIVE})
    dataset = GROUP.sibling("dataset", GROUP.name, "INTERACTIONS")
    catalog.create(dataset, {"datasetGroupArn": str(GROUP), "path": uri, "deltaVersion": 0})


def _train(folder: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "personalize_spark", "train", "--catalog", str(folder / "catalog")]
    command += ["--group", GROUP.name, "--solution", "large", "--recipe", "aws-user-personalization"]
    command += ["--rank", str(RANK), "--iterations", str(ITERATIONS)]
    most: scale.Sample = {}
    started = time.perf_counter()
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        while process.poll() is None:
            for kind, value in scale.sample(process.pid, 0.0, set()).items():
                most[kind] = max(value, most.get(kind, 0.0))
            time.sleep(2)
        said.seek(0)
        text = said.read()
    assert process.returncode == 0, text
    private = {kind: round(value) for kind, value in most.items() if kind.endswith("private")}
    metrics = dict(line.split(": ", 1) for line in text.splitlines() if line.startswith(("log_loss", "normalized")))
    return {"seconds": round(time.perf_counter() - started, 1), "most MiB": private, "metrics": metrics}


def _implicit(users: NDArray[np.int32], items: NDArray[np.int32]) -> dict[str, object]:
    counts = csr_matrix((np.ones(len(users), np.float32), (users, items)), (USERS, ITEMS))
    model = AlternatingLeastSquares(RANK, iterations=ITERATIONS, num_threads=os.cpu_count() or 1, random_state=0)
    started = time.perf_counter()
    with threadpool_limits(1, "blas"):  # as it asks for; it has threads of its own
        model.fit(counts, show_progress=False)
    return {"seconds": round(time.perf_counter() - started, 1)}


if __name__ == "__main__":
    main()
