"""Catalogues to find themes in: films, and generated shops in English, German and Japanese, each with sets of similar items."""

from __future__ import annotations

import csv
import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.factors import FOLDER
from benchmarks.shops import SHOPS, product
from personalize_spark.answer import answer
from personalize_spark.api import import_datasets, train
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import find_active_version
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.schemas import ITEMS, Column, Schema

SET = 25
"""Items of a set: the service's default for a list."""
_LEAST_EVENTS = 10
"""Films with fewer events are not asked about."""
_NOISE = 1.0
"""What similarity of products has that their texts do not tell."""

SCHEMA = Schema(
    ITEMS,
    (
        Column("ITEM_ID", "string"),
        Column("TITLE", "string"),
        Column("CATEGORY", "string", nullable=True, categorical=True),
        Column("DESCRIPTION", "string", nullable=True, textual=True),
    ),
)
Row = tuple[str, str, str, str]
"""Id, title, categories, description."""


@dataclass(frozen=True)
class Catalogue:
    """A catalogue, and items to ask about.

    Attributes:
        name: what it is.
        table: its items by ascending id, the columns of `SCHEMA`.
        questions: rows of items.
        sets: the rows of the items that are most similar to each, int64 (n,).
    """

    name: str
    table: pa.Table
    questions: Sequence[int]
    sets: Sequence[NDArray[np.int64]]


def catalogues(questions: int, seed: int) -> Iterator[Catalogue]:
    """All catalogues that are here; MovieLens is if its files are."""
    if (FOLDER / "movies.csv").exists():
        yield films(questions, seed)
    for language, count in (("english", 5_000), ("german", 2_000), ("japanese", 1_000)):
        yield shop(language, count, questions, seed)


def films(questions: int, seed: int) -> Catalogue:
    """MovieLens, its tags as descriptions; the sets are the answers of a trained version of aws-similar-items."""
    tags: dict[str, list[str]] = defaultdict(list)
    for row in _rows_of("tags.csv"):
        tags[row["movieId"]].append(row["tag"])
    movies = _rows_of("movies.csv")
    table = table_of([(row["movieId"], row["title"], row["genres"], ". ".join(tags[row["movieId"]])) for row in movies])
    place = {each: number for number, each in enumerate(table.column("ITEM_ID").to_pylist())}
    events = Counter(row["ITEM_ID"] for row in _rows_of("interactions.csv"))
    known = sorted(each for each, count in events.items() if count >= _LEAST_EVENTS and each in place)
    asked = sorted(random.Random(seed).sample(known, questions))
    lists = _similar(table, asked)
    sets = [np.array([place[each] for each in items if each in place], np.int64) for items in lists]
    return Catalogue("films", table, [place[each] for each in asked], sets)


def _similar(table: pa.Table, asked: Sequence[str]) -> list[list[str]]:
    """The answers of a version that is trained on the interactions and the items."""
    with tempfile.TemporaryDirectory() as folder:
        catalog, items = Catalog(f"{folder}/catalog"), Path(folder, "items.csv")
        with items.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([SCHEMA.names, *zip(*table.to_pydict().values(), strict=True)])
        interactions = FOLDER / "interactions.csv"
        import_datasets(catalog, "films", interactions=interactions, items=items, items_schema=SCHEMA.avro())
        version = train(catalog, "films", "aws-similar-items", "films")
        model = read_model(Pinned(**find_active_version(catalog, version.arn).fields["model"]).open())
        lines = [json.dumps({"itemId": each}).encode() for each in asked]
        answers = answer(RECIPES["aws-similar-items"], model, Settings(SET), lines).data.splitlines()
        return [json.loads(each)["output"]["recommendedItems"] for each in answers]


def shop(language: str, count: int, questions: int, seed: int) -> Catalogue:
    """A generated shop; similar are products of one kind, or for one occasion."""
    chance, shelves = random.Random(seed), SHOPS[language]
    made = [product(shelves, chance) for _ in range(count)]
    table = table_of([(f"p{number:05d}", *each.texts) for number, each in enumerate(made)])
    features = sorted({feature for each in made for feature in each.traits})
    vectors = np.array([[each.traits.get(feature, 0.0) for feature in features] for each in made])
    vectors = vectors + np.random.default_rng(seed).normal(0, _NOISE / np.sqrt(len(features)), vectors.shape)
    asked = sorted(chance.sample(range(count), questions))
    return Catalogue(f"{language} shop", table, asked, _nearest(vectors[asked] @ vectors.T, asked))


def table_of(rows: Sequence[Row]) -> pa.Table:
    """The rows by ascending id, as columns."""
    return pa.table(dict(zip(SCHEMA.names, map(list, zip(*sorted(rows), strict=True)), strict=True)))


def _nearest(near: NDArray[np.float64], asked: Sequence[int]) -> list[NDArray[np.int64]]:
    """The items with the largest values, never the item that was asked about."""
    near[np.arange(len(asked)), asked] = -np.inf
    return list(np.argsort(-near, axis=1, kind="stable")[:, :SET].astype(np.int64))


def _rows_of(name: str) -> Iterator[Mapping[str, str]]:
    with (FOLDER / name).open(encoding="utf-8") as file:
        yield from csv.DictReader(file)
