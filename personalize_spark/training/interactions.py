"""Interactions as a training reads them: counted by user and item, and numbered.

Frames of this module have these columns, as far as they have them:

    user_id, item_id: string    user, item: int, their numbers    key: long, the CRC-32 of user_id
    events: long, how often this user met this item    newest: long, when last (TIMESTAMP)
    held: boolean, whether this is held out, of users that calibrate the scores; of others null
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.datasets.delta_tables import read_version
from personalize_spark.errors import DataError
from personalize_spark.spark import collect_arrow, persisted
from personalize_spark.training.configuration import Events

_BUCKET_BITS = 8
"""Users are numbered in 256 buckets at once; 2^31 / 256 = 8.4 million users fit in each."""
MIN_ITEMS, HELD_PART = 3, 10
"""A user with three items or more may calibrate: the newest tenth of them is held out, at least one."""
_CALIBRATING_USERS = 2048
_SPREAD = 2_654_435_761
"""2^32 divided by the golden ratio (Knuth's multiplicative hash): neighbours come apart, and no two of 2^32 numbers meet."""
_N = TypeVar("_N", Column, NDArray[np.int64])


@dataclass(frozen=True)
class Totals:
    """What the service's minimum is about; `active_users` have two or more interactions."""

    interactions: int
    users: int
    active_users: int


def read_events(spark: SparkSession, uri: str, version: int, events: Events | None = None) -> DataFrame:
    """A Delta table at one version, all of its rows or the chosen ones."""
    table = read_version(spark, uri, version)
    return table if events is None else events.chosen(table)


def read_interactions(spark: SparkSession, uri: str, version: int, events: Events | None = None) -> DataFrame:
    """The pairs (user_id, item_id, events, newest) of a Delta table at one version, see `read_events`."""
    return count_pairs(read_events(spark, uri, version, events))


def count_pairs(table: DataFrame) -> DataFrame:
    """The pairs (user_id, item_id, events, newest) of the rows of an Interactions table."""
    names = F.col("USER_ID").alias("user_id"), F.col("ITEM_ID").alias("item_id")
    counted = F.count("*").alias("events"), F.max("TIMESTAMP").alias("newest")
    return table.groupBy(*names).agg(*counted)


def totals(pairs: DataFrame) -> Totals:
    """Count.

    Raises:
        DataError: there is nothing to learn from.
    """
    users = pairs.groupBy("user_id").agg(F.sum("events").alias("events"))
    active = F.count_if(F.col("events") >= 2)
    row = users.agg(F.sum("events"), F.count("*"), active).first()
    if row is None or not row[0]:
        raise no_interactions()
    return Totals(*row)


def no_interactions() -> DataError:
    """There is nothing to learn from."""
    return DataError("The Interactions dataset is empty: import interactions before training.")


def number_items(pairs: DataFrame) -> DataFrame:
    """(item_id, item, events) of all items; an item's number is its rank by the UTF-8 bytes of its id."""
    items = pairs.groupBy("item_id").agg(F.sum("events").alias("events"))
    # in one partition: the driver holds all items anyway
    return items.withColumn("item", F.row_number().over(Window.orderBy("item_id")) - 1)


def collect_items(items: DataFrame) -> pa.Table:
    """The frame of `number_items` on the driver, in the order of the numbers."""
    return collect_arrow(items.select("item", "item_id", "events")).sort_by("item")


def number_pairs(pairs: DataFrame, items: DataFrame) -> DataFrame:
    """(user_id, key, user, item, events, newest, held) of all pairs.

    About 2,000 users calibrate, chosen by the hash of the id among those with three items or more. The newest tenth of their
    items is held out, at least one; of items last met at once, those that `tie` says.
    """
    numbered = pairs.join(items.select("item_id", "item"), "item_id")
    users = _number_users(numbered.groupBy("user_id").agg(F.count("*").alias("items")))
    with persisted(users):
        eligible = users.where(F.col("items") >= MIN_ITEMS)
        chosen = eligible.where(F.col("key") < sampled_keys(eligible.count())).select("user_id", "key")
        place = F.struct("newest", tie(F.col("item").cast("long"), F.col("key")).alias("tie"))
        met = F.sort_array(F.collect_list(place), asc=False)
        cuts = numbered.join(F.broadcast(chosen), "user_id").groupBy("user_id").agg(met.alias("met"))
        oldest = F.get("met", F.greatest(F.lit(1), F.floor(F.size("met") / HELD_PART)) - 1)
        users = users.join(F.broadcast(cuts.select("user_id", oldest.alias("oldest"))), "user_id", "left")
        held = (place >= F.col("oldest")).alias("held")
        return numbered.join(users, "user_id").select("user_id", "key", "user", "item", "events", "newest", held)


def tie(item: _N, key: _N) -> _N:
    """Which of a user's items comes last of those last met at once: the one with the most. Of other users it is another one.

    Args:
        item: its number, as int64.
        key: of the user.
    """
    return (item * _SPREAD + key) % (1 << 32)


def sampled_keys(eligible: int) -> int:
    """Users whose key is below calibrate, if they are eligible: about 2,000."""
    return int(min(1.0, _CALIBRATING_USERS / max(1, eligible)) * (1 << 32))


def count_known(pairs: DataFrame, items: pa.Table) -> pa.Table:
    """The table of `collect_items` with the column `known`: the events of each item that are not held out."""
    held_out = collect_arrow(pairs.where("held").groupBy("item").agg(F.sum("events").alias("events")))
    counts = items.column("events").to_numpy().copy()
    counts[held_out.column("item").to_numpy()] -= held_out.column("events").to_numpy()
    return items.append_column("known", pa.array(counts))


def known(pairs: DataFrame) -> DataFrame:
    """The pairs without those that are held out."""
    return pairs.where("held IS NULL OR NOT held")


Keep = Callable[[DataFrame], DataFrame]


@contextmanager
def keeping() -> Iterator[Keep]:
    """A function that persists frames until the end of the block."""
    with ExitStack() as stack:
        yield lambda frame: stack.enter_context(persisted(frame))


def _number_users(users: DataFrame) -> DataFrame:
    """Add `key`, and `user`: different ints that depend on nothing but the ids.

    Without a sort over all users, whose ranges Spark samples anew in every evaluation.
    """
    keyed = users.withColumn("key", F.crc32("user_id"))
    bucket = F.shiftright("key", 32 - _BUCKET_BITS)
    place = F.row_number().over(Window.partitionBy(bucket).orderBy("user_id")) - 1
    number = F.shiftleft(bucket, 31 - _BUCKET_BITS) + place
    return keyed.withColumn("user", number.cast("int"))
