"""Ids of rows that have but a number: a list of ids, a table (integer, id), or else the number's decimal text.

Frames and tables of this module have the columns `number: bigint` and `id: string`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.errors import DataError
from personalize_spark.external.arrays import StoredArray
from personalize_spark.external.spark_ml import saved_indexer
from personalize_spark.external.tables import EXAMPLES, read_table
from personalize_spark.storage.location import open_store, split_prefix

LISTS = (".ids.txt", ".ids.json")
"""What the name of an array's list of ids ends with, instead of `.npy`."""


def read_map(spark: SparkSession, uri: str, column: str | None = None) -> DataFrame:
    """A table with the columns integer and id, as CSV, JSON Lines, Parquet or Delta, or the labels of a saved indexer.

    Args:
        spark: a session.
        uri: of the table, or of a StringIndexerModel.
        column: the output of the indexer whose labels are meant, if it has several.

    Raises:
        DataError: it has other columns, something that is no integer, or an integer twice.
    """
    indexer = saved_indexer(uri)
    if indexer is not None:
        return indexer.labels(spark, column)
    table = read_table(spark, uri, {"integer": "bigint", "id": "string"}).withColumnRenamed("integer", "number")
    doubles = table.groupBy("number").count().where("count > 1").orderBy("number").take(EXAMPLES)
    if doubles:
        numbers = ", ".join(str(row["number"]) for row in doubles)
        raise DataError(f"{uri} names {numbers} more than once: give each integer one id.")
    return table


def list_beside(array: StoredArray, uri: str) -> pa.Table | None:
    """The list that lies beside the `.npy` file of an array: one id a line, or a JSON array; `None` if there is none.

    Raises:
        DataError: the list cannot be read, or is not as long as the array.
    """
    folder, name = split_prefix(uri.removesuffix(".npy"))
    store = open_store(folder)
    found = [each.name for each in store.list(f"{name}.ids.") if each.name in {name + end for end in LISTS}]
    if not found:
        return None
    where = store.root + found[0]
    try:
        data = store.read(found[0])
        ids = orjson.loads(data) if where.endswith(".json") else data.decode("utf-8-sig").splitlines()
    except ValueError as error:
        raise DataError(f"{where} cannot be read as UTF-8 text or JSON: {error}.") from error
    if not isinstance(ids, list):
        raise DataError(f"{where} does not contain a JSON array of ids.")
    return _listed(ids, array, where)


def list_of(ids: StoredArray, array: StoredArray) -> pa.Table:
    """The ids of the rows of an array, which another one holds.

    Raises:
        DataError: they are not texts or whole numbers, or not as many.
    """
    texts = ids.of("Uiu", (1,)).rows(0, ids.shape[0]).tolist()
    return _listed(texts, array, ids.name)


def named(rows: DataFrame, numbers: DataFrame, ids: DataFrame | None, uri: str) -> DataFrame:
    """Rows and their ids.

    Args:
        rows: with a column `number`.
        numbers: that column of all rows, by a way that reads nothing else.
        ids: their ids; `None`: the numbers.
        uri: where the rows come from.

    Raises:
        DataError: a row has no id.
    """
    if ids is None:
        return rows.withColumn("id", F.col("number").cast("string"))
    missing = numbers.join(ids, "number", "left_anti").orderBy("number").take(EXAMPLES)
    if missing:
        few = ", ".join(str(row["number"]) for row in missing)
        raise DataError(f"The ids given for {uri} lack row {few}: give every row an id.")
    return rows.join(ids, "number")


def _listed(ids: Sequence[Any], array: StoredArray, where: str) -> pa.Table:
    """Ids in the order of their rows; a number becomes its decimal text, `null` stays."""
    if len(ids) != array.shape[0]:
        raise DataError(
            f"{where} holds {len(ids)} ids, {array.name} has {array.shape[0]} rows: give one id per row, in the same order."
        )
    texts = pa.array([None if each is None else str(each) for each in ids], pa.string())
    return pa.table({"number": pa.array(range(len(ids)), pa.int64()), "id": texts})
