"""Factors to measure with: implicit ALS on MovieLens, resampled to any size, and equal norms as the worst case."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(
    os.environ.get("PERSONALIZE_SPARK_MOVIELENS", Path(__file__).parents[2] / "shared" / "data" / "movielens")
)
RANK = 64
STEP = 0.5
"""How far a resampled vector is moved towards another one's direction, in units of its length."""

Factors = tuple[NDArray[np.float64], NDArray[np.float64]]


def factor_sets() -> dict[str, Factors]:
    """Users and items by name; the names say what they are."""
    if not (FOLDER / "interactions.csv").exists():
        return {
            "stand-in (no MovieLens here): falling spectrum, log-normal norms": _stand_in(),
            "equal norms": _equal(),
        }
    return {
        "MovieLens, ALS with implicit's defaults (regularisation 0.01)": _als(0.01, per_interaction=False),
        "MovieLens, ALS with Spark's defaults (regularisation 0.1 x interactions)": _als(0.1, per_interaction=True),
        "equal norms": _equal(),
    }


def resample(vectors: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """As many vectors as asked: the given ones, then copies with their norms, moved towards the direction of another one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors, lengths = vectors[lengths[:, 0] > 0], lengths[lengths[:, 0] > 0]
    one, other = rng.integers(0, len(vectors), (2, max(count - len(vectors), 0)))
    moved = vectors[one] / lengths[one] + STEP * vectors[other] / lengths[other]
    moved *= lengths[one] / np.linalg.norm(moved, axis=1, keepdims=True)
    return rng.permutation(np.concatenate((vectors, moved)))[:count].astype(np.float32)


def _equal() -> Factors:
    rng = np.random.default_rng(0)
    items = rng.standard_normal((10_000, RANK))
    return rng.standard_normal((1000, RANK)), items / np.linalg.norm(items, axis=1, keepdims=True)


def _stand_in() -> Factors:
    rng = np.random.default_rng(0)
    spectrum = np.geomspace(1, 0.3, RANK)
    users, items = rng.standard_normal((1000, RANK)) * spectrum, rng.standard_normal((10_000, RANK)) * spectrum
    return users, items * np.exp(0.6 * rng.standard_normal((len(items), 1)))


def _als(regularisation: float, *, per_interaction: bool) -> Factors:
    """Implicit ALS (Hu, Koren and Volinsky, 2008) with confidence 1 + count, ten rounds."""
    users, items, counts = _interactions()
    rng = np.random.default_rng(0)
    x, y = (0.01 * rng.standard_normal((index.max() + 1, RANK)) for index in (users, items))
    for _ in range(10):
        x = _half(users, items, counts, y, regularisation, per_interaction=per_interaction)
        y = _half(items, users, counts, x, regularisation, per_interaction=per_interaction)
    return x, y


def _interactions() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    with (FOLDER / "interactions.csv").open(encoding="utf-8") as file:
        pairs = [(row["USER_ID"], row["ITEM_ID"]) for row in csv.DictReader(file)]
    users, items = (np.unique(column, return_inverse=True)[1] for column in zip(*pairs, strict=True))
    found, counts = np.unique(np.stack((users, items)), axis=1, return_counts=True)
    return found[0], found[1], counts


def _half(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    counts: NDArray[np.int64],
    fixed: NDArray[np.float64],
    regularisation: float,
    *,
    per_interaction: bool,
) -> NDArray[np.float64]:
    """Solve one side while the other one is fixed."""
    order = np.argsort(rows, kind="stable")
    rows, columns, counts = rows[order], columns[order], counts[order]
    bounds = np.searchsorted(rows, np.arange(rows.max() + 2))
    solved, gram = np.empty((rows.max() + 1, RANK)), fixed.T @ fixed
    for row in range(len(solved)):
        part = slice(bounds[row], bounds[row + 1])
        seen, weight = fixed[columns[part]], counts[part]
        penalty = regularisation * (len(seen) if per_interaction else 1)
        matrix = gram + (seen.T * weight) @ seen + penalty * np.eye(RANK)
        solved[row] = np.linalg.solve(matrix, (1 + weight) @ seen)
    return solved
