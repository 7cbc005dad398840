"""The view of a dataset group: what filters and exploration know, as columns. Every import writes a new one.

items.arrow                      key, id, creation_timestamp, dated, interactions, impressions; rows by ascending id
items/FIELD.values.arrow         the distinct values of a string field, ascending
items/FIELD.codes.indptr.npy .values.npy    row i has the texts of the codes values[indptr[i]:indptr[i + 1]]
items/FIELD.npy .valid.npy       a numeric field, and where it has a value
items/FIELD.arrow                a textual field
users/00000.arrow ...            key, id, history_items, history_events, history_times, then the users' attributes
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

from personalize_spark.artifacts.artifact import Entry, Pinned, finish, write_column, write_ragged, write_table
from personalize_spark.artifacts.shards import USERS as SHARDS
from personalize_spark.artifacts.shards import keys_of, write_missing
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import find_dataset, find_schema
from personalize_spark.datasets.delta_tables import table_of
from personalize_spark.datasets.user_shards import into_shards, write_few_users, write_user_shards
from personalize_spark.datasets.waiting_events import HISTORY, KEPT
from personalize_spark.errors import ResourceNotFoundException
from personalize_spark.schemas import EVENT_TYPE, INTERACTIONS, ITEMS, USERS, Column, Schema
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.spark import collect_arrow, frame_of, persisted
from personalize_spark.storage.store import Store

_COLUMNS = ["key", "id", "creation_timestamp", "dated", "interactions", "impressions"]
_FEW = 20_000
"""So many users, and interactions of all of them, are brought here: sooner done than tasks begin."""
_ARROW = {"string": pa.binary(), "boolean": pa.binary(), "long": pa.int64(), "int": pa.int64()}


@dataclass(frozen=True)
class _Tables:
    """The Delta tables of a group at their recorded versions; and how much of the users' histories filters see."""

    frames: dict[str, DataFrame]
    schemas: dict[str, Schema]
    versions: dict[str, int]
    history: int


def build_view(spark: SparkSession, catalog: Catalog, group: Arn, ticket: str) -> Pinned:
    """Write the view of all that a group holds."""
    tables = _tables(spark, catalog, group)
    store = catalog.store.at(f"views/{group.name}/{ticket}")
    events, latest = _summary(tables)
    items = _items(tables, latest)
    entries = [write_table(store, "items", items.select(_COLUMNS))]
    entries += [entry for field in _metadata(tables, ITEMS) for entry in _write_field(store, field, items)]
    users, written = _write_users(spark, tables, events, items, store)
    entries += written
    properties = {
        "datasetGroupArn": str(group),
        "eventTypes": events,
        KEPT: tables.history,
        "latestTimestamp": latest,
        "interactions": _interactions(items),
        "items": items.num_rows,
        "users": users,
        "schemas": {name: schema.avro() for name, schema in tables.schemas.items()},
        "deltaVersions": tables.versions,
    }
    return finish(store, entries, properties)


def _tables(spark: SparkSession, catalog: Catalog, group: Arn) -> _Tables:
    tables = _Tables({}, {}, {}, catalog.read(group).fields.get(KEPT, HISTORY))
    for name in (INTERACTIONS, ITEMS, USERS):
        try:
            dataset = find_dataset(catalog, group, name)
        except ResourceNotFoundException:
            continue
        tables.schemas[name] = find_schema(catalog, dataset)
        tables.versions[name] = dataset.fields["deltaVersion"]
        tables.frames[name] = table_of(spark, dataset)
    return tables


def _metadata(tables: _Tables, dataset: str) -> list[Column]:
    schema = tables.schemas.get(dataset)
    return [field for field in schema.metadata if field.name != "CREATION_TIMESTAMP"] if schema else []


def _event(tables: _Tables) -> Any:
    """The event type of an interaction; one without has the empty one."""
    has = tables.schemas[INTERACTIONS].has(EVENT_TYPE)
    return F.coalesce(F.col(EVENT_TYPE), F.lit("")) if has else F.lit("")


