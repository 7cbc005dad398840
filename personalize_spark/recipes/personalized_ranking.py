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

from personalize_spark.recipes.recipe import Recipe, Settings
from personalize_spark.records import Object, Recommendations, ids_of, lists_of
from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.model import Model, UserRows
from personalize_spark.scoring.products import paired_products
from personalize_spark.scoring.selection import EVERYTHING, Selection
from personalize_spark.scoring.softmax import shares_of_lists


def _recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:  # noqa: ARG001  # a list comes back whole
    matrix = model.matrix
    if matrix is None or model.users is None:
        raise ValueError("the model has no factors")
    counts, names = lists_of(lines, "itemList")
    rows, owners = model.rows_of(names), np.repeat(np.arange(len(lines)), counts)
    strange = np.flatnonzero(rows < 0)
    texts = list(dict.fromkeys(names[place] for place in strange))
    number = {text: len(model.texts) + place for place, text in enumerate(texts)}
    rows[strange] = [number[names[place]] for place in strange]
    rows, owners = _first_ones(rows, owners)
    known = rows < len(model.texts)
    scores, logits = np.zeros(len(rows)), np.full(len(rows), -np.inf)
    users = model.users.lookup([name.encode() for name in ids_of(lines, "userId")])
    logits[known] = _logits(model, matrix, users, owners[known], rows[known])
    scores[known] = shares_of_lists(logits[known], owners[known], len(lines))
    ranks = np.zeros(len(rows), np.int64)
    ranks[known] = matrix.ranks[rows[known]]
    order = np.lexsort((ranks, -logits, ~known, owners))
    if selection is not EVERYTHING:
        order = order[_allowed(selection, owners[order], rows[order], len(model.texts))]
    found = np.bincount(owners[order], minlength=len(lines))
    return Recommendations(
        found, rows[order], scores[order], [json.dumps(text, ensure_ascii=False).encode() for text in texts]
    )


def _first_ones(rows: NDArray[np.int64], owners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Without repetitions, in the order of the lists."""
    keys = owners << 32 | rows
    if len(np.unique(keys)) == len(keys):
        return rows, owners
    first = np.sort(np.unique(keys, return_index=True)[1])
    return rows[first], owners[first]


def _logits(
    model: Model, matrix: ItemMatrix, users: UserRows, owners: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Float64 (m,): the exponents of pairs of line and item."""
    with np.errstate(divide="ignore"):
        logits: NDArray[np.float64] = np.log(model.shares[rows])
    known = np.flatnonzero(users.known[owners])
    products = paired_products(users.vectors, owners[known], matrix.factors, rows[known])
    logits[known] = products * model.temperature
    return logits


def _allowed(selection: Selection, owners: NDArray[np.int64], rows: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Bool (m,): which pairs pass a filter."""
    known = rows < count
    allowed = np.full(len(rows), selection.unknown)
    allowed[known] = selection.allows(owners[known], rows[known])
    return allowed


PERSONALIZED_RANKING = Recipe("aws-personalized-ranking", ("userId", "itemList"), _recommend)
PERSONALIZED_RANKING_V2 = Recipe("aws-personalized-ranking-v2", ("userId", "itemList"), _recommend)
