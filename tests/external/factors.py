"""One small model, written in every format that can be imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.scoring.model import Model
from personalize_spark.testing.toy import World

ITEMS, USERS, RANK = 40, 25, 5


def world(temperature: float = 1.0) -> World:
    """Random factors; some items are twins of others, so that scores tie; files hold them in an order of their own."""
    random = np.random.default_rng(3)
    factors = random.normal(0, 0.7, (ITEMS, RANK)).astype(np.float32)
    factors[::9] = factors[0]
    vectors = random.normal(0, 0.9, (USERS, RANK)).astype(np.float32)
    names = [f"i{n}" if n % 7 else f'i"é{n}' for n in random.permutation(ITEMS)]
    return World(
        items={name: row.tolist() for name, row in zip(names, factors, strict=True)},
        users={f"üser-{n}": row.tolist() for n, row in enumerate(vectors)},
        counts={name: int(count) for name, count in zip(names, random.integers(0, 9, ITEMS), strict=True)},
        temperature=temperature,
    )


def numbered(world: World) -> World:
    """The same with the places of items and users as their ids."""
    return World(
        items={str(n): row for n, row in enumerate(world.items.values())},
        users={str(n): row for n, row in enumerate(world.users.values())},
        counts={str(n): count for n, count in enumerate(world.counts.values())},
        temperature=world.temperature,
    )


def matrix(side: Mapping[str, object]) -> NDArray[np.float32]:
    return np.array(list(side.values()), np.float32)


def write_counts(folder: Path, world: World) -> str:
    """`id,count` as CSV, quoted where need be; gives the path."""
    lines = ['"' + name.replace('"', '""') + f'",{count}\n' for name, count in world.counts.items()]
    (folder / "counts.csv").write_text("id,count\n" + "".join(lines))
    return str(folder / "counts.csv")


def write_parquet(folder: Path, side: Mapping[str, object], name: str, **more: object) -> str:
    """A Parquet folder of ids and vectors; gives its URI."""
    path = folder / name
    path.mkdir()
    table = pa.table({"id": list(side), "vector": pa.array(list(side.values()), pa.list_(pa.float64())), **more})
    for part in range(2):  # two files: Spark reads them in any order
        half = table.num_rows // 2
        pq.write_table(table.slice(part * half, half if not part else None), path / f"part-{part}.parquet")
    return f"file://{path}"


def write_npy(folder: Path, side: Mapping[str, object], name: str, ids: str = "txt") -> str:
    """An array of float64 and the list of ids beside it; gives the array's URI."""
    np.save(folder / f"{name}.npy", matrix(side).astype(np.float64))
    text = "".join(f"{each}\n" for each in side) if ids == "txt" else json.dumps(list(side))
    (folder / f"{name}.ids.{ids}").write_text(text)
    return f"file://{folder}/{name}.npy"


def write_npz(folder: Path, world: World, **more: object) -> str:
    """What implicit's save writes of an ALS model; gives its URI."""
    arrays: dict[str, object] = {
        "user_factors": matrix(world.users),
        "item_factors": matrix(world.items),
        "regularization": 0.01,
        "factors": RANK,
        "use_native": True,
        "dtype": "float32",
        **more,
    }
    np.savez(folder / "model.npz", **arrays)  # type: ignore[arg-type]
    return f"file://{folder}/model.npz"


def write_map(folder: Path, side: Mapping[str, object], name: str) -> str:
    """`integer,id` as JSON Lines; gives its URI."""
    rows = [json.dumps({"integer": n, "id": each}) for n, each in enumerate(side)]
    (folder / name).write_text("\n".join(reversed(rows)))
    return f"file://{folder}/{name}"


def model_of(catalog: Catalog, arn: Arn) -> Model:
    fields = catalog.read(arn).fields
    assert fields["status"] == "ACTIVE"
    return read_model(Pinned(**fields["model"]).open())