def _summary(tables: _Tables) -> tuple[list[str], int | None]:
    """The event types, ascending, and the time of the latest interaction."""
    if INTERACTIONS not in tables.frames:
        return [], None
    summary = F.collect_set(_event(tables)).alias("events"), F.max("TIMESTAMP").alias("latest")
    [row] = tables.frames[INTERACTIONS].agg(*summary).collect()
    return sorted(row["events"]), row["latest"]


def _items(tables: _Tables, latest: int | None) -> pa.RecordBatch:
    """All items of Items and Interactions by ascending id, with their attributes."""
    frame = _joined_items(tables)
    has = ITEMS in tables.schemas and tables.schemas[ITEMS].has("CREATION_TIMESTAMP")
    given = F.col("CREATION_TIMESTAMP") if has else F.lit(None)
    created = F.coalesce(given, "_first")
    # An item that nobody has touched is as new as the newest interaction.
    created = F.coalesce(created, F.lit(latest), F.lit(0))
    names = [field.name for field in _metadata(tables, ITEMS)]
    frame = frame.select(
        F.col("ITEM_ID").cast("binary").alias("id"),
        created.cast("long").alias("creation_timestamp"),
        given.isNotNull().alias("dated"),
        F.coalesce("_count", F.lit(0)).cast("long").alias("interactions"),
        F.coalesce("_shown", F.lit(0)).cast("long").alias("impressions"),
        *names,
    )
    table = collect_arrow(frame).sort_by("id").combine_chunks()
    keys = pa.array(keys_of(table.column("id").to_pylist()))
    batches = table.add_column(0, "key", keys).combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.add_column(0, "key", keys).schema)


def _joined_items(tables: _Tables) -> DataFrame:
    items, interactions = tables.frames.get(ITEMS), tables.frames.get(INTERACTIONS)
    if interactions is None:
        if items is None:  # users alone: there is no item yet
            items = tables.frames[USERS].select(F.col("USER_ID").alias("ITEM_ID")).where(F.lit(False))  # noqa: FBT003
        return items.withColumns({"_count": F.lit(0), "_first": F.lit(None), "_shown": F.lit(0)})
    touched = interactions.groupBy("ITEM_ID").agg(F.count("*").alias("_count"), F.min("TIMESTAMP").alias("_first"))
    joined = touched if items is None else items.join(touched, "ITEM_ID", "full")
    if not tables.schemas[INTERACTIONS].has("IMPRESSION"):
        return joined.withColumn("_shown", F.lit(0))
    return joined.join(_shown(interactions), "ITEM_ID", "left")


def _shown(interactions: DataFrame) -> DataFrame:
    """How often each item was in the impression of an interaction with another one: shown, and not chosen."""
    lists = interactions.select("ITEM_ID", F.explode(F.array_distinct(F.split("IMPRESSION", "[|]"))).alias("shown"))
    others = lists.where("shown != ITEM_ID").select(F.col("shown").alias("ITEM_ID"))
    return others.groupBy("ITEM_ID").agg(F.count("*").alias("_shown"))


def _write_field(store: Store, field: Column, items: pa.RecordBatch) -> Iterator[Entry]:
    name, column = f"items/{field.name}", items.column(field.name)
    if field.textual:
        batch = pa.RecordBatch.from_arrays([column.cast(pa.large_binary())], names=["value"])
        yield write_table(store, name, batch)
    elif field.type in {"string", "boolean"}:
        texts, codes = encode(column)
        yield write_table(store, f"{name}.texts", pa.RecordBatch.from_arrays([texts], names=["text"]))
        yield from write_ragged(store, f"{name}.codes", codes)
    else:
        kind = np.int64 if field.type in {"long", "int"} else np.float64
        yield write_column(store, name, pc.fill_null(column, 0).to_numpy(zero_copy_only=False).astype(kind))
        yield write_column(store, f"{name}.valid", pc.is_valid(column).to_numpy(zero_copy_only=False))


def encode(column: pa.Array) -> tuple[pa.Array, Ragged[np.int32]]:
    """A column of n `a|b|c` texts as the distinct parts, ascending, and n rows of their codes; a missing text has none."""
    lists = pc.split_pattern(pc.cast(column, pa.string()), "|")
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    parts = pc.list_flatten(lists)
    texts = pc.unique(parts).sort()
    codes = pc.index_in(parts, texts).to_numpy(zero_copy_only=False).astype(np.int32)
    return texts.cast(pa.binary()), Ragged.of_lengths(lengths, codes)


