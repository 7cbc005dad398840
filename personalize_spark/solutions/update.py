"""trainingMode UPDATE: a new solution version from an older one, without fitting again; ALS's equations are solved once more.

Users are folded in with the items that the model knows, then its new items with these users (the same equation with the sides
exchanged, see `fold_in`), then all users again with all items. Where the model is what follows what, that is counted again. The scale of
the scores stays: nothing is fitted, so nothing is held out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.artifacts.artifact import Artifact
from personalize_spark.artifacts.model import read_model
from personalize_spark.errors import DataError
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.solutions.refresh_users import numbers_of
from personalize_spark.solutions.write_users import UserSide, fold_in_users
from personalize_spark.spark import collect_arrow
from personalize_spark.training.factors import Factors, UserSource
from personalize_spark.training.fold_in import AlsFoldIn, Histories, gram
from personalize_spark.training.interactions import collect_items, number_items
from personalize_spark.training.sequences import SequenceForm, train_forms
from personalize_spark.training.temperature import Scale
from personalize_spark.training.training import Training
from personalize_spark.training.vectors import as_lists, as_matrix

_SAMPLE = 4096


def update(spark: SparkSession, training: Training, *, base: Artifact) -> Factors:
    """A model of all interactions on the factors of another one.

    Args:
        spark: the session.
        training: the training; its hyperparameters do not matter.
        base: the model of an earlier training.

    Raises:
        DataError: a factorised model has no factors of these interactions.
    """
    known, side = numbers_of(spark, base), UserSide.of(base)
    assert side.fold_in is not None  # noqa: S101  # it was trained here
    scale = Scale(side.curve.temperature, base.properties["popularityShare"], side.curve.bend)
    named: Sequence[str] = ("hyperparameters", "metrics", "form")
    kept = {name: base.properties[name] for name in named if name in base.properties} | {"updated": base.sha256}
    if not isinstance(side.fold_in, AlsFoldIn):
        items, pairs = training.numbered
        everything = items.drop_columns(["known"]), pairs.withColumn("held", F.lit(None).cast("boolean"))
        counted = next(train_forms(training, [SequenceForm(**base.properties["form"])], everything), None)
        if counted is None:
            raise DataError("The model has no factors of these interactions: train a version in the mode FULL.")
        return replace(counted, scale=scale, properties=kept)
    settings = side.fold_in.properties()
    fold_in = partial(AlsFoldIn.of, alpha=settings["alpha"], regularization=settings["regularization"])
    numbered = training.keep(number_items(training.pairs))
    items = collect_items(numbered)
    users = training.keep(fold_in_users(training.pairs.join(known, "item_id"), side))
    new = training.pairs.join(known, "item_id", "left_anti").join(users, "user_id")
    pairs = training.pairs.join(numbered.select("item_id", "item"), "item_id")
    return Factors(
        items,
        _factors(items, base, _new_items(new, _gram(users), settings)),
        users=UserSource(pairs, training.totals.users, fold_in),
        sample=_without_last(collect_arrow(users.orderBy("user_id").limit(_SAMPLE)).column("vector")),
        popular=True,
        scale=scale,
        properties=kept,
    )


def _factors(items: pa.Table, base: Artifact, new: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """float32 (I, d), by item number: those of the base, and the new ones; zeros for an item whose users know no other item."""
    model, names = read_model(base), items.column("item_id").to_pylist()
    assert model.matrix is not None  # noqa: S101  # it has a fold-in
    rows = model.rows_of(names)
    factors = np.zeros((len(rows), model.matrix.factors.shape[1] - 1), np.float32)
    factors[rows >= 0] = model.matrix.factors[rows[rows >= 0], :-1]
    for number in np.flatnonzero(rows < 0).tolist():
        if names[number] in new:
            factors[number] = new[names[number]]
    return factors


def _gram(users: DataFrame) -> NDArray[np.float64]:
    """``X'X`` of all users, float64 (d, d), added up where they are."""
    parts = collect_arrow(users.mapInArrow(_partial_grams, "gram array<double>")).column("gram").combine_chunks()
    flat: NDArray[np.float64] = parts.flatten().to_numpy().reshape(max(1, len(parts)), -1).sum(axis=0)
    width = int(np.sqrt(len(flat)))
    return flat.reshape(width, width)


def _partial_grams(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows:
            products = gram(_without_last(batch.column("vector"))).ravel()
            lists = pa.ListArray.from_arrays(pa.array([0, len(products)], pa.int32()), products)
            yield pa.RecordBatch.from_arrays([lists], ["gram"])


def _new_items(
    met: DataFrame, products: NDArray[np.float64], settings: dict[str, float]
) -> dict[str, NDArray[np.float32]]:
    """By id, the factors of new items: float32 (d,).

    Args:
        met: (item_id, user_id, events, vector) of those who met them.
        products: the gram matrix of all users.
        settings: of the fold-in.
    """
    entry = F.struct("user_id", F.col("events").cast("float").alias("events"), "vector")
    histories = met.groupBy("item_id").agg(F.sort_array(F.collect_list(entry)).alias("users"))
    histories = histories.select(
        "item_id", F.col("users.events").alias("events"), F.flatten("users.vector").alias("vectors")
    )
    table = collect_arrow(
        histories.mapInArrow(partial(_solve, products, settings), "item_id string, vector array<float>")
    )
    width = len(products)
    return dict(zip(table.column("item_id").to_pylist(), as_matrix(table.column("vector"), width), strict=True))


def _solve(
    products: NDArray[np.float64], settings: dict[str, float], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    fold_in = AlsFoldIn(products, **settings)
    for batch in batches:
        events = batch.column("events")
        source = batch.column("vectors").flatten().to_numpy().reshape(-1, len(products) + 1)[:, :-1]
        entries = Ragged.of_lengths(events.value_lengths().to_numpy(), np.arange(len(source), dtype=np.int32))
        histories = Histories(entries, events.flatten().to_numpy(), np.zeros(len(source), np.int64))
        lists = as_lists(fold_in.vectors(source, histories))
        yield pa.RecordBatch.from_arrays([batch.column("item_id"), lists], ["item_id", "vector"])


def _without_last(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float32]:
    """float32 (n, d): vectors without their last component, which is not ALS's."""
    return as_matrix(column)[:, :-1]
