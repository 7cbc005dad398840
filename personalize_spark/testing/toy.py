"""Small solution versions with known answers, written into a catalog as a training writes them."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from personalize_spark.artifacts.artifact import Entry, Pinned, finish, write_column, write_table
from personalize_spark.artifacts.model import read_model, users_schema, vector_type, write_items
from personalize_spark.artifacts.shards import USERS, keys_of, shard_name, shards_of
from personalize_spark.artifacts.themes import write_themes
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.resources import dataset_arn
from personalize_spark.catalog.status import Status
from personalize_spark.recipes import RECIPES, ModelKind
from personalize_spark.schemas import ITEMS, Column, Schema
from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.products import products
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.softmax import log_normalisers
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import ItemMatrix, Items, products_of
from personalize_spark.storage.store import Store
from personalize_spark.themes.relevance import centroids, unit
from personalize_spark.themes.terms import Terms, Texts
from personalize_spark.training.themes import Embedding, Semantic, learn_themes, words_about

NO_EXPLORATION = {"itemExplorationConfig": {"explorationWeight": "0"}}
"""A batchInferenceJobConfig."""
SCORED = 60
"""How many items a v2 recipe scores for a user; items that tie with the last of them are scored too."""
NEIGHBOURS = 12
"""How long the lists of SIMS are."""
GOLDEN = {"a": 0.8449224, "b": 0.1458153, "c": 0.008885, "d": 0.0003773}
"""The whole-catalogue probabilities of the toy model of the golden pairs."""


@dataclass(frozen=True)
class World:
    """Items and users as plain lists of numbers, their factors; `counts` are the items' interactions."""

    items: Mapping[str, Sequence[float]]
    users: Mapping[str, Sequence[float]]
    counts: Mapping[str, int]
    temperature: float


