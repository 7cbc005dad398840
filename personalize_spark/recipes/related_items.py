"""Similar-Items, SIMS and Semantic-Similarity: items like a given one, without scores; never the item itself.

An item that the model does not know, or of which it knows too little, gets the popular items; these also follow where a list
would be too short. Where the request asks for it, a line names several items, and gets what is like all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from personalize_spark.extensions import ITEM_IDS
from personalize_spark.recipes.recipe import ITEM_ID, Settings
from personalize_spark.recommendations import Recommendations
from personalize_spark.records import Object, ids_of, lists_of
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection, best_of, filled, first_of, popular_of


def by_factors(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """The order is that of `q_i . w_j`."""
    return _by_products(model, lines, settings, selection, {})


def by_words(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """The order is that of `q_i . w_j + POPULARITY p_j + FRESHNESS f_j`: p and f are the last two columns of the factors."""
    influence = {-2: settings.popularity, -1: settings.freshness}
    return _by_products(model, lines, settings, selection, influence)


def _by_products(
    model: Model, lines: Sequence[Object], settings: Settings, selection: Selection, influence: Mapping[int, float]
) -> Recommendations:
    if model.matrix is None or model.queries is None:
        raise ValueError("the model has no factors")
    own, n = _own(model, lines, settings), settings.num_results
    asked = np.flatnonzero(own.lengths)
    questions = _questions(model.queries, own.take(asked))
    told = questions.any(axis=1)
    asked, questions = asked[told], questions[told]
    for column, weight in influence.items():
        questions[:, column] = weight
    items = np.full((len(lines), n), -1, np.int32)
    items[asked] = best_of(questions, model.matrix, n, selection.take(asked).without(own.take(asked))).items
    return _completed(model, items, own, selection)


def _questions(queries: NDArray[np.float32], own: Ragged[np.int32]) -> NDArray[np.float32]:
    """Float32 (U, d): the sum of the questions of each line's items."""
    if (own.lengths == 1).all():
        return queries[own.values]
    sums = np.zeros((len(own), queries.shape[1]))
    np.add.at(sums, own.row_ids(), queries[own.values].astype(np.float64))
    return sums.astype(np.float32)


def by_neighbours(model: Model, lines: Sequence[Object], settings: Settings, selection: Selection) -> Recommendations:
    """The order is that of the model's lists."""
    if model.neighbours is None:
        raise ValueError("the model has no neighbours")
    own, n = _own(model, lines, settings), settings.num_results
    asked = np.flatnonzero(own.lengths)
    items = np.full((len(lines), n), -1, np.int32)
    mine = own.take(asked)
    lists = model.neighbours.take(mine.values.astype(np.int64))
    of_asked = selection.take(asked)
    if settings.several:  # else no list has its own item
        lists, of_asked = _interleaved(lists, mine, model.popularity_order), of_asked.without(mine)
    items[asked] = first_of(lists, n, of_asked)
    return _completed(model, items, own, selection)


def _interleaved(lists: Ragged[np.int32], own: Ragged[np.int32], order: NDArray[np.int32]) -> Ragged[np.int32]:
    """One list for each line: by an item's best place in the lists of the line's items, then in how many it is, then by popularity.

    Args:
        lists: of all values of `own`.
        own: by line, its items.
        order: int32 (I,), all items, the most popular first.
    """
    owners = own.row_ids()[lists.row_ids()]
    keys, of = np.unique(owners << 32 | lists.values, return_inverse=True)
    best, popular = np.full(len(keys), len(order)), np.empty(len(order), np.int64)
    np.minimum.at(best, of, lists.place_in_row())
    popular[order] = np.arange(len(order))
    lines, items = keys >> 32, (keys & 0xFFFFFFFF).astype(np.int32)
    ascending = np.lexsort((popular[items], -np.bincount(of, minlength=len(keys)), best, lines))
    return Ragged.grouped(lines[ascending], items[ascending], len(own))


def _own(model: Model, lines: Sequence[Object], settings: Settings) -> Ragged[np.int32]:
    """By line, the items that it is about and the model knows."""
    if not settings.several:
        rows = model.rows_of(ids_of(lines, ITEM_ID))
        return Ragged.of_lengths((rows >= 0).astype(np.int64), rows[rows >= 0].astype(np.int32))
    named = [{ITEM_IDS: line[ITEM_IDS] if line.get(ITEM_IDS) is not None else [line[ITEM_ID]]} for line in lines]
    lengths, names = lists_of(named, ITEM_IDS)
    lists = Ragged.of_lengths(lengths, model.rows_of(names))
    lists = lists.where(lists.values >= 0)
    return Ragged.of_pairs(lists.row_ids(), lists.values, len(lists))


def _completed(model: Model, items: NDArray[np.int32], own: Ragged[np.int32], selection: Selection) -> Recommendations:
    known = np.flatnonzero(own.lengths)
    items[known] = filled(items[known], model.popularity_order, selection.take(known).without(own.take(known)))
    unknown = np.flatnonzero(own.lengths == 0)
    items[unknown] = popular_of(model.popularity_order, len(unknown), items.shape[1], selection.take(unknown))
    return Recommendations.of(items, None, own.lengths == 0)
