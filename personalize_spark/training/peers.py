"""What simple models would have recommended to the held-out users, or beside each item; `evaluate` shows it.

    cosine item-kNN    the sum over a user's items j of the cosine of the users of j and of i; all neighbours count
    EASE               the sum of B_ji, where B = I - P / diag(P), P = (X'X + 250 I)^-1 and X holds who met what
                       (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019)

They learn from what the model learned from. Only where it is cheap: of at most a million pairs, EASE of at most 3,000 items, and beside
each item where there are at most 10,000.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from personalize_spark.artifacts.heldout import COSINE, EASE
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.spark import collect_arrow
from personalize_spark.training.best import best_first
from personalize_spark.training.interactions import known
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.threads import all_cores, share

_MOST_PAIRS, _MOST_ITEMS, _MOST_ASKED = 1_000_000, 3_000, 10_000
_RIDGE = 250.0
_LENGTH = 25
_CELLS = 1 << 20
"""Scores that a thread holds at once: 8 MiB."""


def peer_lists(
    pairs: DataFrame | LocalPairs, rows: NDArray[np.int32], seen: Ragged[np.int32]
) -> dict[str, NDArray[np.int32]]:
    """By name, int32 (H, 25): the lists of each peer, in rows of the model, without what a user has seen; -1 past the end.

    Args:
        pairs: the frame of `interactions.number_pairs`, or the pairs in this process.
        rows: int32 (I,): the row of each item number.
        seen: by held-out user, what it has seen, in rows of the model.
    """
    found = _few(pairs if isinstance(pairs, LocalPairs) else known(pairs)) if len(seen) else None
    return {} if found is None else lists_of(found[0], rows[found[1]], len(rows), seen)


def _few(pairs: DataFrame | LocalPairs) -> tuple[NDArray[np.integer], NDArray[np.integer]] | None:
    """Int (m,) each: the users and items of the pairs that are not held out; `None`: they are too many."""
    if isinstance(pairs, LocalPairs):
        few = pairs.known() if len(pairs.met.values) <= _MOST_PAIRS else None
        return None if few is None else (few.users, few.items)
    if pairs.count() > _MOST_PAIRS:
        return None
    table = collect_arrow(pairs.select("user", "item"))
    return table.column("user").to_numpy(), table.column("item").to_numpy()


def item_peer_lists(
    pairs: DataFrame | LocalPairs, places: NDArray[np.int64], count: int
) -> dict[str, NDArray[np.int32]]:
    """By name, int32 (I, 25): the lists of each peer for who has met but this item; see `peer_lists`.

    Args:
        pairs: with the columns user and item, or the pairs in this process.
        places: int64 (n,): the place of each item number among the I items.
        count: I.
    """
    found = _few(pairs) if count <= _MOST_ASKED else None
    if found is None:
        return {}
    users, items = found
    itself = np.arange(count + 1)
    return lists_of(users, places[items].astype(np.int32), count, Ragged(itself, itself[:-1].astype(np.int32)))


def lists_of(
    users: NDArray[np.integer], items: NDArray[np.int32], count: int, seen: Ragged[np.int32]
) -> dict[str, NDArray[np.int32]]:
    """The lists of `peer_lists`.

    Args:
        users: int32 (m,), at least one, any numbers.
        items: int32 (m,), the item that each of them met, none twice.
        count: how many items there are.
        seen: what each asked user has seen.
    """
    from scipy.sparse import csr_array

    rows = np.unique(users, return_inverse=True)[1]
    matrix = csr_array((np.ones(len(rows)), (rows, items)), shape=(int(rows.max()) + 1, count))
    asked = csr_array((np.ones(len(seen.values)), seen.values, seen.indptr), shape=(len(seen), count))
    lists = {COSINE: _lists(lambda some: _cosine(some, matrix), asked, seen)}
    if count <= _MOST_ITEMS:
        weights = ease(matrix)
        lists[EASE] = _lists(lambda some: some @ weights, asked, seen)
    return lists


def _cosine(asked: Any, matrix: Any) -> NDArray[np.float64]:
    """Float64 (h, I), by way of the users, so that the items' own matrix need not be held."""
    scale = 1 / np.sqrt(np.maximum(matrix.sum(axis=0), 1))
    scores: NDArray[np.float64] = ((asked * scale) @ matrix.T @ matrix).toarray() * scale
    return scores


def ease(matrix: Any, ridge: float = _RIDGE) -> NDArray[Any]:
    """B, (I, I) of the dtype of the sparse matrix (U, I), which holds who met what."""
    gram = (matrix.T @ matrix).toarray()
    gram[np.diag_indices_from(gram)] += ridge
    inverse = np.linalg.inv(gram)
    weights: NDArray[Any] = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def _lists(score: Any, asked: Any, seen: Ragged[np.int32]) -> NDArray[np.int32]:
    """int32 (h, 25): of equal scores first the lower number."""
    count, items = asked.shape
    lists = np.full((count, _LENGTH), -1, np.int32)
    step = max(1, _CELLS // items)

    def fill(start: int) -> None:
        part = slice(start, min(start + step, count))
        scores, own = score(asked[part]), seen.part(part)
        scores[own.row_ids(), own.values] = -np.inf
        for row, of_user in zip(lists[part], scores, strict=True):
            there = np.flatnonzero(of_user > -np.inf)
            best = there[best_first(of_user[there], _LENGTH)]
            row[: len(best)] = best

    with all_cores() as pool:
        share(fill, range(0, count, step), pool)
    return lists