@functools.cache
def random_world(seed: int = 1, items: int = 300, users: int = 40, rank: int = 8) -> World:
    """Random factors; a tenth of the items are twins of others, so that scores tie."""
    random = np.random.default_rng(seed)
    factors = random.normal(0, 0.6, (items, rank)).astype(np.float32)
    factors[random.choice(items, items // 10, replace=False)] = factors[0]
    ids = sorted((f"i{n}" if n % 7 else f'i"é{n}' for n in range(items)), key=str.encode)
    vectors = random.normal(0, 0.8, (users, rank)).astype(np.float32)
    return World(
        items={name: list(map(float, row)) for name, row in zip(ids, factors, strict=True)},
        users={f"u{n}": list(map(float, row)) for n, row in enumerate(vectors)},
        counts={name: int(count) for name, count in zip(ids, random.integers(0, 9, items), strict=True)},
        temperature=1.7,
    )


def model_of(world: World, recipe: str, folder: Path) -> Model:
    """The world as a solution version on disk, read as a task reads it."""
    catalog = Catalog(f"file://{folder}")
    record = catalog.read(world_version(catalog, world, recipe)).fields
    return read_model(Pinned(**record["model"]).open())


def sparse_model_of(world: World, recipe: str, folder: Path, *, scored: int = SCORED) -> Model:
    """The world's names and counts as a sparse model on disk (see `scoring.sparse`); what leads where is drawn by chance."""
    chance, count, width = np.random.default_rng(len(world.items)), len(world.items), 4
    order = np.lexsort((np.arange(count), -np.array(list(world.counts.values()))))
    lists = [chance.permutation(count)[: min(20, count)] for _ in range(count)]
    leads = Ragged.of_lengths(np.array([len(each) for each in lists]), np.concatenate(lists).astype(np.int32))
    weights = chance.choice(np.array([0.5, 0.25, 0.3], np.float32), len(leads.values))
    counts = np.array(list(world.counts.values()))[order]
    prior, decay = np.log1p(counts).astype(np.float32), (0.5 ** np.arange(width)).astype(np.float32)
    sparse = SparseItems(leads, weights, decay, prior, order.astype(np.int32), 0.1)
    curve = Curve(world.temperature, 0.3)
    histories = [chance.permutation(count)[:width] for _ in world.users]
    vectors = Ragged.of_lengths(
        np.array([min(width, count)] * len(histories)), np.concatenate(histories).astype(np.int32)
    ).padded(width, -1)
    texts = JsonTexts.of([orjson.dumps(name) for name in np.array(list(world.items), object)[order]])
    model = Model(texts, np.arange(count, dtype=np.int32), counts / max(1, counts.sum()), sparse=sparse)
    store = Catalog(f"file://{folder}").store.at("models/sparse")
    limit = RECIPES[recipe].scored and scored
    entries = write_items(store, model)
    entries += write_toy_users(store, list(world.users), vectors, sparse, curve, 3, limit)
    properties = {"recipe": recipe, **asdict(curve), "share": sparse.share}
    return read_model(finish(store, entries, properties | ({} if limit is None else {"scored": limit})).open())


def world_version(catalog: Catalog, world: World, recipe: str) -> Arn:
    """The world as a solution version of a recipe."""
    return write_version(
        catalog,
        recipe,
        list(world.items),
        np.array(list(world.items.values()), np.float32),
        {user: np.array(vector, np.float32) for user, vector in world.users.items()},
        list(world.counts.values()),
        temperature=world.temperature,
    )


def golden_version(catalog: Catalog, recipe: str = "aws-user-personalization", *, scored: int = SCORED) -> Arn:
    """The golden toy: one user, u1; popularity in the order a, b, c, d."""
    factors = np.log(np.array(list(GOLDEN.values())))[:, None].astype(np.float32)
    counts, queries = [40, 30, 20, 10], np.ones((4, 1), np.float32)
    users = {"u1": np.ones(1, np.float32)}
    return write_version(catalog, recipe, list(GOLDEN), factors, users, counts, scored=scored, queries=queries)


def golden_group(catalog: Catalog, name: str = "shop") -> Record:
    """A dataset group of the golden toy's items and one that is new; all but `b` cost 1.

    A filter or exploration finds it where the version's record names it:
    ``catalog.update(catalog.read(version), datasetGroupArn=str(group.arn))``.
    """
    store = catalog.store.at(f"views/{name}/1")
    ids = [*GOLDEN, "new"]
    columns = {
        "id": pa.array([each.encode() for each in ids], pa.binary()),
        "creation_timestamp": np.full(5, 86_400),
        "dated": np.ones(5, np.bool_),
        "interactions": np.array([40, 30, 20, 10, 0]),
        "impressions": np.zeros(5, np.int64),
    }
    entries = [write_table(store, "items", pa.RecordBatch.from_pydict(columns))]
    entries += [write_column(store, "items/PRICE", np.array([1, 2, 1, 1, 1]))]
    entries += [write_column(store, "items/PRICE.valid", np.ones(5, np.bool_))]
    items = Schema(ITEMS, (Column("ITEM_ID", "string"), Column("PRICE", "long")))
    properties = {"schemas": {ITEMS: items.avro()}, "eventTypes": [], "items": 5, "latestTimestamp": 86_400}
    view = finish(store, entries, properties)
    arn = Arn("aws", "us-east-1", "000000000000", "dataset-group", name)
    fields = {"name": name, "datasetGroupArn": str(arn), "view": vars(view), "status": Status.ACTIVE}
    return catalog.create(arn, fields)


def write_version(
    catalog: Catalog,
    recipe: str,
    items: Sequence[str],
    factors: NDArray[np.float32],
    users: Mapping[str, NDArray[np.float32]],
    counts: Sequence[int],
    *,
    temperature: float = 1.0,
    shards: int = 3,
    name: str = "toy",
    scored: int = SCORED,
    queries: NDArray[np.float32] | None = None,
) -> Arn:
    """An ACTIVE solution version; all arrays are parallel to `items`, ids in ascending order; `queries` are the factors."""
    ranks = np.arange(len(items), dtype=np.int32)
    vectors = np.stack(list(users.values())) if users else np.zeros((0, factors.shape[1]), np.float32)
    kind = RECIPES[recipe].model
    if kind in {ModelKind.COUNTS, ModelKind.NEIGHBOURS}:
        order = np.lexsort((ranks, -np.asarray(counts)))
        matrix = None
    else:
        matrix, order = ItemMatrix.sort(factors, ranks, vectors if users else None)
    shares = np.asarray(counts, np.float64)[order] / np.sum(counts)
    popular = np.lexsort((ranks[order], -shares)).astype(np.int32)
    model = Model(
        JsonTexts.of([orjson.dumps(items[row]) for row in order]), popular, shares, matrix, None, Curve(temperature)
    )
    questions = (factors if queries is None else queries)[order].copy()
    if kind is ModelKind.WORDS:
        questions[:, -2:] = 0
    if kind in {ModelKind.ITEM_FACTORS, ModelKind.WORDS}:
        model = replace(model, queries=questions)
    if kind is ModelKind.NEIGHBOURS:
        model = replace(model, neighbours=neighbours_of(questions, factors[order], ranks[order]))
    arn = Arn("aws", "us-east-1", "000000000000", "solution", name, f"{time.time_ns() & 0xFFFFFFFF:08x}")
    store = catalog.store.at(f"models/{arn.name}/{arn.version}")
    entries = write_items(store, model)
    properties: dict[str, object] = {"recipe": recipe, "temperature": temperature}
    if RECIPES[recipe].scored is not None:
        properties["scored"] = scored
    if matrix is not None and model.queries is None:
        entries += write_toy_users(store, list(users), vectors, matrix, model.curve, shards, properties.get("scored"))
    pinned = finish(store, entries, properties)
    catalog.create(
        arn,
        {
            "solutionVersionArn": str(arn),
            "recipeArn": RECIPES[recipe].arn,
            "status": Status.ACTIVE,
            "model": asdict(pinned),
        },
    )
    return arn


class Hashed(Semantic):
    """Sums of a random vector for each word: no LAPACK decides the digits."""

    def vectors(self, items: Sequence[Texts], terms: Terms) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `training.themes.Embedding`."""
        sums = np.zeros((len(items), 16))
        for row, item in enumerate(items):
            for word in words_about(item):
                sums[row] += np.random.default_rng(crc32(word.encode())).integers(-9, 10, 16)
        vectors = unit(sums).round(4).astype(np.float32)
        return vectors, centroids(terms.items, vectors, len(terms.texts))


def themed_version(
    catalog: Catalog,
    table: pa.Table,
    schema: Schema,
    factors: NDArray[np.float32],
    embedding: Embedding | None = None,
) -> Arn:
    """A version of aws-similar-items in a dataset group with an Items dataset, with what themes are made from.

    Args:
        catalog: gets it all.
        table: the rows of Items by ascending id.
        schema: of Items.
        factors: float32 (I, d), of the rows.
        embedding: of the themes; if left out, one whose digits are the same on every machine.
    """
    counts = list(range(table.num_rows, 0, -1))
    version = write_version(catalog, "aws-similar-items", table.column("ITEM_ID").to_pylist(), factors, {}, counts)
    group = catalog.create(version.sibling("dataset-group", "toy"), {"name": "toy", "status": Status.ACTIVE})
    record = catalog.create(group.arn.sibling("schema", "toy-items"), {"schema": schema.avro()})
    imported = {"schemaArn": str(record.arn), "deltaVersion": 0, "status": Status.ACTIVE}
    catalog.create(dataset_arn(group.arn, ITEMS), imported)
    store = catalog.store.at(f"models/{version.name}/{version.version}/themes")
    themes = asdict(write_themes(store, learn_themes(table, schema.columns, embedding or Hashed())))
    catalog.update(catalog.read(version), datasetGroupArn=str(group.arn), themes=themes)
    return version


def neighbours_of(
    questions: NDArray[np.float32], factors: NDArray[np.float32], ranks: NDArray[np.int32]
) -> Ragged[np.int32]:
    """The `NEIGHBOURS` items with the largest product, by brute force."""
    exact = products(questions[:, None], factors[None])
    np.fill_diagonal(exact, -np.inf)
    count = min(NEIGHBOURS, len(factors) - 1)
    best = [np.lexsort((ranks, -row))[:count] for row in exact]
    return Ragged.of_lengths(np.full(len(factors), count), np.concatenate(best).astype(np.int32))


def write_toy_users(
    store: Store,
    names: Sequence[str],
    vectors: NDArray[Any],
    matrix: Items,
    curve: Curve,
    shards: int,
    scored: object,
) -> list[Entry]:
    """The shards of users; with `scored`, only so many items of each have a score."""
    ids = [user.encode() for user in names]
    keys = keys_of(ids)
    columns = {"log_normaliser": log_normalisers(vectors, matrix, curve)}
    if isinstance(scored, int):
        lines, items = np.divmod(np.arange(len(vectors) * len(matrix)), len(matrix))
        exact = products_of(vectors, lines, matrix, items).reshape(len(vectors), len(matrix))
        floors = np.sort(exact, axis=1)[:, -min(scored, exact.shape[1])]
        inside = np.where(exact >= floors[:, None], exact, -np.inf)
        columns = {"log_normaliser": np.log(np.exp(curve.exponents(inside)).sum(axis=1)), "floor": floors}
    schema = users_schema(matrix.width, floors=scored is not None, of=vector_type(matrix))
    entries, places = [], shards_of(keys, shards)
    for shard in range(shards):
        rows = [row for row in sorted(range(len(ids)), key=lambda row: (keys[row], ids[row])) if places[row] == shard]
        arrays = [
            pa.array(keys[rows]),
            pa.array([ids[row] for row in rows], pa.binary()),
            pa.FixedSizeListArray.from_arrays(vectors[rows].ravel(), matrix.width),
            *(pa.array(column[rows]) for column in columns.values()),
        ]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        entries.append(write_table(store, shard_name(USERS, shard), batch))
    return entries


def request(version: Arn, input_path: str, output_path: str, **more: object) -> dict[str, object]:
    """A CreateBatchInferenceJob request."""
    return {
        "jobName": f"job-{time.time_ns()}",
        "solutionVersionArn": str(version),
        "jobInput": {"s3DataSource": {"path": input_path}},
        "jobOutput": {"s3DataDestination": {"path": output_path}},
        "roleArn": "arn:aws:iam::111122223333:role/PersonalizeBatch",
        **more,
    }
