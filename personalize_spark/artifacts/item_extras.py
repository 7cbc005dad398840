"""What a request asks beyond the service, made of a view: the categories of a model's items, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from personalize_spark.artifacts.view import View
from personalize_spark.extensions import Extensions
from personalize_spark.filters.mask import Categories, Numbers
from personalize_spark.recipes.extended import Extras
from personalize_spark.schemas import ITEMS
from personalize_spark.scoring.caps import Caps
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged

BARE = ("boolean",)
"""Types of text columns whose values stand in JSON without quotes."""


def extras_of(extensions: Extensions, view: View, model: Model) -> Extras:
    """What the extensions need of a view, for the items of a model.

    Args:
        extensions: of the request; their columns are in the view.
        view: of the dataset group.
        model: I items.
    """
    columns = view.columns()
    rows = np.append(view.rows_of(model.item_ids()), view.items)
    bare = {column.name for column in view.schemas[ITEMS].columns if column.type in BARE}
    caps = [(_codes(columns[name].take(rows)), most) for name, most in extensions.max_per.items()]
    texts = {name: _texts(columns[name].take(rows), bare=name in bare) for name in extensions.with_columns}
    return Extras(_caps(caps) if caps else None, texts)


def _caps(columns: Sequence[tuple[Ragged[np.int32], int]]) -> Caps:
    """The caps of all columns together: a category is a value of one of them."""
    most, rows, codes = [np.empty(0, np.int64)], [], []
    for column, limit in columns:
        rows.append(column.row_ids())
        codes.append(column.values + sum(map(len, most)))
        most.append(np.full(int(column.values.max(initial=-1)) + 1, limit))
    pairs = Ragged.of_pairs(np.concatenate(rows), np.concatenate(codes).astype(np.int64), len(columns[0][0]))
    return Caps(pairs, np.concatenate(most))


def _codes(column: Categories | Numbers) -> Ragged[np.int32]:
    if isinstance(column, Categories):
        return column.codes
    valid = np.asarray(column.valid)
    codes = np.unique(column.values[valid], return_inverse=True)[1].reshape(-1).astype(np.int32)
    return Ragged.of_lengths(valid.astype(np.int64), codes)


def _texts(column: Categories | Numbers, *, bare: bool) -> pa.Array:
    """The JSON texts of a column, `null` where an item has no value."""
    if isinstance(column, Numbers):
        values = zip(column.values.tolist(), column.valid.tolist(), strict=True)
        return pa.array([orjson.dumps(value) if valid else b"null" for value, valid in values], pa.binary())
    escaped = pa.array([orjson.dumps(text)[1:-1] for text in column.texts], pa.binary())
    offsets = pa.array(np.asarray(column.codes.indptr, np.int32))
    lists = pa.ListArray.from_arrays(offsets, escaped.take(pa.array(column.codes.values)))
    joined = pc.binary_join(lists, b"|")
    texts = joined if bare else pc.binary_join_element_wise(b'"', joined, b'"', b"")
    return pc.if_else(pa.array(column.codes.lengths > 0), texts, pa.scalar(b"null"))
