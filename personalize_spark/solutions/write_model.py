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
from personalize_spark.artifacts.heldout import write_held_out
from personalize_spark.artifacts.model import write_items
from personalize_spark.catalog.catalog import Fields
from personalize_spark.scoring.model import JsonTexts, Model
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.solutions.calibration import Calibration, calibrate_choices, calibrate_held_out, measure
from personalize_spark.solutions.write_users import UserSide, held_out, inverse, with_last, write_users
from personalize_spark.storage.store import Store
from personalize_spark.training.factors import Factors, UserSource

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
    matrix, order = _in_order(factors)
    entries = write_items(store, _item_side(factors, matrix, order))
    about = {**properties, "items": len(order), **factors.properties}
    if matrix is not None:
        about["rank"] = matrix.factors.shape[1]
    if matrix is not None and factors.users is not None:
        more, told = _write_users(store, factors, factors.users, matrix, entries)
        entries, about = [*entries, *more], about | told
    model = finish(store, entries, about)
    return {"model": asdict(model), "metrics": about.get("metrics", {})}


def _in_order(factors: Factors) -> tuple[ItemMatrix | None, NDArray[np.int64]]:
    """The matrix, if there is one, and int64 (I,): the item of each row."""
    counts = factors.counts()
    popular = np.argsort(-counts, kind="stable")
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


def _item_side(factors: Factors, matrix: ItemMatrix | None, order: NDArray[np.int64]) -> Model:
    ids = factors.items.column("item_id").take(pa.array(order)).to_pylist()
    counts = factors.counts()[order]
    popular = np.lexsort((order, -counts)).astype(np.int32)
    model = Model(JsonTexts.of([orjson.dumps(each) for each in ids]), popular, counts / max(1, counts.sum()), matrix)
    if factors.queries is not None:
        model = replace(model, queries=factors.queries[order])
    if factors.neighbours is not None:
        lists = factors.neighbours
        model = replace(model, neighbours=lists.with_values(inverse(order)[lists.values]).take(order))
    return model


def _write_users(
    store: Store, factors: Factors, users: UserSource, matrix: ItemMatrix, items: list[Entry]
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
        calibration = calibrate_held_out(out, matrix, prior)
    scale = calibration.scale
    last = None if not factors.popular else scale.popularity * float(prior.max()) / scale.temperature
    side = replace(side, last=last, temperature=scale.temperature)
    metrics = calibration.metrics
    if out is not None:
        out = out if last is None else replace(out, vectors=with_last(out.vectors[:, :-1], last))
        entries += write_held_out(store, out)
        metrics |= measure(out, matrix, counts, scale.temperature)
    entries += write_users(users.rows, users.count, side, store)
    about = {"users": users.count, "temperature": scale.temperature, **side.properties()}
    if factors.popular:
        about["popularityShare"] = scale.popularity
    return entries, about | ({"metrics": metrics} if metrics else {})


def _user_side(
    store: Store, factors: Factors, users: UserSource, matrix: ItemMatrix, items: list[Entry]
) -> tuple[UserSide, list[Entry]]:
    """How users become rows, as long as there is no scale; and the files that it adds to those of the items."""
    last, own = (0.0, matrix.factors[:, :-1]) if factors.popular else (None, matrix.factors)
    fold_in = None if users.fold_in is None else users.fold_in(own)
    columns = {} if fold_in is None else fold_in.columns()
    entries = [write_column(store, name, column) for name, column in columns.items()]
    named = {each.name: each for each in [*items, *entries]}
    return UserSide(store.root, store.access, named, fold_in, last, factors.scored), entries
