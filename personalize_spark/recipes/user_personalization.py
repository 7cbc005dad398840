"""User-Personalization and the HRNN family: `score(u, i) = exp(t w_u . w_i) / sum_j exp(t w_u . w_j)`, j over all items.

The formula is the service's (developer guide, "How recommendation scoring works"); a filter takes items away and changes
no score. A user without a vector gets the popular items, each with its share of all interactions as score.
User-Personalization explores: see `scoring.exploration`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.recipes.recipe import USER_ID, Settings
from personalize_spark.recommendations import Recommendations
from personalize_spark.records import Object, ids_of
from personalize_spark.scoring.exploration import PLACE, Audience, Cold, explored, hashes
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import EVERYTHING, Selection, best_of, popular_of
from personalize_spark.scoring.softmax import probabilities
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import Items
from personalize_spark.scoring.users import UserRows


@dataclass(frozen=True)
class _Query:
    """Known users, what each may get, and the length of the lists."""

    ids: Sequence[str]
    users: UserRows
    selection: Selection
    n: int


@dataclass(frozen=True)
class _Scored:
    """Items, int (U, n), best first and -1 past the end, and their scores, float64 (U, n), 0 or -inf past the end."""

    items: NDArray[np.integer[Any]]
    scores: NDArray[np.float64]


def recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """Answer good lines; see `Recipe.recommend`."""
    matrix, source = model.sides()
    ids, n = ids_of(lines, USER_ID), settings.num_results
    users = source.lookup(ids)
    known, unknown = np.flatnonzero(users.known), np.flatnonzero(~users.known)
    items, scores = np.empty((len(lines), n), np.int32), np.empty((len(lines), n))
    query = _Query([ids[line] for line in known.tolist()], users.take(known), selection.take(known), n)
    best = _relevant(model, matrix, query) if model.cold is None else _exploring(model, matrix, model.cold, query)
    items[known], scores[known] = best.items, best.scores
    items[unknown] = popular_of(model.popularity_order, len(unknown), n, selection.take(unknown))
    scores[unknown] = model.popularity[items[unknown]]
    return Recommendations.of(items, scores, ~users.known)


def _relevant(model: Model, matrix: Items, query: _Query) -> _Scored:
    best = best_of(query.users.vectors, matrix, query.n, query.selection)
    return _Scored(best.items, probabilities(best.products, query.users.log_normalisers, model.curve))


def _exploring(model: Model, matrix: Items, cold: Cold, query: _Query) -> _Scored:
    """The items in scope of exploration are taken out of the search, and put in again with their bonus."""
    unmet = _unmet(query.users.vectors, matrix)
    others, fresh = (
        each.without_items(cold.rows, len(model.item_ids_json), len(query.ids)).below(len(matrix))
        for each in (query.selection, unmet)
    )
    relevant = _relevant(model, matrix, replace(query, selection=others))
    same = query.n == PLACE and query.selection.is_everything and unmet is EVERYTHING
    best = relevant if same else _relevant(model, matrix, replace(query, n=PLACE, selection=fresh))
    marks = _last_of(best, 1 / len(matrix))
    if unmet is not EVERYTHING:  # the mark is lower
        cold = replace(cold, weight=math.sqrt(cold.weight))
    audience = Audience(hashes(query.ids), query.users, marks, model.curve)
    found = explored(audience, matrix, cold, query.selection, query.n)
    shrunk = np.where(relevant.items < 0, -np.inf, relevant.scores / (1 + found.masses)[:, None])
    items = np.concatenate([relevant.items, found.items], axis=1)
    scores = np.concatenate([shrunk, found.scores], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : query.n]
    return _Scored(np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1))


def _unmet(vectors: NDArray[Any], matrix: Items) -> Selection:
    """Every item but those that a row of sparse items names: what a user has met leads to itself by way of the others.

    `EVERYTHING` itself where users are no such rows.
    """
    if not isinstance(matrix, SparseItems):
        return EVERYTHING
    lines, places = np.nonzero(vectors >= 0)
    return Selection(excluded=Ragged.of_pairs(lines, vectors[lines, places], len(vectors)))


def _last_of(best: _Scored, default: float) -> NDArray[np.float64]:
    """Float64 (U,): the last score of each list; of an empty one the default."""
    there = np.count_nonzero(best.items >= 0, axis=1)
    last = best.scores[np.arange(len(there)), np.maximum(there - 1, 0)]
    return np.where(there > 0, last, default)
