"""A view as filters read it: the items' fields as columns, the users' histories and attributes by lookup."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_spark.artifacts.artifact import Artifact
from personalize_spark.artifacts.shards import USERS, RowSource, Shards
from personalize_spark.filters.binding import BoundFilter
from personalize_spark.filters.expression import Literal
from personalize_spark.filters.mask import Categories, Columns, Numbers
from personalize_spark.filters.selector import Group, Lines, LineUsers, Selector
from personalize_spark.records import Object, ids_of
from personalize_spark.schemas import ITEMS, schemas_of
from personalize_spark.scoring import model as scoring
from personalize_spark.scoring.exploration import MAX_ITEMS, Cold, hashes
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.ragged import Ragged

_DAY = 86_400


class View:
    """A dataset group's view; `source` has its users, if not the shards."""

    def __init__(self, artifact: Artifact, source: RowSource | None = None) -> None:
        self._artifact = artifact
        self._source = source or Shards(artifact, USERS)
        self.schemas = schemas_of(artifact.properties["schemas"].values())
        self.events: list[str] = artifact.properties["eventTypes"]
        self.items: int = artifact.properties["items"]
        self.latest: int | None = artifact.properties["latestTimestamp"]

    def items_table(self) -> pa.RecordBatch:
        """All items by ascending id: id, creation_timestamp (epoch seconds; the first interaction unless `dated`), interactions, impressions."""
        return self._artifact.table("items")

    def columns(self) -> Columns:
        """The fields of Items over all V items and, last, one without values."""
        entries = self._artifact.entries
        columns: dict[str, Categories | Numbers] = {}
        for column in self.schemas[ITEMS].columns if ITEMS in self.schemas else ():
            name = f"items/{column.name}"
            if f"{name}.codes.values.npy" in entries:
                columns[column.name] = self._categories(name)
            elif f"{name}.valid.npy" in entries:
                values, valid = self._artifact.column(name), self._artifact.column(f"{name}.valid")
                columns[column.name] = Numbers(np.append(values, values.dtype.type(0)), np.append(valid, False))
        items = self._artifact.table("items")
        there = np.append(items.column("dated").to_numpy(zero_copy_only=False), False)
        columns["CREATION_TIMESTAMP"] = Numbers(np.append(items.column("creation_timestamp").to_numpy(), 0), there)
        return columns

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """int64 (n,): the row of each item, V for one that is not here."""
        known = self._artifact.table("items").column("id")
        found = pc.fill_null(pc.index_in(pa.array(ids, pa.binary()), known), len(known))
        rows: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
        return rows

    def lookup(self, ids: Sequence[str], attributes: Sequence[str]) -> LineUsers:
        """What users did with items of the view, and the named attributes; both empty for an unknown one."""
        values: list[dict[str, Literal | None]] = [{} for _ in ids]
        parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int16))]
        for found in self._source.find([each.encode() for each in ids]):
            taken = found.table.take(pa.array(found.rows))
            lengths = pc.list_value_length(taken.column("history_items")).to_numpy(zero_copy_only=False)
            items, events = (
                pc.list_flatten(taken.column(f"history_{part}")).to_numpy() for part in ("items", "events")
            )
            parts.append((np.repeat(found.positions, lengths), items, events))
            for name in attributes:
                for position, value in zip(found.positions.tolist(), taken.column(name).to_pylist(), strict=True):
                    values[position][name] = value.decode() if isinstance(value, bytes) else value
        lines, items, events = (np.concatenate(each) for each in zip(*parts, strict=True))
        order = Ragged.grouped(lines, np.arange(len(lines)), len(ids))
        return LineUsers(order.with_values(items[order.values]), events[order.values], values)

    def _categories(self, name: str) -> Categories:
        texts = [text.decode() for text in self._artifact.table(f"{name}.texts").column("text").to_pylist()]
        codes = self._artifact.ragged(f"{name}.codes")
        return Categories(texts, Ragged(np.append(codes.indptr, codes.indptr[-1]), codes.values))


def with_new_items(model: scoring.Model, view: View) -> scoring.Model:
    """The model with all items of the view, so that a filter knows those too that the model has not learned."""
    names = [each.decode() for each in view.items_table().column("id").to_pylist()]
    new = np.flatnonzero(model.rows_of(names) < 0).tolist()
    return model.with_items(JsonTexts.of([orjson.dumps(names[each]) for each in new]))


@dataclass(frozen=True)
class Exploration:
    """What exploration may recommend, and how much of it.

    Attributes:
        weight: 0.0 to 1.0.
        age_cut_off: days before the latest interaction of the group; older items are not in exploration.
        new_items: items that the model has not learned are.
    """

    weight: float
    age_cut_off: float
    new_items: bool


def with_exploration(model: scoring.Model, view: View, exploration: Exploration, seed: str) -> scoring.Model:
    """The model with the items that exploration may recommend; the same one where there are none.

    Args:
        model: with factors, or with what items lead to.
        view: the dataset group as it is now.
        exploration: see there.
        seed: jobs of the same seed draw the same.
    """
    items = view.items_table()
    columns = ("creation_timestamp", "interactions", "impressions")
    created, interactions, impressions = (items.column(name).to_numpy() for name in columns)
    exposures = interactions + impressions
    young = np.flatnonzero(created >= (view.latest or 0) - exploration.age_cut_off * _DAY)
    if not exploration.new_items:
        young = young[np.isin(young, view.rows_of(model.item_ids()))]
    young = young[np.lexsort((young, -created[young], exposures[young]))][:MAX_ITEMS]
    if not len(young) or exploration.weight == 0:
        return model
    names = [each.decode() for each in items.column("id").take(pa.array(young)).to_pylist()]
    rows = model.rows_of(names)
    new = np.flatnonzero(rows < 0)
    rows[new] = len(model.item_ids_json) + np.arange(len(new))
    order = np.argsort(rows)
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8])
    cold = Cold(rows[order], exposures[young][order], hashes(names)[order], exploration.weight, number)
    texts = JsonTexts.of([orjson.dumps(names[each]) for each in new])
    return replace(model.with_items(texts), cold=cold)


class ViewFilter:
    """A bound filter over one view and one model; what `answer` asks for each block of lines."""

    def __init__(self, view: View, bound: BoundFilter, model: scoring.Model) -> None:
        rows = view.rows_of(model.item_ids())
        self._view, self._bound = view, bound
        self._selector = Selector(bound, view.columns(), rows, view.events)
        self._model_rows = np.full(view.items + 1, -1, np.int64)
        self._model_rows[rows] = np.arange(len(rows))
        self._model_rows[-1] = -1
        self.required: Sequence[str] = ("userId",) if bound.needs_user else ()
        self.varies = bool(bound.parameters or bound.user_fields or bound.item_fields)

    def select(self, lines: Sequence[Object]) -> tuple[Iterator[Group], dict[int, str]]:
        """What lines may get, and by line the error of those that cannot be filtered."""
        users = LineUsers.unasked(len(lines))
        if self._bound.needs_user:
            users = self._view.lookup(ids_of(lines, "userId"), self._bound.user_fields)
        items = users.items.with_values(self._model_rows[users.items.values])
        there = items.values >= 0  # the model may be older than the view
        users = LineUsers(items.where(there), users.events[there], users.attributes)
        values = [each.get("filterValues") for each in lines]
        current = self._view.rows_of(ids_of(lines, "itemId")) if self._bound.needs_item else None
        return self._selector.select(Lines(values, users, current))
