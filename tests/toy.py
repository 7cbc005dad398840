"""Small solution versions with known answers, written into a catalog as a training writes them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from personalize_spark.arns import Arn
from personalize_spark.scoring.model import Model, Texts
from personalize_spark.scoring.softmax import log_normaliser
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.storage.artifact import Artifact, finish, write_table
from personalize_spark.storage.catalog import Catalog
from personalize_spark.storage.model import USERS, users_schema, write_items
from personalize_spark.storage.shards import keys_of, shard_name, shards_of

GOLDEN = {"a": 0.8449224, "b": 0.1458153, "c": 0.008885, "d": 0.0003773}
"""The whole-catalogue probabilities of the toy model of the golden pairs."""


def golden_version(catalog: Catalog, recipe: str = "aws-user-personalization") -> Arn:
    """The golden toy: one user, u1; popularity in the order a, b, c, d."""
    factors = np.log(np.array(list(GOLDEN.values())))[:, None].astype(np.float32)
    return write_version(catalog, recipe, list(GOLDEN), factors, {"u1": np.ones(1, np.float32)}, [40, 30, 20, 10])


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
) -> Arn:
    """An ACTIVE solution version; `factors` (I, d) and `counts` (I,) are parallel to `items`, ids in ascending order."""
    ranks = np.arange(len(items), dtype=np.int32)
    if recipe == "aws-popularity-count":
        order = np.lexsort((ranks, -np.asarray(counts)))
        matrix = None
    else:
        matrix, order = ItemMatrix.sort(factors, ranks, np.stack(list(users.values())) if users else None)
    shares = np.asarray(counts, np.float64)[order] / np.sum(counts)
    popular = np.lexsort((ranks[order], -shares)).astype(np.int32)
    model = Model(Texts.of([orjson.dumps(items[row]) for row in order]), popular, shares, matrix, None, temperature)
    arn = Arn("aws", "us-east-1", "000000000000", "solution", name, f"{time.time_ns() & 0xFFFFFFFF:08x}")
    store = catalog.store.at(f"models/{arn.name}/{arn.version}")
    entries = write_items(store, model)
    if matrix is not None:
        ids = [user.encode() for user in users]
        vectors = np.stack(list(users.values())) if users else np.zeros((0, factors.shape[1]), np.float32)
        keys = keys_of(ids)
        normalisers = log_normaliser(vectors, matrix.factors, temperature)
        for shard in range(shards):
            rows = [
                row
                for row in sorted(range(len(ids)), key=lambda row: (keys[row], ids[row]))
                if shards_of(keys, shards)[row] == shard
            ]
            columns = [
                pa.array(keys[rows]),
                pa.array([ids[row] for row in rows], pa.binary()),
                pa.FixedSizeListArray.from_arrays(vectors[rows].ravel(), factors.shape[1]),
                pa.array(normalisers[rows]),
            ]
            batch = pa.RecordBatch.from_arrays(columns, schema=users_schema(factors.shape[1]))
            entries.append(write_table(store, shard_name(USERS, shard), batch))
    finish(store, entries, {"recipe": recipe, "temperature": temperature})
    catalog.create(
        arn,
        {
            "solutionVersionArn": str(arn),
            "recipeArn": f"arn:aws:personalize:::recipe/{recipe}",
            "status": "ACTIVE",
            "model": store.root,
            "modelSha256": Artifact(store).sha256,
        },
    )
    return arn


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
