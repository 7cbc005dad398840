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
from personalize_spark.recommendations import Recommendations
from personalize_spark.records import Object, ids_of, lists_of
from personalize_spark.scoring.kernel import kernel
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import EVERYTHING, Selection
from personalize_spark.scoring.softmax import softmax_of_rows
from personalize_spark.scoring.topn import Items, products_of
from personalize_spark.scoring.users import UserRows

_NEVER = np.finfo(np.float64).tiny
"""The share of an item without interactions: its logarithm is finite, and no score shows it."""


def recommend(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:  # noqa: ARG001  # a list comes back whole
    """Answer good lines; see `Recipe.recommend`."""
    matrix, users = model.sides()
    asked, unknown_items = _numbered(model, lines)
    learned = asked.values < len(matrix)
    known = asked.where(learned)
    found = users.lookup(ids_of(lines, USER_ID))
    keys = known.with_values(_keys(model, matrix, found, known))
    order = _order(keys, matrix.ranks[known.values])
    items = known.with_values(known.values[order])
    exponents = _exponents(model, found, keys.with_values(keys.values[order]))
    fresh = _first_of_neighbours(items.row_ids(), items.values)
    items, scores = items.where(fresh), softmax_of_rows(exponents.where(fresh))
    if not learned.all():
        items, scores = _followed(items, scores, _first_ones(asked.where(~learned)))
    if selection is not EVERYTHING:
        allowed = _allowed(selection, items, len(model.item_ids_json))
        items, scores = items.where(allowed), scores[allowed]
    return Recommendations(items, scores, unknown_items, unknown=~found.known)


def _numbered(model: Model, lines: Sequence[Object]) -> tuple[Ragged[np.int64], list[bytes]]:
    """The rows of each list's items, I + k for the k-th that the model does not know; and the JSON texts of those."""
    found = model.rows_of_lists([each[ITEM_LIST] for each in lines])
    if found is not None and (found.values >= 0).all():
        return found, []
    lengths, names = lists_of(lines, ITEM_LIST)
    rows = model.rows_of(names) if found is None else found.values
    unknown = np.flatnonzero(rows < 0).tolist()
    numbers = {
        name: number
        for number, name in enumerate(dict.fromkeys(names[place] for place in unknown), len(model.item_ids_json))
    }
    rows[unknown] = [numbers[names[place]] for place in unknown]
    return Ragged.of_lengths(lengths, rows), [json.dumps(name, ensure_ascii=False).encode() for name in numbers]


def _keys(model: Model, matrix: Items, users: UserRows, items: Ragged[np.int64]) -> NDArray[np.float64]:
    """Float64 (m,): what pairs of line and item are ordered by: products, or logarithms of popularity where the user is unknown."""
    lines, rows = items.row_ids(), items.values
    if users.known.all():
        return products_of(users.vectors, lines, matrix, rows)
    known = users.known[lines]
    keys: NDArray[np.float64] = np.log(
        np.maximum(model.popularity[rows], _NEVER), where=~known, out=np.zeros(len(rows))
    )
    of_known = np.flatnonzero(known)
    keys[of_known] = products_of(users.vectors, lines[of_known], matrix, rows[of_known])
    return keys


def _exponents(model: Model, users: UserRows, keys: Ragged[np.float64]) -> Ragged[np.float64]:
    """The exponents of the scores: of an unknown user's pairs the keys themselves."""
    exponents = model.curve.exponents(keys.values)
    return keys.with_values(np.where(users.known[keys.row_ids()], exponents, keys.values))


def _order(pairs: Ragged[np.float64], ranks: NDArray[np.int32]) -> NDArray[np.int64]:
    """int64 (m,): the order of each list by descending key, then rank; only what is equal to a neighbour looks at the ranks."""
    if (native := kernel()) is not None:
        return native.order_of_lists(pairs, ranks)
    keys, lines = pairs.with_values(-pairs.values), pairs.row_ids()
    order = keys.argsort()
    ordered = keys.values[order]
    equal = np.zeros(len(order) + 1, np.bool_)  # to the one before
    equal[1:-1] = (ordered[1:] == ordered[:-1]) & (lines[1:] == lines[:-1])
    part = np.flatnonzero(equal[:-1] | equal[1:])
    order[part] = order[part][np.lexsort((ranks[order[part]], np.cumsum(~equal)[part]))]
    return order


def _first_of_neighbours(lines: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Bool (m,): false for an item that its neighbour before is too; in the order of a list an item lies beside itself."""
    first = np.ones(len(items), np.bool_)
    first[1:] = (items[1:] != items[:-1]) | (lines[1:] != lines[:-1])
    return first


def _first_ones(items: Ragged[np.int64]) -> Ragged[np.int64]:
    """The lists without the repetitions of an item, which may lie anywhere."""
    first = np.zeros(len(items.values), np.bool_)
    first[np.unique(items.row_ids() << 32 | items.values, return_index=True)[1]] = True
    return items.where(first)


def _followed(
    items: Ragged[np.int64], scores: NDArray[np.float64], unlearned: Ragged[np.int64]
) -> tuple[Ragged[np.int64], NDArray[np.float64]]:
    """The lists, each with the items behind it that the model has not learned: their score is 0."""
    both = np.concatenate([items.values, unlearned.values])
    row_ids = np.concatenate([items.row_ids(), unlearned.row_ids()])
    order = Ragged.grouped(row_ids, np.arange(len(both)), len(items))
    padded = np.concatenate([scores, np.zeros(len(unlearned.values))])
    return order.with_values(both[order.values]), padded[order.values]


def _allowed(selection: Selection, items: Ragged[np.int64], count: int) -> NDArray[np.bool_]:
    """Bool (m,): which pairs of line and item pass a filter."""
    lines, rows = items.row_ids(), items.values
    known = rows < count
    allowed = np.ones(len(rows), np.bool_) if selection.unknown_items is None else selection.unknown_items[lines]
    allowed[known] = selection.allows(lines[known], rows[known])
    return allowed
