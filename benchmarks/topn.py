"""The scoring kernel beside the product that everyone pays, and beside its peers: one core, rank 64.

    python -m benchmarks.topn [--quick] [--sparse]

The unit is one-thread numpy sgemm of the same users and items, in the blocks that were fastest on the machine where this was
written and without looking at a score. Contenders run in turn; a ratio is the median over the rounds of contender / sgemm.
Spark ML ALS is `recommendForUserSubset` in a warm session of one core, on the users of `top_n`, its lists read and thrown away.
`top_n` is by the kernel of this processor; beside it by the kernel of processors that have AVX2 and no more, and by numpy.
`limits` says how many pairs the processor could do at most. Times are the processor's, as other work may share the machine. Spark's
are the clock's, beside the product by the clock.

With `--sparse` the scorer of v2 alone, by the kernel and by numpy, in turn: 50 items of history, each of which leads to 300, of a catalogue in
which the item of place p is met with a probability of about 1 / (p + 10). The processor's time, as other work shares the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.als import als_model, open_als_session
from benchmarks.factors import factor_sets, resample
from benchmarks.limits import limits
from benchmarks.machine import machine
from personalize_spark.scoring import topn
from personalize_spark.scoring.kernel import Kernel, kernel, kernels
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import ItemMatrix, products, top_n

RESULTS = Path(__file__).parent / "results"
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
USERS = {10_000: 4096, 200_000: 1024, 1_000_000: 512}
PEER_PAIRS = 25_600_000
"""Users times items of the peers, which need many times as long; 32 to 256 users."""
ALS_ITEMS = 200_000
"""Spark ML ALS is measured on factors of its own kind, and not beyond: a million items take it ten minutes."""
ROUNDS = 5
SAMPLE = 2048
"""Other users of the same kind, as a training would know them."""

HISTORY, ENTRIES, LINES = 50, 300, 500
"""Of the sparse scorer: items of a user, items that each leads to, users."""

_BY_CLOCK = "sgemm, by the clock"

Work = tuple[NDArray[np.float32], NDArray[np.float32], int]


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="no catalogue of a million items")
    parser.add_argument("--sparse", action="store_true", help="the scorer of v2, and nothing else")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in THREADS):
        environment = os.environ | dict.fromkeys(THREADS, "1")
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.topn", *sys.argv[1:]], environment)  # noqa: S606
    if arguments.sparse:
        cases = [sparse_case(size, n) for size in (10_000, 50_000) for n in (25, 100)]
        shown = {"machine": machine(), "history": HISTORY, "entries": ENTRIES, "rounds": ROUNDS, "cases": cases}
        (RESULTS / "sparse.json").write_text(json.dumps(shown, indent=2) + "\n")
        return
    sizes = [10_000, 200_000] if arguments.quick else list(USERS)
    result: dict[str, object] = {
        "machine": machine(),
        "kernel": native.name if (native := kernel()) else "numpy",
        "pairs a nanosecond at most": limits(64),
        "rank": 64,
        "rounds": ROUNDS,
        "cases": [],
    }
    cases = []
    for name, (users, items) in factor_sets().items():
        for size in sizes:
            for n in (25, 100):
                cases.append(measure(name, users, items, size, n))
                print(json.dumps(cases[-1]), flush=True)
    path = RESULTS / ("topn-quick.json" if arguments.quick else "topn.json")
    path.write_text(json.dumps(result | {"cases": cases}, indent=2) + "\n")


def measure(name: str, users: NDArray[np.float64], items: NDArray[np.float64], size: int, n: int) -> dict[str, object]:
    """One row of the table."""
    rng = np.random.default_rng(size)
    people = resample(users, USERS[size] + SAMPLE, rng)
    people, sample = people[SAMPLE:], people[:SAMPLE]
    matrix, _ = ItemMatrix.sort(resample(items, size, rng), rng.permutation(size).astype(np.int32), sample)
    _check(people[:4], matrix, n)
    contenders: dict[str, Callable[[], float]] = {
        "sgemm": lambda: _seconds(_sgemm, (people, matrix.factors, n)),
    }
    for ours, native in _ours().items():
        contenders[ours] = partial(_seconds, partial(_top_n, matrix, native), (people, matrix.factors, n))
    fewer = people[: min(256, max(32, PEER_PAIRS // size))]
    for peer, run in _peers().items():
        contenders[peer] = lambda run=run: _seconds(run, (fewer, matrix.factors, n))  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        if "Spark" in name and size <= ALS_ITEMS:
            recommend = _spark_als(Path(folder), people, matrix.factors)
            contenders[_BY_CLOCK] = lambda: _seconds(_sgemm, (people, matrix.factors, n), time.perf_counter)
            contenders["Spark ML ALS"] = lambda: _seconds(recommend, (people, matrix.factors, n), time.perf_counter)
        runs = [{each: run() for each, run in contenders.items()} for _ in range(ROUNDS)]
    return {
        "factors": name,
        "items": size,
        "n": n,
        "microseconds a line": {
            each: round(statistics.median(run[each] for run in runs) * 1e6, 1) for each in contenders
        },
        "times sgemm": {
            each: round(
                statistics.median(run[each] / run[_BY_CLOCK if "Spark" in each else "sgemm"] for run in runs), 2
            )
            for each in contenders
            if each not in {"sgemm", _BY_CLOCK}
        },
    }


def sparse_case(size: int, n: int) -> dict[str, object]:
    """Microseconds of processor time a line, and that both give the same bytes."""
    items, users = _sparse_world(size)
    native = kernel()
    times = {name: list[float]() for name in (["kernel"] if native else []) + ["numpy"]}
    for _ in range(ROUNDS):
        lists = {}
        for name, part in times.items():
            best = np.full((LINES, n), -1, np.int32), np.full((LINES, n), -np.inf)
            start = time.process_time()
            if name == "numpy":
                items.search(users, best, None, None)
            elif native is not None:
                native.sparse_top_n(users, items, best, None, None)
            part.append((time.process_time() - start) / LINES * 1e6)
            lists[name] = best[0].tobytes() + best[1].tobytes()
        assert native is None or lists["kernel"] == lists["numpy"], "not the same bytes"
    shown = {
        name: {"median": round(statistics.median(each), 1), "least": round(min(each), 1)}
        for name, each in times.items()
    }
    case: dict[str, object] = {"items": size, "n": n, "microseconds a line": shown}
    print(json.dumps(case), flush=True)
    return case


def _sparse_world(size: int) -> tuple[SparseItems, NDArray[np.int32]]:
    rng = np.random.default_rng(size)
    chances = 1 / (np.arange(size) + 10.0)
    ends = np.cumsum(chances / chances.sum())
    ends[-1] = 1.0
    drawn = (np.unique(np.searchsorted(ends, rng.random(3 * ENTRIES))) for _ in range(size))
    rows = [rng.permutation(each)[:ENTRIES] for each in drawn]
    leads = Ragged.of_lengths(np.array([len(each) for each in rows]), np.concatenate(rows).astype(np.int32))
    weights = (rng.gamma(0.5, size=len(leads.values)) + 1e-3).astype(np.float32)
    decay = (0.5 ** (np.arange(HISTORY) / 10)).astype(np.float32)
    users = np.searchsorted(ends, rng.random((LINES, HISTORY))).astype(np.int32)
    prior = np.log1p(1e4 * chances).astype(np.float32)
    return SparseItems(leads, weights, decay, prior, rng.permutation(size).astype(np.int32), 0.1), users


def _seconds(run: Callable[[Work], object], work: Work, clock: Callable[[], float] = time.process_time) -> float:
    """Per line."""
    start = clock()
    run(work)
    return (clock() - start) / len(work[0])


def _ours() -> dict[str, Kernel | None]:
    """`top_n` by the best kernel that runs here, by that of AVX2 where it is another one, and by numpy."""
    found = {each.name: each for each in kernels()}
    best = next(reversed(found), None)
    shown: dict[str, Kernel | None] = {"top_n": found[best]} if best else {}
    if best != "avx2" and "avx2" in found:
        shown["top_n, AVX2 only"] = found["avx2"]
    return shown | {"top_n, numpy": None}


def _top_n(matrix: ItemMatrix, native: Kernel | None, work: Work) -> None:
    with patch.object(topn, "kernel", lambda: native):
        top_n(work[0], matrix, work[2])


def _check(users: NDArray[np.float32], matrix: ItemMatrix, n: int) -> None:
    best = top_n(users, matrix, n)
    for user, found in zip(users, best.items, strict=True):
        exact = products(user, matrix.factors)
        assert found.tolist() == np.lexsort((matrix.ranks, -exact))[:n].tolist(), "not the exact top N"


def _sgemm(work: Work) -> None:
    users, items, _ = work
    buffer = np.empty(512 * 2048, np.float32)
    for start in range(0, len(items), 2048):
        tile = items[start : start + 2048]
        for low in range(0, len(users), 512):
            block = users[low : low + 512]
            np.matmul(block, tile.T, out=buffer[: len(block) * len(tile)].reshape(len(block), len(tile)))


def _argpartition(work: Work) -> None:
    users, items, n = work
    step = max(1, (1 << 23) // len(items))
    for low in range(0, len(users), step):
        scores = users[low : low + step] @ items.T
        best = np.argpartition(scores, -n, axis=1)[:, -n:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        np.take_along_axis(best, order, axis=1)


def _spark_als(folder: Path, users: NDArray[np.float32], items: NDArray[np.float32]) -> Callable[[Work], object]:
    """Warm: one run comes before the first that counts."""
    spark = open_als_session(1)
    model = als_model(spark, folder / "als", users, items, 1)
    asked = spark.range(len(users)).selectExpr("cast(id as int) as user")

    def run(work: Work) -> None:
        model.recommendForUserSubset(asked, work[2]).write.format("noop").mode("overwrite").save()

    run((users, items, 1))
    return run


def _peers() -> dict[str, Callable[[Work], object]]:
    """Those that are installed."""
    peers: dict[str, Callable[[Work], object]] = {"numpy argpartition": _argpartition}
    try:
        from implicit.cpu.topk import topk

        peers["implicit topk"] = lambda work: topk(work[1], work[0], work[2], num_threads=1)
    except ImportError:
        print("implicit is not installed: not measured")
    try:
        import faiss

        peers["faiss.knn"] = lambda work: faiss.knn(work[0], work[1], work[2], metric=faiss.METRIC_INNER_PRODUCT)
    except ImportError:
        print("faiss is not installed: not measured")
    return peers


if __name__ == "__main__":
    main()
