"""`personalize-spark demo`: a whole job on a generated catalogue, with no account and no server."""

from __future__ import annotations

import csv
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from personalize_spark import api
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.arguments import Commands, add_command
from personalize_spark.cli.progress import ProgressLine

_SEED = 20
_USERS, _ITEMS, _EVENTS_A_USER = 500, 800, (5, 60)
_START, _DAYS = 1_700_000_000, 120
_GENRES = ("Adventure", "Comedy", "Documentary", "Drama", "Fantasy", "Romance", "Thriller")
_LINES = (
    '{"userId": "user-7"}',
    '{"userId": "user-42"}',
    '{"userId": "nobody-knows-me"}',
    '{"itemId": "film-12"}',
    "this is not JSON",
)

Row = Sequence[str | int]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "demo",
        lambda arguments: demo(arguments.keep),
        "Run a whole job on a generated catalogue, from nothing to printed answers.",
    )
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep all files there")


def demo(keep: Path | None) -> None:
    """Generate, import, train and run; everything is printed, and kept in `keep` if given."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        _demo(keep.absolute(), f"Everything is in {keep.absolute()}; the catalog is {keep.absolute()}/catalog.")
    else:
        with tempfile.TemporaryDirectory(prefix="personalize-spark-demo-") as folder:
            _demo(Path(folder), "Nothing was kept; --keep DIR keeps all files.")


def _demo(folder: Path, hint: str) -> None:
    from personalize_spark.spark import open_session

    started = time.monotonic()
    _say(f"1. Generate {_USERS} users, {_ITEMS} films and what was watched, in {folder}")
    write_catalogue(folder / "data", random.Random(_SEED))  # noqa: S311  # a made-up world, not a secret
    catalog = Catalog(folder / "catalog")
    spark = open_session("personalize-spark demo", data=True, short=True)

    _say("2. Import the CSV files into Delta tables")
    interactions, items, users = (folder / "data" / f"{name}.csv" for name in ("interactions", "items", "users"))
    imported = api.import_datasets(catalog, "demo", interactions=interactions, items=items, users=users, spark=spark)
    _say(f"{imported}")

    _say("3. Train a solution version of the recipe aws-user-personalization")
    solution = f"demo-{time.time_ns()}"
    version = api.train(catalog, "demo", "aws-user-personalization", solution, rank=16, spark=spark)
    _say(f"   {version.arn}")

    _say("4. Run a CreateBatchInferenceJob request")
    request = _write_job(folder, version.arn)
    with ProgressLine(sys.stderr) as line:
        report = api.run_batch_inference(catalog, request, spark=spark, progress=line.show)
    _say(f"{report}\n")
    _show(folder, request)
    _say(f"Done in {time.monotonic() - started:.0f} s. {hint}")


def write_catalogue(folder: Path, chance: random.Random) -> None:
    """Write interactions.csv, items.csv and users.csv of a small world in which users have favourite genres."""
    folder.mkdir(parents=True, exist_ok=True)
    genres = [chance.sample(_GENRES, chance.choice((1, 1, 2))) for _ in range(_ITEMS)]
    tastes = [chance.choices(_GENRES, k=2) for _ in range(_USERS)]
    items = ((f"film-{i}", "|".join(genres[i]), chance.randint(1970, 2023)) for i in range(_ITEMS))
    users = ((f"user-{u}", chance.randint(16, 80)) for u in range(_USERS))
    _write(folder / "items.csv", ("ITEM_ID", "GENRES", "YEAR"), items)
    _write(folder / "users.csv", ("USER_ID", "AGE"), users)
    header = ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE")
    _write(folder / "interactions.csv", header, _interactions(genres, tastes, chance))


def _interactions(
    genres: Sequence[Sequence[str]], tastes: Sequence[Sequence[str]], chance: random.Random
) -> Iterator[Row]:
    fame = [1 / (1 + rank) ** 0.7 for rank in range(_ITEMS)]
    for user, taste in enumerate(tastes):
        weights = [fame[i] * (12 if set(genres[i]) & set(taste) else 1) for i in range(_ITEMS)]
        for item in chance.choices(range(_ITEMS), weights, k=chance.randint(*_EVENTS_A_USER)):
            when = _START + chance.randrange(_DAYS * 86_400)
            yield f"user-{user}", f"film-{item}", when, chance.choice(("watch", "watch", "click"))


def _write(path: Path, header: Sequence[str], rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_job(folder: Path, version: str) -> dict[str, Any]:
    (folder / "input").mkdir(exist_ok=True)
    (folder / "input" / "users.json").write_text("\n".join(_LINES) + "\n", encoding="utf-8")
    request: dict[str, Any] = {
        "jobName": f"demo-{time.time_ns()}",
        "solutionVersionArn": version,
        "numResults": 5,
        "jobInput": {"s3DataSource": {"path": f"file://{folder}/input/users.json"}},
        "jobOutput": {"s3DataDestination": {"path": f"file://{folder}/output/"}},
        "roleArn": "arn:aws:iam::000000000000:role/PersonalizeBatch",
    }
    (folder / "request.json").write_text(json.dumps(request, indent=2), encoding="utf-8")
    return request


def _show(folder: Path, request: dict[str, Any]) -> None:
    out = folder / "output" / "users.json.out"
    print(f"request.json\n{json.dumps(request, indent=2)}\n")  # the demo's result
    print(f"{folder}/input/users.json\n" + "\n".join(_LINES) + "\n")
    print(f"{out}\n{out.read_text(encoding='utf-8')}", flush=True)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
