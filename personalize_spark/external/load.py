"""Factors from elsewhere: files in, `Factors` out, a loader for each kind of model that can be loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.errors import DataError, quoted
from personalize_spark.errors import counted as counted_as
from personalize_spark.external.check import Checked, check, learned, unit
from personalize_spark.external.counts import counted, newest_choices
from personalize_spark.external.formats import Axis, read_factors
from personalize_spark.spark import collect_arrow
from personalize_spark.training.factors import Factors, UserSource
from personalize_spark.training.interactions import Keep
from personalize_spark.training.vectors import as_matrix

_SAMPLE = 4096


@dataclass(frozen=True)
class Sources:
    """What is given; all but the format are URIs.

    Attributes:
        items: the item factors.
        users: the user factors; `None`: those of the same file or folder.
        form: the format of both; `None`: what they look like.
        item_ids: a table (integer, id) for formats that number their rows.
        user_ids: the same for users.
        counts: a table (id, count): how often each item was met.
        interactions: a table USER_ID, ITEM_ID and, if it has one, TIMESTAMP.
    """

    items: str | None = None
    users: str | None = None
    form: str | None = None
    item_ids: str | None = None
    user_ids: str | None = None
    counts: str | None = None
    interactions: str | None = None


@dataclass(frozen=True)
class Loading:
    """What a loader gets.

    Attributes:
        spark: the session.
        sources: where the factors lie.
        counts: (item_id, events), how often each item was met.
        choices: the pairs of `counts.read_pairs` that the temperature is fitted to; `None`: it is 1.
        keep: persists a frame until the model is written.
    """

    spark: SparkSession
    sources: Sources
    counts: DataFrame
    choices: DataFrame | None
    keep: Keep


Loader = Callable[[Loading], Factors]


def load_counts(loading: Loading) -> Factors:
    """Items of which nothing but their counts is known."""
    return Factors(counted(loading.counts, None)[0])


def load_item_factors(loading: Loading) -> Factors:
    """Items that are compared with each other: by the cosine, so without a bias."""
    sources, uri = loading.sources, loading.sources.items or ""
    frame = read_factors(loading.spark, uri, Axis.ITEM, sources.form, sources.item_ids)
    notes = _told_items(check(frame, uri, "items"), uri)
    ids, factors = _collect(frame.where(learned(frame)))
    factors = unit(factors)
    counts, unknown = counted(loading.counts, ids)
    return Factors(counts, factors, queries=factors, notes=notes + unknown)


def load_user_factors(loading: Loading) -> Factors:
    """Users and items; an item's bias becomes the last component of its vector, and each user's is 1 there.

    Raises:
        DataError: something is wrong with the files, or they are not of one model.
    """
    sources, spark = loading.sources, loading.spark
    item_uri, user_uri = sources.items or "", sources.users or sources.items or ""
    items = read_factors(spark, item_uri, Axis.ITEM, sources.form, sources.item_ids)
    of_items = check(items, item_uri, "items")
    users = loading.keep(read_factors(spark, user_uri, Axis.USER, sources.form, sources.user_ids))
    of_users = check(users, user_uri, "users")
    if of_items.rank != of_users.rank:
        raise DataError(
            f"The items of {item_uri} have {of_items.rank} factors, the users of {user_uri} have {of_users.rank}: "
            "give items and users of the same model."
        )
    items, users = items.where(learned(items)), users.where(learned(users))
    if "bias" in items.columns:
        items, users = _with_last(items, F.col("bias")), _with_last(users, F.lit(1.0).cast("float"))
    ids, factors = _collect(items)
    users = users.select(F.col("id").alias("user_id"), "vector")
    choices = None if loading.choices is None else newest_choices(loading.choices, users, ids)
    source = UserSource(users, of_users.rows - of_users.zeros, choices=choices)
    counts, unknown = counted(loading.counts, ids)
    notes = _told_items(of_items, item_uri) + _told_users(of_users, user_uri) + unknown
    return Factors(counts, factors, users=source, sample=_sample_of(users), notes=notes)


def _told_items(found: Checked, uri: str) -> list[str]:
    return [
        _told(found, "item", uri),
        *_told_zeros(
            found,
            "item",
            "nobody met it, so it is left out of the model, as an item without interactions is of a training",
        ),
    ]


def _told_users(found: Checked, uri: str) -> list[str]:
    return [
        _told(found, "user", uri),
        *_told_zeros(found, "user", "it gets the popular items, as an unknown user does"),
    ]


def _told(found: Checked, noun: str, uri: str) -> str:
    return f"{counted_as(found.rows, noun)} with {counted_as(found.rank, 'factor')} each, from {uri}."


def _told_zeros(found: Checked, noun: str, what: str) -> list[str]:
    """What becomes of rows of which nothing was learned."""
    if not found.zeros:
        return []
    has = "has a vector" if found.zeros == 1 else "have vectors"
    return [f"{counted_as(found.zeros, noun)} {has} of zeros, such as {quoted(found.zero or '')}: {what}."]


def _with_last(frame: DataFrame, last: Column) -> DataFrame:
    return frame.select("id", F.concat("vector", F.array(last)).alias("vector"))


def _collect(items: DataFrame) -> tuple[pa.Array, NDArray[np.float32]]:
    """The ids, ascending by their bytes, and the vectors, float32 (I, d), on the driver."""
    table = collect_arrow(items.select("id", "vector"))
    order = pc.sort_indices(table.column("id").cast(pa.binary()))
    return table.column("id").combine_chunks().take(order), as_matrix(table.column("vector"))[order.to_numpy()]


def _sample_of(users: DataFrame) -> NDArray[np.float32]:
    """float32 (n, d): some vectors, chosen by the hash of the id, so that they are the same each time."""
    keyed = users.select(F.crc32("user_id").alias("key"), "user_id", "vector")
    return as_matrix(collect_arrow(keyed.orderBy("key", "user_id").limit(_SAMPLE)).column("vector"))
