"""Personalized-Ranking: each line's own list in the user's order, `exp(t w_u . w_i) / sum_j exp(t w_u . w_j)`, j over the list.

The whole list comes back: `numResults` has no meaning. Of a repeated item the first counts. Items that the model does not
know follow in their order with the score 0.0 (developer guide, "Getting a personalized ranking"). A user without a vector
sees the list by popularity, each item with its share of the list's interactions. What a filter takes away is gone; the
scores of the others stay.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from personalize_spark.recipes.recipe import ITEM_LIST, USER_ID, Settings
from personalize_spark.records import Object, Recommendations, ids_of, lists_of
from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.model import Model, UserRows
from personalize_spark.scoring.products import paired_products
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import EVERYTHING, Selection
from personalize_spark.scoring.softmax import shares_of_lists

_MOST, _BEHIND = 1e12, 1e15
"""Exponents count up to here; and what the model does not know comes behind."""


def recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:  # noqa: ARG001  # a list comes back whole
    """Answer good lines; see `Recipe.recommend`."""
    matrix = model.matrix
    if matrix is None or model.users is None:
        raise ValueError("the model has no factors")
    counts, names = lists_of(lines, ITEM_LIST)
    rows, strangers = _numbered(model, names)
    owners, known = np.repeat(np.arange(len(lines)), counts), rows < len(matrix.factors)
    users = model.users.lookup([name.encode() for name in ids_of(lines, USER_ID)])
    keys = _BEHIND + np.arange(len(rows), dtype=np.float64)
    logits = _logits(model, matrix, users, owners[known], rows[known])
    keys[known] = np.clip(-logits, -_MOST, _MOST)
    order = _ordered(keys, counts, owners, np.where(known, matrix.ranks[np.where(known, rows, 0)], 0))
    order = _first_ones(order, owners, rows, known)
    rows, owners, known, keys = rows[order], owners[order], known[order], keys[order]
    scores = np.zeros(len(rows))
    scores[known] = shares_of_lists(-keys[known], owners[known], len(lines))
    if selection is not EVERYTHING:
        allowed = _allowed(selection, owners, rows, len(model.item_ids_json))
        rows, owners, scores = rows[allowed], owners[allowed], scores[allowed]
    return Recommendations(np.bincount(owners, minlength=len(lines)), rows, scores, strangers)


def _numbered(model: Model, names: Sequence[str]) -> tuple[NDArray[np.int64], list[bytes]]:
    """The row of each item, I + k for the k-th that the model does not know; and the JSON texts of those."""
    rows = model.rows_of(names)
    strange = np.flatnonzero(rows < 0).tolist()
    numbers = {
        name: place
        for place, name in enumerate(dict.fromkeys(names[place] for place in strange), len(model.item_ids_json))
    }
    rows[strange] = [numbers[names[place]] for place in strange]
    return rows, [json.dumps(name, ensure_ascii=False).encode() for name in numbers]


def _ordered(
    keys: NDArray[np.float64], counts: NDArray[np.int64], owners: NDArray[np.int64], ranks: NDArray[np.int32]
) -> NDArray[np.int64]:
    """int64 (m,): the order of each list by key, then rank; only lists in which keys are equal look at the ranks."""
    order = Ragged.of_lengths(counts, keys).argsort()
    ordered = keys[order]
    tied = np.zeros(len(counts), np.bool_)
    tied[owners[1:][(ordered[1:] == ordered[:-1]) & (owners[1:] == owners[:-1])]] = True
    part = np.flatnonzero(tied[owners])
    order[part] = part[np.lexsort((ranks[part], keys[part], owners[part]))]
    return order


def _first_ones(
    order: NDArray[np.int64], owners: NDArray[np.int64], rows: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The order without the repetitions of an item in a list; a known item lies beside itself, others may lie anywhere."""
    keys = owners[order] << 32 | rows[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = keys[1:] != keys[:-1]
    strange = np.flatnonzero(~known[order])
    fresh[strange] = False
    fresh[strange[np.unique(keys[strange], return_index=True)[1]]] = True
    return order[fresh]


def _logits(
    model: Model, matrix: ItemMatrix, users: UserRows, owners: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Float64 (m,): the exponents of pairs of line and item."""
    with np.errstate(divide="ignore"):
        logits: NDArray[np.float64] = np.log(model.popularity[rows])
    known = np.flatnonzero(users.known[owners])
    products = paired_products(users.vectors, owners[known], matrix.factors, rows[known])
    logits[known] = products * model.temperature
    return logits


def _allowed(selection: Selection, owners: NDArray[np.int64], rows: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Bool (m,): which pairs pass a filter."""
    known = rows < count
    allowed = np.ones(len(rows), np.bool_) if selection.unknown_items is None else selection.unknown_items[owners]
    allowed[known] = selection.allows(owners[known], rows[known])
    return allowed
