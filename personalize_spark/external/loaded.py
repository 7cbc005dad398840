"""What an import is given: where it lies, and what is found there, checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from personalize_spark.external.counts import calibrate, counted
from personalize_spark.external.factors import Items, check, check_ranks, collect_items, unit
from personalize_spark.external.formats import Side, read_factors
from personalize_spark.training.interactions import persisted


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
class Given:
    """A model that is ready to be written.

    Attributes:
        items: (item_id, events), by ascending bytes of the ids.
        factors: float32 (I, d), in that order; `None` where the recipe has none.
        users: `id` and `vector`, with one row for each of `rows` users; `None` where the recipe has none.
        rows: how many users there are.
        temperature: of the scores.
        metrics: what fitting the temperature has shown.
    """

    items: pa.Table
    factors: NDArray[np.float32] | None = None
    users: DataFrame | None = None
    rows: int = 0
    temperature: float = 1.0
    metrics: dict[str, float] = field(default_factory=dict)


def given_counts(counts: DataFrame) -> Given:
    """Items of which nothing but their counts (item_id, events) is known."""
    return Given(counted(counts, None))


def given_items(spark: SparkSession, sources: Sources, counts: DataFrame) -> Given:
    """Items that are compared with each other: by the cosine, so without a bias."""
    uri = sources.items or ""
    found = collect_items(
        check(read_factors(spark, uri, Side.ITEM, sources.form, sources.item_ids), uri, "items").frame
    )
    return Given(counted(counts, found.ids), unit(found.factors))


@contextmanager
def given_users(
    spark: SparkSession, sources: Sources, counts: DataFrame, calibrating: DataFrame | None
) -> Iterator[Given]:
    """Items and users, which are kept until the end of the block.

    Args:
        spark: the session.
        sources: where they lie.
        counts: (item_id, events).
        calibrating: the pairs that the temperature is fitted to; `None`: it is 1.
    """
    item_uri, user_uri = sources.items or "", sources.users or sources.items or ""
    items = check(read_factors(spark, item_uri, Side.ITEM, sources.form, sources.item_ids), item_uri, "items")
    with persisted(read_factors(spark, user_uri, Side.USER, sources.form, sources.user_ids)) as frame:
        users = check(frame, user_uri, "users")
        check_ranks(items, users)
        found = collect_items(items.folded())
        vectors = users.users_of(items)
        given = Given(counted(counts, found.ids), found.factors, vectors, users.rows)
        yield given if calibrating is None else _calibrated(given, vectors, found, calibrating)


def _calibrated(given: Given, users: DataFrame, items: Items, pairs: DataFrame) -> Given:
    fitted, count = calibrate(pairs, users, items)
    uniform = float(np.log(len(items.factors)))
    metrics = {"calibratingUsers": count, "logLoss": fitted.log_loss, "logLossUniform": uniform}
    return replace(given, temperature=fitted.temperature, metrics=metrics)
