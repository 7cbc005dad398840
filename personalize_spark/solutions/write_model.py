"""Factors become a solution version's model: the one writer of models, whatever they were learned with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from personalize_spark.artifacts.artifact import Entry, finish, write_column
from personalize_spark.artifacts.heldout import renumbered, write_held_out, write_item_peers, write_peers
from personalize_spark.artifacts.model import write_items
from personalize_spark.catalog.catalog import Fields
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import ItemMatrix, Items
from personalize_spark.solutions.calibration import Calibration, calibrate_choices
from personalize_spark.solutions.item_side import in_order, last_of, own_factors
from personalize_spark.solutions.judging import judge, judge_twin
from personalize_spark.solutions.write_users import UserSide, inverse, write_users
from personalize_spark.storage.store import Store
from personalize_spark.training.factors import Factors, UserSource


def write_model(store: Store, factors: Factors, properties: Mapping[str, Any]) -> Fields:
    """Write a model.

    Args:
        store: an empty folder.
        factors: what is written; where their scores have no scale yet, it is fitted.
        properties: what the manifest says of the model's origin.

    Returns:
        What the version's record says of the model.
    """
    matrix, order = in_order(factors)
    entries = write_items(store, _item_side(factors, matrix, order))
    rows = inverse(order)
    peers = {name: renumbered(lists[order], rows) for name, lists in factors.item_peers.items()}
    entries += write_item_peers(store, peers)
    about = {**properties, "items": len(order), **factors.properties}
    if isinstance(matrix, ItemMatrix):
        about["rank"] = matrix.width
    if matrix is not None and factors.users is not None:
        more, told = _write_users(store, factors, factors.users, matrix, entries)
        entries, about = [*entries, *more], about | told
    model = finish(store, entries, about)
    return {"model": asdict(model), "metrics": about.get("metrics", {})}


def _item_side(factors: Factors, matrix: Items | None, order: NDArray[np.int64]) -> Model:
    ids = factors.items.column("item_id").take(pa.array(order)).to_pylist()
    counts = factors.counts()[order]
    popular = np.lexsort((order, -counts)).astype(np.int32)
    texts, shares = JsonTexts.of([orjson.dumps(each) for each in ids]), counts / max(1, counts.sum())
    if isinstance(matrix, SparseItems):
        return Model(texts, popular, shares, sparse=matrix)
    model = Model(texts, popular, shares, matrix)
    if factors.queries is not None:
        model = replace(model, queries=factors.queries[order])
    if factors.neighbours is not None:
        lists = factors.neighbours
        model = replace(model, neighbours=lists.with_values(inverse(order)[lists.values]).take(order))
    return model


def _write_users(
    store: Store, factors: Factors, users: UserSource, matrix: Items, items: list[Entry]
) -> tuple[list[Entry], dict[str, Any]]:
    """Write the users, and those that the scale was fitted to; returns the files, and what the manifest says."""
    prior = factors.prior()[matrix.ranks]  # an item's number is its rank
    side, entries = _user_side(store, factors, users, matrix, items)
    judged = None
    if factors.scale is not None:
        calibration = Calibration(factors.scale)
    elif side.fold_in is None:
        calibration = calibrate_choices(users.choices, matrix, prior if factors.popular else None)
    else:
        judged = judge(factors, matrix) if factors.twin is None else judge_twin(factors.twin, matrix)
        calibration = judged.calibration
    scale, metrics = calibration.scale, calibration.metrics
    last = last_of(scale, prior) if factors.popular else None
    side = replace(side, last=last, curve=scale.curve)
    if isinstance(matrix, SparseItems):
        matrix = replace(matrix, share=last or 0.0)
    if judged is not None and judged.out is not None:
        known = (factors.twin or factors).known()[matrix.ranks]
        entries += write_held_out(store, judged.out, known) + write_peers(store, judged.peers)
    entries += write_users(users.rows, users.count, side, store)
    about = {"users": users.count, "temperature": scale.temperature, **side.properties()}
    if factors.popular:
        about["popularityShare"] = scale.popularity
    if isinstance(matrix, SparseItems):
        about |= {"share": matrix.share, "bend": scale.bend}
    return entries, about | ({"metrics": metrics} if metrics else {})


def _user_side(
    store: Store, factors: Factors, users: UserSource, matrix: Items, items: list[Entry]
) -> tuple[UserSide, list[Entry]]:
    """How users become rows, as long as there is no scale; and the files that it adds to those of the items."""
    last = 0.0 if factors.popular else None
    fold_in = None if users.fold_in is None else users.fold_in(own_factors(matrix, popular=factors.popular))
    columns = {} if fold_in is None else fold_in.columns()
    entries = [write_column(store, name, column) for name, column in columns.items()]
    named = {each.name: each for each in [*items, *entries]}
    return UserSide(store.root, store.access, named, fold_in, last, factors.scored), entries