def _write_users(
    spark: SparkSession, tables: _Tables, events: list[str], items: pa.RecordBatch, store: Store
) -> tuple[int, list[Entry]]:
    """Write the users' shards, from executors straight into the store; those of little data from here."""
    frame, schema = _joined_users(spark, tables, events, items), _users_schema(_metadata(tables, USERS))
    if frame is None:
        return 0, write_missing(store, SHARDS, 1, schema, [])
    if _interactions(items) <= _FEW:
        few = collect_arrow(frame.limit(_FEW + 1))
        if few.num_rows <= _FEW:
            return few.num_rows, write_few_users(few, store, schema)
    with persisted(frame):
        users = frame.count()
        return users, write_user_shards(into_shards(frame, users), users, store, schema)


def _interactions(items: pa.RecordBatch) -> int:
    return int(pc.sum(items.column("interactions")).as_py() or 0)


def _joined_users(spark: SparkSession, tables: _Tables, events: list[str], items: pa.RecordBatch) -> DataFrame | None:
    histories = _histories(spark, tables, events, items) if INTERACTIONS in tables.frames else None
    users = tables.frames.get(USERS)
    if histories is None and users is None:
        return None
    if histories is None:
        empty = {"history": F.array().cast("array<struct<time:long,item:int,event:smallint>>")}
        joined = users.withColumns(empty)  # type: ignore[union-attr]
    else:
        joined = histories if users is None else users.join(histories, "USER_ID", "full")
    attributes = [_attribute(field) for field in _metadata(tables, USERS)]
    return joined.select(
        F.crc32(F.col("USER_ID").cast("binary")).alias("key"),
        F.col("USER_ID").cast("binary").alias("id"),
        *(
            F.coalesce(F.col(f"history.{part}"), F.array().cast(f"array<{kind}>")).alias(f"history_{part}s")
            for part, kind in (("item", "int"), ("event", "smallint"), ("time", "long"))
        ),
        *attributes,
    )


def _attribute(field: Column) -> Any:
    column = F.col(field.name)
    if field.type in {"string", "boolean"}:
        return column.cast("string").cast("binary").alias(field.name)
    return column.cast("long" if field.type in {"long", "int"} else "double").alias(field.name)


def _histories(spark: SparkSession, tables: _Tables, events: list[str], items: pa.RecordBatch) -> DataFrame:
    """Per user, the newest interactions of each event type, the newest first, ties by item id."""
    rows = pa.table({"_id": items.column("id"), "item": pa.array(np.arange(items.num_rows, dtype=np.int32))})
    codes = pa.table({"_event": pa.array(events, pa.string()), "event": pa.array(range(len(events)), pa.int16())})
    known = tables.frames[INTERACTIONS].select(
        "USER_ID", "ITEM_ID", F.col("TIMESTAMP").alias("time"), _event(tables).alias("_event")
    )
    # Rows are numbered by ascending id, so their order is that of the ids.
    coded = known.join(frame_of(spark, rows), F.col("ITEM_ID").cast("binary") == F.col("_id"))
    coded = coded.join(F.broadcast(frame_of(spark, codes)), "_event").select("USER_ID", "time", "item", "event")
    newest = Window.partitionBy("USER_ID", "event").orderBy(F.desc("time"), "item")
    kept = coded.withColumn("_row", F.row_number().over(newest)).where(F.col("_row") <= tables.history)
    events_of = F.collect_list(F.struct((-F.col("time")).alias("_age"), "item", "event", "time"))
    return kept.groupBy("USER_ID").agg(F.array_sort(events_of).alias("history"))


def _users_schema(fields: list[Column]) -> pa.Schema:
    histories = {"history_items": pa.int32(), "history_events": pa.int16(), "history_times": pa.int64()}
    return pa.schema(
        [
            pa.field("key", pa.uint32()),
            pa.field("id", pa.binary()),
            *(pa.field(name, pa.list_(kind)) for name, kind in histories.items()),
            *(pa.field(field.name, _ARROW.get(field.type, pa.float64())) for field in fields),
        ]
    )
