"""Extreme inputs: one giant file, many tiny ones, tiny objects on a real S3 server process, one core and two.

    python -m benchmarks.extremes [--only giant|tiny|objects|cores] [--quick]

Every case is a job as a user runs it, in a process of its own; the model is small, so that reading, writing and scheduling are what is timed.
Objects lie on moto's server, one Python process that is slower than S3: its share is timed by itself, as the listing and
reading of the same objects without a job.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import boto3

from benchmarks import scale
from benchmarks.machine import machine
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.storage.location import open_store
from personalize_spark.testing.toy import NO_EXPLORATION, golden_version, request
from tests.servers import SPARK, free_port, new_bucket, s3_server, standalone_cluster

RESULTS = Path(__file__).parent / "results" / "extremes.json"
ROOT = Path(__file__).parents[1]
USER_PERSONALIZATION, POPULARITY_COUNT = "aws-user-personalization", "aws-popularity-count"
_BLOCK = 1 << 20

Measured = dict[str, object]


def main() -> None:
    """Run the cases and write the results; those that are not run keep theirs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the sizes, and no results written")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = machine()
    for name in [arguments.only] if arguments.only else CASES:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = CASES[name](Path(folder), 100 if arguments.quick else 1)
        print(json.dumps({name: results[name]}, indent=2), flush=True)
    if not arguments.quick:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def giant(folder: Path, smaller: int) -> Measured:
    """One file of 5 GB, some 200 million lines, one item for each."""
    (folder / "in").mkdir()
    path, size = folder / "in" / "users.json", 5_000_000_000 // smaller
    lines = 0
    with path.open("wb") as file:
        while file.tell() < size:
            block = b"".join(b'{"userId":"%d"}\n' % (lines + n) for n in range(_BLOCK))
            lines += file.write(block) and _BLOCK
    catalog = Catalog(f"file://{folder}/catalog")
    version = golden_version(catalog, POPULARITY_COUNT)
    job = request(version, f"file://{folder}/in/", f"file://{folder}/out/", numResults=1)
    measured = _run(folder, job, catalog.uri)
    output = folder / "out" / "users.json.out"
    with output.open("rb") as file:
        file.seek(-200, os.SEEK_END)
        last = file.read().splitlines()[-1]
    assert last.startswith(b'{"input":{"userId":"%d"}' % (lines - 1)), last
    return {
        "lines": lines,
        "GB": round(path.stat().st_size / 1e9, 2),
        **measured,
        "GB written": round(output.stat().st_size / 1e9, 2),
    }


def tiny(folder: Path, smaller: int) -> Measured:
    """2,000 files of ten lines."""
    (folder / "in").mkdir()
    count = 2_000 // smaller
    for number in range(count):
        (folder / "in" / f"{number:05d}.json").write_bytes(b'{"userId":"u1"}\n' * 10)
    catalog = Catalog(f"file://{folder}/catalog")
    job = request(golden_version(catalog), f"file://{folder}/in/", f"file://{folder}/out/", numResults=3)
    measured = _run(folder, job, catalog.uri)
    assert len(list((folder / "out").glob("*.out"))) == count
    return {"files": count, **measured}


def objects(folder: Path, smaller: int) -> Measured:
    """100,000 objects of one line on an S3 server."""
    count = 100_000 // smaller
    with _s3(folder) as environment:
        client, bucket = boto3.client("s3"), new_bucket("extremes")
        bodies = {f"in/{number:06d}.json": b'{"userId":"u1"}\n' for number in range(count)}
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda each: client.put_object(Bucket="extremes", Key=each[0], Body=each[1]), bodies.items()))
        server = _serving(count)
        catalog = Catalog(f"{bucket}/catalog")
        job = request(golden_version(catalog), f"{bucket}/in/", f"{bucket}/out/", numResults=3)
        measured = _run(folder, job, catalog.uri, environment)
        written = [each.name for each in open_store(f"{bucket}/out/").list()]
        assert len([name for name in written if name.endswith(".out")]) == count
    seconds = float(str(measured["seconds of the job"]))
    share = {"of which the server": f"{100 * server / seconds:.0f} % at the least"}
    return {"objects": count, **measured, "ms an object": round(seconds / count * 1000, 2), **share}


