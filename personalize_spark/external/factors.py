"""Factors that were read: checked, and brought to where they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.errors import DataError
from personalize_spark.external.tables import EXAMPLES

MAX_ID = 256
"""Characters of an id, as in the service's datasets."""
_NO_ID, _LONG_ID, _NO_VECTOR = "no id", f"an id of more than {MAX_ID} characters", "a vector or bias that is not finite"
_REMEDIES = {
    _NO_ID: "Give every row an id that is not empty.",
    _LONG_ID: "Shorten the ids.",
    _NO_VECTOR: "Vectors hold numbers only, within the range of float32: drop these rows, or train without divergence.",
}


@dataclass(frozen=True)
class Checked:
    """Factors in which nothing is wrong.

    Attributes:
        frame: `id: string`, `vector: array<float>` and, where items have one, `bias: float`.
        uri: where they come from.
        rows: how many there are.
        rank: the length of the vectors, without the bias.
    """

    frame: DataFrame
    uri: str
    rows: int
    rank: int

    @property
    def has_bias(self) -> bool:
        """Whether the items have a bias each."""
        return "bias" in self.frame.columns

    def folded(self) -> DataFrame:
        """The frame with each bias as the last component of its vector."""
        return self._extended(F.col("bias")) if self.has_bias else self.frame

    def users_of(self, items: Checked) -> DataFrame:
        """The frame of users, whose products with such items are `w_u . w_i + b_i`."""
        return self._extended(F.lit(1.0).cast("float")) if items.has_bias else self.frame

    def _extended(self, last: Column) -> DataFrame:
        return self.frame.select("id", F.concat("vector", F.array(last)).alias("vector"))


@dataclass(frozen=True)
class Items:
    """Items on the driver, in ascending order of the bytes of their ids: `factors` float32 (I, d)."""

    ids: pa.Array
    factors: NDArray[np.float32]


def check(frame: DataFrame, uri: str, kind: str) -> Checked:
    """Look at every row.

    Args:
        frame: the frame of `formats.read_factors`; it is evaluated twice.
        uri: where it comes from.
        kind: what its rows are, in the plural.

    Raises:
        DataError: what is wrong with how many rows, and the first of them.
    """
    problems = _problems(frame)
    size = F.size("vector")
    found = frame.agg(
        F.count("*").alias("rows"),
        F.min(size).alias("shortest"),
        F.max(size).alias("longest"),
        *(F.count_if(bad).alias(problem) for problem, bad in problems.items()),
        *(F.min(F.when(bad, F.col("id"))).alias(f"first {problem}") for problem, bad in problems.items()),
    ).collect()[0]
    if not found["rows"]:
        raise DataError(f"{uri} has no {kind}: there is nothing to import.")
    for problem, remedy in _REMEDIES.items():
        if found[problem]:
            first = f", the first is '{found[f'first {problem}'][:MAX_ID]}'" if found[f"first {problem}"] else ""
            raise DataError(f"{uri}: {found[problem]} of {found['rows']} {kind} have {problem}{first}. {remedy}")
    if found["shortest"] != found["longest"] or not found["longest"]:
        raise DataError(
            f"{uri} has vectors of {found['shortest']} to {found['longest']} numbers: all {kind} must have as many, at least 1."
        )
    _check_doubles(frame, uri, kind)
    return Checked(frame, uri, found["rows"], found["longest"])


def check_ranks(items: Checked, users: Checked) -> None:
    """Compare the two sides.

    Raises:
        DataError: they are not of one model.
    """
    if items.rank != users.rank:
        raise DataError(
            f"The items of {items.uri} have {items.rank} factors, the users of {users.uri} have {users.rank}: "
            "give both sides of the same model."
        )


def collect_items(frame: DataFrame) -> Items:
    """Bring a frame with `id` and `vector` to the driver."""
    table = frame.select("id", "vector").toArrow()
    order = pc.sort_indices(table.column("id").cast(pa.binary()))
    flat = np.concatenate([chunk.flatten().to_numpy() for chunk in table.column("vector").chunks])
    return Items(table.column("id").combine_chunks().take(order), flat.reshape(table.num_rows, -1)[order.to_numpy()])


def unit(factors: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (I, d): the rows at length 1, so that products are cosines; a row of zeros stays."""
    wide = factors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (wide / np.where(lengths, lengths, 1.0)).astype(np.float32)
    return scaled


def _problems(frame: DataFrame) -> dict[str, Column]:
    def unusable(value: Column) -> Column:
        return value.isNull() | F.isnan(value) | (F.abs(value) == float("inf"))

    bad = F.col("vector").isNull() | F.exists("vector", unusable)
    return {
        _NO_ID: F.coalesce("id", F.lit("")) == "",
        _LONG_ID: F.length("id") > MAX_ID,
        _NO_VECTOR: bad | unusable(F.col("bias")) if "bias" in frame.columns else bad,
    }


def _check_doubles(frame: DataFrame, uri: str, kind: str) -> None:
    doubles = frame.groupBy("id").count().where("count > 1").orderBy("id").take(EXAMPLES)
    if doubles:
        names = ", ".join(f"'{row['id']}'" for row in doubles)
        raise DataError(f"{uri} has more than one row for {names}: each of its {kind} must have one.")
