"""`personalize-spark demo`: a whole job on a generated catalogue, with no account and no server."""

from __future__ import annotations

import csv
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from personalize_spark import api
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.arguments import Commands, add_command, add_session
from personalize_spark.cli.progress import ProgressLine
from personalize_spark.errors import StorageError, missing_spark_told
from personalize_spark.storage.location import plain_path

_SEED = 20
_USERS, _ITEMS, _EVENTS_A_USER = 500, 800, (5, 60)
_START, _DAYS = 1_700_000_000, 120
_GENRES = ("Adventure", "Comedy", "Documentary", "Drama", "Fantasy", "Romance", "Thriller")
_SCENES = {
    "Adventure": ("snowy mountain passes", "lost treasure"),
    "Comedy": ("awkward family dinners", "small-town mischief"),
    "Documentary": ("life under the sea", "forgotten inventions"),
    "Drama": ("quiet family secrets", "second chances"),
    "Fantasy": ("talking animals", "hidden kingdoms"),
    "Romance": ("rainy train stations", "old love letters"),
    "Thriller": ("midnight chases", "locked rooms"),
}
_ITEMS_SCHEMA = {
    "type": "record",
    "name": "Items",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "GENRES", "type": "string", "categorical": True},
        {"name": "YEAR", "type": "long"},
        {"name": "TITLE", "type": "string", "itemName": True},
        {"name": "DESCRIPTION", "type": "string", "textual": True},
    ],
}
_LINES = (
    '{"userId": "user-7"}',
    '{"userId": "user-42"}',
    '{"userId": "nobody-knows-me"}',
    '{"itemId": "film-12"}',
    "this is not JSON",
)

_THEMED = ('{"itemId": "film-12"}',)
_THEMES = {
    "batchInferenceJobMode": "THEME_GENERATION",
    "themeGenerationConfig": {"fieldsForThemeGeneration": {"itemName": "TITLE"}},
}

Row = Sequence[str | int]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "demo",
        lambda arguments: demo(arguments.keep),
        "Run a whole job on a generated catalogue, from nothing to printed answers.",
    )
    add_session(parser)
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep all files there")


def demo(keep: Path | None) -> None:
    """Generate, import, train and run; everything is printed, and kept in `keep` if given."""
    spark = _session()  # first of all: a machine that lacks something gets no files
    if keep is not None:
        kept = plain_path(keep)
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"--keep {kept}: there can be no folder: {error.strerror}.") from error
        _demo(spark, kept, f"Everything is in {kept}; the catalog is {kept}/catalog.")
    else:
        with tempfile.TemporaryDirectory(prefix="personalize-spark-demo-") as folder:
            _demo(spark, Path(folder), "Nothing was kept; --keep DIR keeps all files.")


@missing_spark_told()
def _session() -> Any:
    from personalize_spark.spark import open_session

    return open_session("personalize-spark demo", data=True, short=True)


def _demo(spark: Any, folder: Path, hint: str) -> None:
    started = time.monotonic()
    _say(f"1. Generate {_USERS} users, {_ITEMS} films and what was watched, in {folder}")
    write_catalogue(folder / "data", random.Random(_SEED))  # noqa: S311  # a made-up world, not a secret
    catalog = Catalog(folder / "catalog")

    _say("2. Import the CSV files into Delta tables")
    interactions, items, users = (folder / "data" / f"{name}.csv" for name in ("interactions", "items", "users"))
    imported = api.import_datasets(
        catalog, "demo", interactions=interactions, items=items, users=users, items_schema=_ITEMS_SCHEMA, spark=spark
    )
    _say(f"{imported}")

    _say("3. Train a solution version of the recipe aws-user-personalization")
    solution = f"demo-{time.time_ns()}"
    version = api.train(catalog, "demo", "aws-user-personalization", solution, rank=16, spark=spark)
    _say(f"   {version.arn}")

    run = partial(api.run_batch_inference, catalog, spark=spark)
    _say("4. Run a CreateBatchInferenceJob request")
    _run(run, folder, _request(folder, version.arn, "users", _LINES))

    _say("5. Train a version of aws-similar-items, and ask for themes")
    similar = api.train(catalog, "demo", "aws-similar-items", f"{solution}-similar", rank=16, spark=spark)
    _run(run, folder, _request(folder, similar.arn, "items", _THEMED, **_THEMES))
    _say(f"Done in {time.monotonic() - started:.0f} s. {hint}")


def write_catalogue(folder: Path, chance: random.Random) -> None:
    """Write interactions.csv, items.csv and users.csv of a small world in which users have favourite genres."""
    folder.mkdir(parents=True, exist_ok=True)
    genres = [chance.sample(_GENRES, chance.choice((1, 1, 2))) for _ in range(_ITEMS)]
    tastes = [chance.choices(_GENRES, k=2) for _ in range(_USERS)]
    items = [(f"film-{i}", "|".join(genres[i]), chance.randint(1970, 2023)) for i in range(_ITEMS)]
    users = ((f"user-{u}", chance.randint(16, 80)) for u in range(_USERS))
    _write(folder / "users.csv", ("USER_ID", "AGE"), users)
    described = ((*item, f"Film {i}", _description(genres[i], i)) for i, item in enumerate(items))
    _write(folder / "items.csv", ("ITEM_ID", "GENRES", "YEAR", "TITLE", "DESCRIPTION"), described)
    header = ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE")
    _write(folder / "interactions.csv", header, _interactions(genres, tastes, chance))


def _description(genres: Sequence[str], number: int) -> str:
    scenes = " and ".join(_SCENES[genre][number % 2] for genre in genres)
    return f"{'An' if genres[0][0] in 'AEIOU' else 'A'} {genres[0].lower()} about {scenes}."


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


def _request(folder: Path, version: str, name: str, lines: Sequence[str], **more: object) -> dict[str, Any]:
    """Write the input and the request of a job; returns the request."""
    (folder / "input").mkdir(exist_ok=True)
    (folder / "input" / f"{name}.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    request: dict[str, Any] = {
        "jobName": f"demo-{time.time_ns()}",
        "solutionVersionArn": version,
        "numResults": 5,
        "jobInput": {"s3DataSource": {"path": f"file://{folder}/input/{name}.json"}},
        "jobOutput": {"s3DataDestination": {"path": f"file://{folder}/output/"}},
        "roleArn": "arn:aws:iam::000000000000:role/PersonalizeBatch",
        **more,
    }
    (folder / f"request-{name}.json").write_text(json.dumps(request, indent=2), encoding="utf-8")
    return request


def _run(run: Callable[..., object], folder: Path, request: dict[str, Any]) -> None:
    """Run a job, and print its request, its input and its output."""
    with ProgressLine(sys.stderr) as line:
        report = run(request, progress=line.show)
    _say(f"{report}\n")
    source = Path(request["jobInput"]["s3DataSource"]["path"].removeprefix("file://"))
    out = folder / "output" / f"{source.name}.out"
    print(f"request-{source.stem}.json\n{json.dumps(request, indent=2)}\n")  # the demo's result
    print(f"{source}\n{source.read_text(encoding='utf-8')}")
    print(f"{out}\n{out.read_text(encoding='utf-8')}", flush=True)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