def cores(folder: Path, smaller: int) -> Measured:
    """A real standalone master with two workers of one core: the same job on one core and on both, twice each.

    On one core is all of it, the driver and the JVMs too: else those would work on the other one meanwhile.
    """
    lines = 4_000_000 // smaller
    scale.generate(folder, [lines], 50_000, 1_000_000 // smaller)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    memory: scale.Sample = {}
    with standalone_cluster(folder, "2g") as (url, workers):
        time.sleep(5)  # until both are known to the master
        for count in (1, 2) * 2:
            cpus = f"0-{count - 1}"
            for worker in workers:
                pin = ["taskset", "--all-tasks", "--cpu-list", "--pid", cpus, str(worker)]
                subprocess.run(pin, check=True, stdout=subprocess.DEVNULL)
            asked = json.loads((folder / f"request-{lines}.json").read_text())
            asked["jobName"] = f"cores-{time.time_ns()}"
            command = [
                *("taskset", "--cpu-list", cpus),
                str(SPARK / "spark-submit"),
                "--master",
                url,
                "--properties-file",
                str(ROOT / "conf" / "spark-defaults.conf"),
            ]
            settings = {
                "spark.cores.max": count,
                "spark.executorEnv.PYTHONPATH": ROOT,
                "spark.driver.host": "127.0.0.1",
            }
            command += [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
            command += [str(ROOT / "jobs" / "batch_inference.py")]
            measured = _run(
                folder,
                asked,
                f"file://{folder}/catalog",
                {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable},
                command,
                workers,
                memory,
                20.0,
            )
            seconds[count].append(float(str(measured["seconds of the job"])))
    one, two = (statistics.median(seconds[count]) for count in (1, 2))
    return {
        "lines": lines,
        "seconds on one core": one,
        "seconds on two": two,
        "times as fast": round(one / two, 2),
        "MiB of a worker": {
            kind.partition(", ")[2]: round(value) for kind, value in memory.items() if kind.startswith("worker")
        },
    }


CASES: Mapping[str, Callable[[Path, int], Measured]] = {
    "giant": giant,
    "tiny": tiny,
    "objects": objects,
    "cores": cores,
}


def _run(
    folder: Path,
    job: Mapping[str, object],
    catalog: str,
    environment: Mapping[str, str] | None = None,
    command: list[str] | None = None,
    watched: list[int] | None = None,
    memory: scale.Sample | None = None,
    pause: float = 1.0,
) -> Measured:
    """Run a job to its end; `memory` takes the largest memory of the watched processes and those below them.

    Looking at it every second takes a twentieth of a core, which matters where cores are compared: hence the `pause`.
    """
    (folder / "request.json").write_text(json.dumps({"batchInferenceJobConfig": NO_EXPLORATION, **job}))
    command = command or [sys.executable, "-m", "personalize_spark", "run"]
    command += ["--request", str(folder / "request.json"), "--catalog", catalog]
    started = time.perf_counter()
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, **(environment or {})})
        most: scale.Sample = {} if memory is None else memory
        while process.poll() is None:
            for root in watched or [process.pid]:
                for kind, value in scale.sample(root, 0.0, set()).items():
                    most[kind] = max(value, most.get(kind, 0.0))
            with suppress(subprocess.TimeoutExpired):
                process.wait(pause)
        seconds = time.perf_counter() - started
        said.seek(0)
        text = said.read()
    assert process.returncode == 0, text
    answered = re.search(r"answered in ([0-9.]+) s", text)
    assert answered, text
    private = {kind: round(value) for kind, value in most.items() if kind.endswith("private")}
    return {"seconds of the process": round(seconds, 1), "seconds of the job": float(answered[1]), "most MiB": private}


@contextmanager
def _s3(folder: Path) -> Iterator[Mapping[str, str]]:
    """An S3 server; gives the environment that leads to it, which is this process's too."""
    with s3_server(free_port(), folder) as url:
        environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        os.environ.update(environment)
        yield environment


def _serving(count: int) -> float:
    """Seconds that the server alone takes to list the objects, and to give and to take each once."""
    store, started = open_store("s3://extremes/"), time.perf_counter()
    names = [each.name for each in store.list("in/")]
    some = names[:: max(1, count // 1_000)]
    listed = time.perf_counter()
    for name in some:
        store.write(f"again/{name}", store.read(name))
    return listed - started + (time.perf_counter() - listed) * count / len(some)


if __name__ == "__main__":
    main()
