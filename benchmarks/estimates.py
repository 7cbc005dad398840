"""Ten jobs on the local engine, each estimated before it runs: `validate --estimate` held against what the job took.

    python -m benchmarks.estimates [--quick]

A job's time is its report's; an estimate is right where the two differ by a factor of 1.5 at the most.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from personalize_spark import api
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.service.validation import validate_batch_inference
from personalize_spark.testing.toy import random_world, request, world_version

RESULTS = Path(__file__).parent / "results" / "estimates.json"
FACTOR = 1.5


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
    Case("aws-user-personalization", 10_000, 5_000, 100_000),
    Case("aws-user-personalization", 10_000, 5_000, 50_000, results=100),
    Case("aws-user-personalization", 50_000, 5_000, 60_000),
    Case("aws-user-personalization", 1_000, 2_000, 200_000, files=20),
    Case("aws-user-personalization", 10_000, 5_000, 100_000, packed=True),
    Case("aws-popularity-count", 10_000, 2_000, 300_000),
    Case("aws-similar-items", 10_000, 1_000, 100_000),
    Case("aws-sims", 5_000, 1_000, 60_000, results=10),
    Case("aws-personalized-ranking", 10_000, 5_000, 50_000),
)


def main() -> None:
    """Run the jobs and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the lines, and no results written")
    arguments = parser.parse_args()
    rows = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(Path(folder), case, 10 if arguments.quick else 1))
        print(json.dumps(rows[-1]), flush=True)
    right = sum(1 / FACTOR <= row["seconds estimated"] / row["seconds taken"] <= FACTOR for row in rows)
    print(f"{right} of {len(rows)} within a factor of {FACTOR}")
    if not arguments.quick:
        RESULTS.write_text(json.dumps({"machine": machine(), "right": right, "jobs": rows}, indent=2) + "\n")


def measure(folder: Path, case: Case, smaller: int) -> dict[str, Any]:
    """Estimate a job, and run it."""
    catalog, lines = Catalog(folder / "catalog"), case.lines // smaller
    world = random_world(1, case.items, case.users, 32)
    version = world_version(catalog, world, case.recipe)
    write_lines(folder / "in", case, lines)
    params = request(version, f"file://{folder}/in/", f"file://{folder}/out/", numResults=case.results)
    said = validate_batch_inference(catalog, params, estimate=True)["estimate"]
    report = api.run_batch_inference(catalog, params, engine="local")
    return {
        "recipe": case.recipe,
        "items": case.items,
        "lines": lines,
        "lines estimated": said["lines"],
        "seconds estimated": said["seconds"],
        "seconds taken": round(report.seconds, 1),
        "ratio": round(said["seconds"] / report.seconds, 2),
        "MB estimated": round(said["output_bytes"] / 1e6, 1),
        "MB written": round(report.bytes / 1e6, 1),
    }


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
