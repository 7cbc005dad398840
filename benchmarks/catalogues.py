"""Catalogues to find themes in: films, and generated shops in English, German and Japanese, each with sets of similar items."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from benchmarks.factors import FOLDER
from personalize_spark.schemas import ITEMS, Column, Schema

SET = 25
"""Items of a set: the service's default for a list."""
_LEAST_USERS, _SHRINKAGE = 10, 5.0
"""Films with fewer users are not asked about; what pulls the similarity of films with few users in common to 0."""
_NOISE = 0.25

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
    """MovieLens, its tags as descriptions; similar are films that the same users met."""
    tags: dict[str, list[str]] = defaultdict(list)
    for row in _rows_of("tags.csv"):
        tags[row["movieId"]].append(row["tag"])
    rows = [
        (each["movieId"], each["title"], each["genres"], ". ".join(tags[each["movieId"]]))
        for each in _rows_of("movies.csv")
    ]
    table = table_of(rows)
    place = {each: number for number, each in enumerate(table.column("ITEM_ID").to_pylist())}
    pairs = sorted(
        {(row["USER_ID"], row["ITEM_ID"]) for row in _rows_of("interactions.csv") if row["ITEM_ID"] in place}
    )
    users = {user: number for number, user in enumerate(sorted({user for user, _ in pairs}))}
    met = csr_array(
        (np.ones(len(pairs)), ([users[user] for user, _ in pairs], [place[item] for _, item in pairs])),
        shape=(len(users), len(place)),
    )
    met = csr_array(met.multiply(1 / np.log1p(met.sum(axis=1))[:, None]))
    popular = np.flatnonzero((met > 0).sum(axis=0) >= _LEAST_USERS)
    asked = sorted(random.Random(seed).sample(popular.tolist(), questions))
    lengths = np.sqrt(np.asarray(met.power(2).sum(axis=0)))
    near = (met[:, asked].T @ met).toarray() / (lengths[asked][:, None] * lengths[None] + _SHRINKAGE)
    return Catalogue("films", table, asked, _nearest(near, asked))


def shop(language: str, count: int, questions: int, seed: int) -> Catalogue:
    """A generated shop; similar are products of one kind, or for one occasion."""
    from benchmarks.shops import SHOPS, product

    chance, shelves = random.Random(seed), SHOPS[language]
    made = [product(shelves, chance) for _ in range(count)]
    table = table_of([(f"p{number:05d}", *each.texts) for number, each in enumerate(made)])
    features = sorted({feature for each in made for feature in each.traits})
    vectors = np.array([[each.traits.get(feature, 0.0) for feature in features] for each in made])
    vectors = vectors + np.random.default_rng(seed).normal(0, _NOISE / np.sqrt(len(features)), vectors.shape) * 4
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
