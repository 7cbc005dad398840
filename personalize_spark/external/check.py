"""Factors that were read are looked at before anything is made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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
    """What rows of factors are like.

    Attributes:
        rows: how many there are.
        rank: the length of their vectors.
        zeros: how many have a vector of zeros, and no bias: nothing was learned of them.
        zero: the first of these.
    """

    rows: int
    rank: int
    zeros: int
    zero: str | None


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
    size, zero = F.size("vector"), ~learned(frame)
    found = frame.agg(
        F.count("*").alias("rows"),
        F.min(size).alias("shortest"),
        F.max(size).alias("longest"),
        F.count_if(zero).alias("zeros"),
        F.min(F.when(zero, F.col("id"))).alias("zero"),
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
            f"{uri} has vectors of {found['shortest']} to {found['longest']} numbers: all {kind} must have vectors of the same length, at least 1."
        )
    _check_doubles(frame, uri, kind)
    if found["zeros"] == found["rows"]:
        raise DataError(f"{uri}: the vectors of all {kind} are zero, so nothing was learned. Train the model again.")
    return Checked(found["rows"], found["longest"], found["zeros"], found["zero"])


def learned(frame: DataFrame) -> Column:
    """Which rows have a number that is not zero, in their vector or as their bias."""
    there = F.exists("vector", lambda value: value != 0)
    return there | (F.col("bias") != 0) if "bias" in frame.columns else there


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
