"""The formats that factors come in, each read as a frame with the columns `id: string` and `vector: array<float>`.

    als        a saved Spark ML ALSModel: the folder itself, or its itemFactors and userFactors; ids may be the labels of a
               saved StringIndexerModel
    implicit   the .npz that implicit's save writes: item_factors and user_factors; where it holds arrays item_ids and
               user_ids, these are the ids
    npy        a two-dimensional .npy, beside it the ids: `items.npy` has `items.ids.txt` (one a line) or `items.ids.json`
    parquet    a Parquet or Delta folder with the columns id and vector (or features), or id, f0, f1 and so on

Items may have a bias as well, which is a column `bias: float` here: a column of that name in Parquet, or `items.bias.npy`.
implicit keeps its own in the factors. A user's bias changes neither order nor score, so it is left where it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do
from pyspark.sql.types import ArrayType, IntegralType, NumericType, StringType

from personalize_spark.errors import DataError, InvalidInputException
from personalize_spark.external.arrays import StoredArray, open_npy, open_npz
from personalize_spark.external.ids import list_beside, list_of, named, read_map
from personalize_spark.external.spark_ml import saved_indexer, saved_models
from personalize_spark.external.tables import names_below, open_table, select
from personalize_spark.spark import frame_of
from personalize_spark.storage.location import open_store, split_prefix

_ROWS = 8_192
"""Rows of an array that are read at once."""
_ROWS_PER_TASK = 1 << 17
_NUMBERED = re.compile(r"([A-Za-z_]*?)_?([0-9]+)")
"""A column of one factor."""


class Axis(StrEnum):
    """Whose factors."""

    ITEM = "item"
    USER = "user"


Reader = Callable[[SparkSession, str, Axis, str | None], DataFrame]
"""From a URI, and the URI of a table of ids or `None`, to the frame."""


def read_factors(spark: SparkSession, uri: str, axis: Axis, form: str | None, ids: str | None) -> DataFrame:
    """Factors as a frame: `id`, `vector` and, for items that have one, `bias`; nothing of the values is checked yet.

    Args:
        spark: a session, with Delta where a Delta table is read.
        uri: of the file or folder.
        axis: whose they are.
        form: the name of the format; `None`: what the file looks like.
        ids: the URI of a table (integer, id) for formats that number their rows.

    Raises:
        InvalidInputException: there is no such format, or its rows have ids of their own.
        DataError: the files are not of this format.
    """
    chosen = form or _looks_like(uri)
    if chosen not in FORMATS:
        raise InvalidInputException(f"There is no format '{chosen}'; supported: {', '.join(FORMATS)}.")
    if ids is not None and chosen == "parquet":
        raise InvalidInputException(f"The rows of {uri} have ids: leave --{axis}-ids out.")
    return FORMATS[chosen](spark, uri, axis, ids)


def _looks_like(uri: str) -> str:
    if uri.endswith(".npz"):
        return "implicit"
    if uri.endswith(".npy"):
        return "npy"
    is_als = any(name.startswith(("itemFactors/", "userFactors/")) for name in names_below(uri))
    return "als" if is_als or uri.rstrip("/").endswith(("/itemFactors", "/userFactors")) else "parquet"


def _read_als(spark: SparkSession, uri: str, axis: Axis, ids: str | None) -> DataFrame:
    folder = f"{axis}Factors/"
    whole = any(name.startswith(folder) for name in names_below(uri))
    table = f"{uri.rstrip('/')}/{folder}" if whole else uri
    rows = select(_gathered(open_table(spark, table)), table, "id", "vector").withColumnRenamed("id", "number")
    rows, numbers = _typed(rows, table), rows.select("number")
    if ids is None:
        return named(rows, numbers, None, uri)
    column = next((each.params.get(f"{axis}Col") for each in saved_models(uri)[:1]), None)
    labels = read_map(spark, ids, column)
    indexer = saved_indexer(ids)
    if indexer is not None and indexer.keeps_unknown:
        numbers = numbers.where(F.col("number") < labels.count())  # the number of all that had no label has no id
    return named(rows, numbers, labels, uri)


def _read_implicit(spark: SparkSession, uri: str, axis: Axis, ids: str | None) -> DataFrame:
    factors, own = _implicit_arrays(uri, axis)
    given = read_map(spark, ids) if ids else frame_of(spark, list_of(own, factors)) if own else None
    return _rows_of(spark, factors, None, given, uri)


def _implicit_arrays(uri: str, axis: Axis) -> tuple[StoredArray, StoredArray | None]:
    """The factors, and the ids if the file holds them."""
    arrays = open_npz(uri)
    factors = arrays.get(f"{axis}_factors")
    if factors is None:
        raise DataError(
            f"{uri} holds {', '.join(arrays) or 'no array'}, but no {axis}_factors: give what implicit's save has written."
        )
    return factors, arrays.get(f"{axis}_ids")


def _read_npy(spark: SparkSession, uri: str, axis: Axis, ids: str | None) -> DataFrame:
    factors = open_npy(uri)
    given = read_map(spark, ids) if ids else frame_of(spark, _ids_beside(factors, uri, axis))
    bias = _bias_beside(uri, factors) if axis == Axis.ITEM else None
    return _rows_of(spark, factors, bias, given, uri)


def _ids_beside(factors: StoredArray, uri: str, axis: Axis) -> pa.Table:
    given = list_beside(factors, uri)
    if given is None:
        stem = uri.removesuffix(".npy")
        raise DataError(
            f"{uri} has no ids: put {stem}.ids.txt (one id a line) or {stem}.ids.json beside it, or give --{axis}-ids."
        )
    return given


def check_arrays(uri: str, axis: Axis, form: str | None, ids: str | None) -> None:
    """Check what arrays are like and whether their ids fit, without Spark; other formats are left to it.

    Raises:
        DataError: as `read_factors`.
    """
    chosen = form or _looks_like(uri)
    if chosen == "npy":
        factors = open_npy(uri).of("fiu", (2,))
        if ids is None:
            _ids_beside(factors, uri, axis)
        if axis == Axis.ITEM:
            _bias_beside(uri, factors)
    elif chosen == "implicit":
        factors, own = _implicit_arrays(uri, axis)
        if own is not None and ids is None:
            list_of(own, factors.of("fiu", (2,)))


def are_arrays(uri: str, form: str | None) -> bool:
    """Whether the factors are arrays, which tasks read from the store: Spark itself reads the others."""
    return (form or _looks_like(uri)) in {"npy", "implicit"}


def _bias_beside(uri: str, factors: StoredArray) -> StoredArray | None:
    path = f"{uri.removesuffix('.npy')}.bias.npy"
    folder, name = split_prefix(path)
    if not any(each.name == name for each in open_store(folder).list(name)):
        return None
    bias = open_npy(path).of("fiu", (1,))
    if bias.shape[0] != factors.shape[0]:
        raise DataError(f"{path} has {bias.shape[0]} biases for {factors.shape[0]} items: give each item one.")
    return bias


def _read_parquet(spark: SparkSession, uri: str, axis: Axis, ids: str | None) -> DataFrame:  # noqa: ARG001  # the ids are there
    table = _gathered(open_table(spark, uri))
    has_bias = axis == Axis.ITEM and "bias" in map(str.lower, table.columns)
    rows = _typed(select(table, uri, "id", "vector", *(["bias"] if has_bias else [])), uri)
    if not isinstance(rows.schema["id"].dataType, StringType | IntegralType):
        kind = rows.schema["id"].dataType.simpleString()
        raise DataError(f"The column id of {uri} is of type {kind}: make it a string.")
    return rows.withColumn("id", F.col("id").cast("string"))


def _gathered(table: DataFrame) -> DataFrame:
    """The table with its vectors in the column `vector`, whether they are called `features` or spread over columns f0, f1 and so on."""
    names = {name.lower(): name for name in table.columns}
    if "vector" in names:
        return table
    if "features" in names:
        return table.withColumnRenamed(names["features"], "vector")
    spread: dict[str, dict[int, str]] = {}
    for name in table.columns:
        if (numbered := _NUMBERED.fullmatch(name)) is not None:
            spread.setdefault(numbered[1], {})[int(numbered[2])] = name
    for columns in spread.values():
        first = min(columns)
        if first in {0, 1} and len(columns) > 1 and max(columns) - first == len(columns) - 1:
            numbers = [F.expr(f"try_cast(`{columns[number]}` as float)") for number in sorted(columns)]
            return table.withColumn("vector", F.array(*numbers))
    return table


FORMATS: Mapping[str, Reader] = {
    "als": _read_als,
    "implicit": _read_implicit,
    "parquet": _read_parquet,
    "npy": _read_npy,
}


def _typed(rows: DataFrame, uri: str) -> DataFrame:
    """The vectors as arrays of floats, whether they are arrays of other numbers or Spark ML's own vectors."""
    kind = rows.schema["vector"].dataType
    vector = F.col("vector")
    if isinstance(kind, VectorUDT):
        vector = vector_to_array(vector, "float32")
    elif not (isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType)):
        raise DataError(f"The vectors of {uri} are of type {kind.simpleString()}: make them arrays of float.")
    rows = rows.withColumn("vector", vector.cast("array<float>"))
    return rows.withColumn("bias", F.col("bias").cast("float")) if "bias" in rows.columns else rows


