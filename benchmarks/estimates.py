"""Ten jobs on the local engine, each estimated before it runs: `validate --estimate` held against what the job took.

    python -m benchmarks.estimates [--quick]

A job's time is its report's; an estimate is right where the two differ by a factor of 1.5 at the most. The memory is that of the
workers at its highest; what several of them map counts once. The disk is what the cache holds after a job on the same catalog in S3.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from personalize_spark import api
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.job.estimate import measuring
from personalize_spark.service.validation import validate_batch_inference
from personalize_spark.storage.location import open_store
from personalize_spark.storage.s3 import forget_clients
from personalize_spark.testing.toy import random_world, request, world_version
from tests.servers import free_port, new_bucket, s3_server

RESULTS = Path(__file__).parent / "results" / "estimates.json"
ESTIMATED = ("seconds", "output", "memory", "disk")
"""What is held against a job, in seconds and MB."""
FACTOR = 1.5
_ON_S3 = 2_000
"""Lines of the job that fills a host's cache: the model does not depend on them."""


@dataclass(frozen=True)
class Case:
    """A job: its recipe, its items, users and lines, and how many results it asks for."""

    recipe: str
    items: int
    users: int
    lines: int
    results: int = 25
    files: int = 1
    packed: bool = False


CASES = (
    Case("aws-user-personalization", 1_000, 2_000, 1_000),
    Case("aws-user-personalization", 10_000, 5_000, 500_000),
    Case("aws-user-personalization", 10_000, 5_000, 250_000, results=100),
    Case("aws-user-personalization", 50_000, 5_000, 300_000),
    Case("aws-user-personalization", 1_000, 2_000, 1_000_000, files=20),
    Case("aws-user-personalization", 10_000, 5_000, 500_000, packed=True),
    Case("aws-popularity-count", 10_000, 2_000, 1_500_000),
    Case("aws-similar-items", 10_000, 1_000, 500_000),
    Case("aws-sims", 5_000, 1_000, 300_000, results=10),
    Case("aws-personalized-ranking", 10_000, 5_000, 100_000),
)


def main() -> None:
    """Run the jobs and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the lines, and no results written")
    arguments = parser.parse_args()
    rows = []
    for case in CASES:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(s3_of(folder))
            rows.append(measure(folder, case, 10 if arguments.quick else 1))
        print(json.dumps(rows[-1]), flush=True)
    right = {
        what: sum(1 / FACTOR <= row[f"{what} estimated"] / row[f"{what} taken"] <= FACTOR for row in rows)
        for what in ESTIMATED
    }
    print(f"of {len(rows)} within a factor of {FACTOR}: {right}")
    if not arguments.quick:
        RESULTS.write_text(json.dumps({"machine": machine(), "right": right, "jobs": rows}, indent=2) + "\n")


@contextmanager
def s3_of(folder: Path) -> Iterator[None]:
    """An S3 server, which the environment names, and a folder for what a host keeps."""
    port = free_port()
    own = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    own |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "SPARK_LOCAL_DIRS": str(folder / "local")}
    os.environ.update(own)
    forget_clients()
    for name in ("s3", "local"):
        (folder / name).mkdir()
    with s3_server(port, folder / "s3"):
        yield


def measure(folder: Path, case: Case, smaller: int) -> dict[str, Any]:
    """Estimate a job, and run it."""
    catalog, lines = Catalog(folder / "catalog"), case.lines // smaller
    world = random_world(1, case.items, case.users, 32)
    version = world_version(catalog, world, case.recipe)
    write_lines(folder / "in", case, lines)
    params = request(version, f"file://{folder}/in/", f"file://{folder}/out/", numResults=case.results)
    said = validate_batch_inference(catalog, params, estimate=True)["estimate"]
    with measuring(memory_of_others()) as memory:
        report = api.run_batch_inference(catalog, params, engine="local")
    disk, kept = on_s3(folder, case, version)
    return {
        "recipe": case.recipe,
        "items": case.items,
        "lines": lines,
        "lines estimated": said["lines"],
        "seconds estimated": said["seconds"],
        "seconds taken": round(report.seconds, 1),
        "output estimated": round(said["output_bytes"] / 1e6, 1),
        "output taken": round(report.bytes / 1e6, 1),
        "memory estimated": round(said["memory_bytes"] / 1e6),
        "memory taken": round(max(memory) / 1e6),
        "disk estimated": round(disk / 1e6, 2),
        "disk taken": round(kept / 1e6, 2),
    }


def memory_of_others() -> Callable[[], int]:
    """Measures the bytes that the processes hold which this one starts from now on."""
    before = {*_below(os.getpid())}
    return lambda: sum(map(_memory_of, {*_below(os.getpid())} - before))


def _below(process: int) -> Iterator[int]:
    for found in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, found.read_text().split()):
                yield child
                yield from _below(child)


def _memory_of(process: int) -> int:
    """Its own bytes, and its share of what others map, too; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


def on_s3(folder: Path, case: Case, version: Arn) -> tuple[int, int]:
    """A host's disk as it is estimated for a catalog on S3, and what its cache holds after a job."""
    bucket, here = new_bucket("catalog"), folder / "catalog"
    store = open_store(bucket)
    for path in filter(Path.is_file, here.rglob("*")):
        store.write(str(path.relative_to(here)), path.read_bytes())
    catalog = Catalog(bucket)
    write_lines(folder / "few", case, _ON_S3)
    params = request(version, f"file://{folder}/few/", f"file://{folder}/few-out/", numResults=case.results)
    said = validate_batch_inference(catalog, params, estimate=True, rate=1000.0)["estimate"]
    api.run_batch_inference(catalog, params, engine="local")
    return said["disk_bytes"], sum(path.stat().st_size for path in (folder / "local").rglob("*") if path.is_file())


def write_lines(folder: Path, case: Case, lines: int) -> None:
    """The inputs of a job, of so many lines in all."""
    folder.mkdir()
    each = lines // case.files
    for number in range(case.files):
        pick = random.Random(number)
        text = "".join(f"{json.dumps(_line(case, pick))}\n" for _ in range(each)).encode()
        name = folder / f"{number:03d}.json"
        if case.packed:
            name.with_suffix(".json.gz").write_bytes(gzip.compress(text))
        else:
            name.write_bytes(text)


def _line(case: Case, pick: random.Random) -> dict[str, Any]:
    def item() -> str:
        return f"i{7 * pick.randrange(case.items // 7) + 1}"

    if case.recipe in {"aws-similar-items", "aws-sims"}:
        return {"itemId": item()}
    user = {"userId": f"u{pick.randrange(case.users)}"}
    return {**user, "itemList": [item() for _ in range(50)]} if "ranking" in case.recipe else user


if __name__ == "__main__":
    main()
