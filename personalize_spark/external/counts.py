"""What interactions say about items that were learned elsewhere: how popular they are, and what users chose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.errors import DataError
from personalize_spark.errors import counted as counted_as
from personalize_spark.external.tables import open_table, read_table
from personalize_spark.spark import collect_arrow, frame_of
from personalize_spark.training.factors import Choices
from personalize_spark.training.vectors import as_matrix

_CALIBRATING_USERS = 2048


def read_pairs(spark: SparkSession, uri: str) -> DataFrame:
    """The pairs (user_id, item_id, events, newest) of a table USER_ID, ITEM_ID and, if it has one, TIMESTAMP.

    Raises:
        DataError: it lacks a column, or a row a value.
    """
    columns = {"USER_ID": "string", "ITEM_ID": "string"}
    if "timestamp" in map(str.lower, open_table(spark, uri).columns):
        columns["TIMESTAMP"] = "bigint"
    rows = read_table(spark, uri, columns)
    newest = F.max("TIMESTAMP") if "TIMESTAMP" in columns else F.lit(0)
    names = F.col("USER_ID").alias("user_id"), F.col("ITEM_ID").alias("item_id")
    return rows.groupBy(*names).agg(F.count("*").alias("events"), newest.alias("newest"))


def read_counts(spark: SparkSession, uri: str) -> DataFrame:
    """The counts (item_id, events) of a table (id, count).

    Raises:
        DataError: it has other columns, a count is no whole number or below 0, or an id is there twice.
    """
    counts = read_table(spark, uri, {"id": "string", "count": "bigint"}).toDF("item_id", "events")
    bad = counts.groupBy("item_id").agg(F.count("*").alias("rows"), F.min("events").alias("least"))
    first = bad.where("rows > 1 or least < 0").orderBy("item_id").first()
    if first is not None:
        wrong = f"the count {first['least']}" if first["least"] < 0 else f"{first['rows']} counts"
        raise DataError(f"{uri} has {wrong} for '{first['item_id']}': give each item one count, 0 or more.")
    return counts


def count_pairs(pairs: DataFrame) -> DataFrame:
    """The counts (item_id, events) of pairs."""
    return pairs.groupBy("item_id").agg(F.sum("events").alias("events"))


def counted(counts: DataFrame, ids: pa.Array | None) -> tuple[pa.Table, list[str]]:
    """(item_id, events) by ascending bytes of the ids, as `training.factors.Factors` has it; and which items have only a count.

    Args:
        counts: the frame (item_id, events).
        ids: the items of the model in that order, those without a count get 0; `None`: all that have a count.

    Raises:
        DataError: nobody has met any of the items.
    """
    table = collect_arrow(counts)
    if ids is None:
        ids = table.column("item_id").combine_chunks()
        ids = ids.take(pc.sort_indices(ids.cast(pa.binary())))
    places = pc.index_in(ids, table.column("item_id").combine_chunks())
    events = pc.fill_null(table.column("events").combine_chunks().take(places), 0)
    if not pc.sum(events).as_py():
        raise DataError(
            f"None of the {table.num_rows} counted items{_such_as(table.column('item_id'))} is one of the model's {len(ids)}"
            f"{_such_as(ids)}, or all their counts are 0. The counts or interactions must use the ids of the model; "
            "--item-ids and --user-ids map numbers to ids."
        )
    unknown = table.column("item_id").filter(pc.invert(pc.is_in(table.column("item_id"), value_set=ids)))
    return pa.table({"item_id": ids, "events": events.cast(pa.int64())}), _told(unknown, table.num_rows)


def _told(unknown: pa.ChunkedArray, items: int) -> list[str]:
    """Items without factors: new ones, or ids of another kind than the factors have."""
    if not len(unknown):
        return []
    left_out = f"{len(unknown):,} of {counted_as(items, 'counted item')}{_such_as([pc.min(unknown)])}"
    hint = "If these are ids of another kind than the factors have, --item-ids maps them."
    return [f"Without factors, so left out: {left_out}. {hint}"]


def _such_as(ids: Sequence[pa.Scalar] | pa.Array) -> str:
    return f" (such as '{ids[0].as_py()}')" if len(ids) else ""


def newest_choices(pairs: DataFrame, users: DataFrame, ids: pa.Array) -> Choices:
    """The newest item of some 2,000 users.

    The model has seen these items, as far as it was trained on them, so the scores come out a little too sure. Of several
    newest items of a user, a hash chooses one.

    Args:
        pairs: the frame of `read_pairs`.
        users: `user_id`, `vector`.
        ids: the items of the model.

    Raises:
        DataError: no user of the model has met an item of it.
    """
    table = _newest(pairs, users, ids)
    if not table.num_rows:
        raise DataError(
            "No interaction has both a user and an item of the model, so the temperature cannot be fitted: "
            "the interactions must use the ids of the model."
        )
    numbers = pc.index_in(table.column("item_id").combine_chunks(), ids).to_numpy().astype(np.int64)
    return Choices(as_matrix(table.column("vector")), numbers)


def _newest(pairs: DataFrame, users: DataFrame, ids: pa.Array) -> pa.Table:
    """(item_id, vector) of a sample of the users, by the hash of their ids."""
    known = frame_of(pairs.sparkSession, pa.table({"item_id": ids}))
    newest = F.max(F.struct("newest", F.xxhash64("user_id", "item_id"), "item_id"))["item_id"].alias("item_id")
    theirs = pairs.join(known, "item_id", "left_semi").groupBy("user_id").agg(newest)
    both = theirs.join(users, "user_id")
    keyed = both.select(F.crc32("user_id").alias("key"), "user_id", "item_id", "vector")
    return collect_arrow(keyed.orderBy("key", "user_id").limit(_CALIBRATING_USERS).drop("key"))
