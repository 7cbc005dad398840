"""Jobs one after another, in one driver and through one HTTP server: memory, open files and threads stay flat.

    python -m benchmarks.endurance [--minutes 10]
    python -m benchmarks.endurance --draw      the charts again, of the results that are there

Both run at once, each with the local engine, on a toy model and 20,000 lines. What is counted is the driver's and the server's own process;
the workers of a job end with it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3

from benchmarks.machine import machine
from personalize_spark import api
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.quality.charts import curves
from personalize_spark.testing.toy import golden_version, request

RESULTS = Path(__file__).parent / "results" / "endurance.json"
LINES = 20_000
_EVERY = 5.0
"""Seconds between two looks."""


@dataclass(frozen=True)
class Ran:
    """Jobs by how they ended, and looks at the process that ran them."""

    jobs: dict[str, int]
    looks: list[dict[str, float]]


def main() -> None:
    """Run, and draw what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--draw", action="store_true", help="only draw the charts")
    parser.add_argument("--drive", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        drive(Path(arguments.drive))
        return
    if not arguments.draw:
        run(arguments.minutes)
    draw()


def run(minutes: float) -> None:
    """Run the driver and the server side by side for so long, and write down what was seen."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "users.json").write_text("".join(f'{{"userId":"u{n}"}}\n' for n in range(LINES)))
        seen = watch(folder, minutes * 60)
    RESULTS.write_text(
        json.dumps(
            {"machine": machine(), "minutes": minutes, **{name: asdict(ran) for name, ran in seen.items()}},
            indent=1,
        )
        + "\n"
    )


def draw() -> None:
    """Draw the results: memory, and what is counted."""
    seen = json.loads(RESULTS.read_text())
    for name, title, kinds in (
        ("endurance", "Memory (MB), job after job", ["MB"]),
        ("endurance-counts", "Open files and threads, job after job", ["files", "threads"]),
    ):
        series = {
            f"{which}: {kind}": [(look["minute"], look[kind]) for look in seen[which]["looks"]]
            for which in ("driver", "server")
            for kind in kinds
        }
        RESULTS.with_name(f"{name}.svg").write_text(curves(title, series, "min"))


def watch(folder: Path, seconds: float) -> dict[str, Ran]:
    """Run both for so long."""
    looks: dict[str, list[dict[str, float]]] = {"driver": [], "server": []}
    started = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.endurance", "--drive", str(folder)]
    with subprocess.Popen(command) as driver, serving(folder) as (url, server):
        over = threading.Event()
        asking = threading.Thread(target=ask, args=(url, folder, over))
        asking.start()
        while (spent := time.monotonic() - started) < seconds:
            for name, pid in (("driver", driver.pid), ("server", server.pid)):
                looks[name].append({"minute": round(spent / 60, 3), **usage(pid)})
            time.sleep(_EVERY)
        over.set()
        asking.join()
        driver.terminate()
    return {name: Ran(ended(folder / name), looks[name]) for name in looks}


def usage(pid: int) -> dict[str, float]:
    """Memory in MB, open files and threads of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return {"MB": int(status["VmRSS"].split()[0]) / 1024, "files": files, "threads": int(status["Threads"])}


def ended(catalog: Path) -> dict[str, int]:
    """How many jobs ended how."""
    states = [record.status for record in Catalog(catalog).list("batch-inference-job")]
    return {str(state): states.count(state) for state in set(states)}


def drive(folder: Path) -> None:
    """Run jobs until SIGTERM."""
    catalog = Catalog(folder / "driver")
    version = golden_version(catalog)
    while True:
        job = request(version, f"file://{folder}/users.json", f"file://{folder}/out/driver/")
        api.run_batch_inference(catalog, job, engine="local")


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server on a free port; its URL and its process."""
    command = [sys.executable, "-m", "personalize_spark", "serve", "--engine", "local", "--port", "0"]
    command += ["--catalog", str(folder / "server")]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("Listening at ").strip(), process
        process.terminate()


def ask(url: str, folder: Path, over: threading.Event) -> None:
    """Create a job, look until it has ended, and create the next one."""
    client = boto3.client(
        *("personalize", "us-east-1"),
        endpoint_url=url,
        aws_access_key_id="any",
        aws_secret_access_key="any",  # noqa: S106
    )
    version = golden_version(Catalog(folder / "server"))
    while not over.is_set():
        job = request(version, f"file://{folder}/users.json", f"file://{folder}/out/server/")
        arn = client.create_batch_inference_job(**job)["batchInferenceJobArn"]
        while True:
            told = client.describe_batch_inference_job(batchInferenceJobArn=arn)["batchInferenceJob"]
            if told["status"] not in {"CREATE PENDING", "CREATE IN_PROGRESS"}:
                break
            over.wait(0.2)
        client.list_batch_inference_jobs(maxResults=10)


if __name__ == "__main__":
    main()