def _rows_of(
    spark: SparkSession, factors: StoredArray, bias: StoredArray | None, ids: DataFrame | None, uri: str
) -> DataFrame:
    """The rows of an array, which tasks read from the store, each its own."""
    factors = factors.of("fiu", (2,))
    count = factors.shape[0]
    numbers = spark.range(0, count, 1, max(1, -(-count // _ROWS_PER_TASK))).toDF("number")
    columns = "number bigint, vector array<float>" + (", bias float" if bias else "")
    return named(numbers.mapInArrow(_reading(factors, bias), columns), numbers, ids, uri)


def _reading(
    factors: StoredArray, bias: StoredArray | None
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, _ROWS):
                numbers = batch.column(0).slice(start, _ROWS)
                yield _read_rows(factors, bias, numbers)

    return run


def _read_rows(factors: StoredArray, bias: StoredArray | None, numbers: pa.Array) -> pa.RecordBatch:
    """The rows of consecutive numbers."""
    first, end = numbers[0].as_py(), numbers[-1].as_py() + 1
    vectors = _floats(factors.rows(first, end))
    ends = pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1])
    columns = {"number": numbers, "vector": pa.ListArray.from_arrays(ends, vectors.ravel())}
    if bias is not None:
        columns["bias"] = pa.array(_floats(bias.rows(first, end)))
    return pa.RecordBatch.from_pydict(columns)


def _floats(values: NDArray[Any]) -> NDArray[np.float32]:
    """What is beyond float32 becomes infinite, and is found by the check of the values."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
