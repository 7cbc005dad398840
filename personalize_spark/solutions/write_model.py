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
from personalize_spark.artifacts.heldout import HeldOut, write_held_out, write_item_peers, write_peers
from personalize_spark.artifacts.model import write_items
from personalize_spark.catalog.catalog import Fields
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import ItemMatrix, Items
from personalize_spark.solutions.calibration import Calibration, calibrate_choices, calibrate_held_out, measure
from personalize_spark.solutions.write_users import UserSide, held_out, inverse, with_last, write_users
from personalize_spark.storage.store import Store
from personalize_spark.training.factors import Factors, Leads, UserSource
from personalize_spark.training.peers import peer_lists
from personalize_spark.training.temperature import Scale

_SAMPLE = 4096
"""Vectors that `ItemMatrix` learns its bounds from."""


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
    entries += write_item_peers(store, {name: _renumbered(lists, order) for name, lists in factors.item_peers.items()})
    about = {**properties, "items": len(order), **factors.properties}
    if isinstance(matrix, ItemMatrix):
        about["rank"] = matrix.width
    if matrix is not None and factors.users is not None:
        more, told = _write_users(store, factors, factors.users, matrix, entries)
        entries, about = [*entries, *more], about | told
    model = finish(store, entries, about)
    return {"model": asdict(model), "metrics": about.get("metrics", {})}


def in_order(factors: Factors) -> tuple[Items | None, NDArray[np.int64]]:
    """The matrix, if there is one, and int64 (I,): the item of each row."""
    counts = factors.counts()
    popular = np.argsort(-counts, kind="stable")
    if factors.leads is not None:
        return _sparse(factors.leads, factors.prior(), popular), popular
    if factors.factors is None:
        return None, popular
    wide, sample = factors.factors, factors.sample
    if sample is None:
        sample = (wide if factors.queries is None else factors.queries)[popular[:_SAMPLE]]
    if factors.popular:
        prior = factors.prior()
        wide = np.column_stack([wide, prior / prior.max()]).astype(np.float32)
        # what the users' vectors end with is not known yet; an equal share of the length is near it
        last = np.sqrt(np.mean(sample**2)) if sample.size else 1.0
        sample = np.column_stack([sample, np.full(len(sample), last, np.float32)])
    return ItemMatrix.sort(wide, np.arange(len(wide), dtype=np.int32), sample)  # an item's number is its rank


def _renumbered(lists: NDArray[np.int32], order: NDArray[np.int64]) -> NDArray[np.int32]:
    """Lists of item numbers, -1 past the end, by number, as lists of rows by row."""
    rows = np.append(inverse(order), -1)  # -1 stays
    return rows[lists[order]].astype(np.int32)


def _sparse(leads: Leads, prior: NDArray[np.float64], order: NDArray[np.int64]) -> SparseItems:
    """The matrix whose rows are the items in this order."""
    positions = leads.items.positions(order)
    rows = positions.with_values(inverse(order).take(leads.items.values.take(positions.values)))
    shares = (prior[order] / max(prior.max(), 1.0)).astype(np.float32)
    return SparseItems(rows, leads.weights.take(positions.values), leads.decay, shares, order.astype(np.int32))


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
    counts = factors.counts()[matrix.ranks]  # an item's number is its rank
    prior = factors.prior()[matrix.ranks]
    side, entries = _user_side(store, factors, users, matrix, items)
    if factors.scale is not None:
        calibration, out = Calibration(factors.scale), None
    elif side.fold_in is None:
        calibration, out = calibrate_choices(users.choices, matrix, prior if factors.popular else None), None
    else:
        out = held_out(users.rows, side)
        calibration = calibrate_held_out(out, matrix, prior, factors.fitted)
    scale, metrics = calibration.scale, calibration.metrics
    last = last_of(scale, prior) if factors.popular else None
    side = replace(side, last=last, curve=scale.curve)
    if isinstance(matrix, SparseItems):
        matrix = replace(matrix, share=last or 0.0)
    if out is not None:
        out = out if last is None or isinstance(matrix, SparseItems) else ending_with(out, last)
        entries += write_held_out(store, out)
        entries += write_peers(store, peer_lists(users.rows, inverse(matrix.ranks), out))
        metrics |= measure(out, matrix, counts, scale.curve)
    entries += write_users(users.rows, users.count, side, store)
    about = {"users": users.count, "temperature": scale.temperature, **side.properties()}
    if factors.popular:
        about["popularityShare"] = scale.popularity
    if isinstance(matrix, SparseItems):
        about |= {"share": matrix.share, "bend": scale.bend}
    return entries, about | ({"metrics": metrics} if metrics else {})


def last_of(scale: Scale, prior: NDArray[np.float64]) -> float:
    """What users' vectors end with, and sparse items have as their share, for popularity to have its share under a scale."""
    return scale.popularity * float(prior.max()) / scale.temperature


def ending_with(out: HeldOut, last: float) -> HeldOut:
    """The same users, with another last component."""
    return replace(out, vectors=with_last(out.vectors[:, :-1], last))


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


def own_factors(matrix: Items, *, popular: bool) -> NDArray[np.float32]:
    """The factors without the items' popularity; sparse items have none."""
    if isinstance(matrix, SparseItems):
        return np.zeros((len(matrix), 0), np.float32)
    return matrix.factors[:, :-1] if popular else matrix.factors
