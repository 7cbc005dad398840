"""Tables that are handed in: a CSV, JSON Lines or Parquet file, or a folder of such files, or a Delta table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.errors import DataError
from personalize_spark.storage.location import hadoop_uri, open_store, split_prefix

EXAMPLES = 3
"""How many bad values an error names."""
_PARQUET = b"PAR"
_TEXT = {".csv": "csv", ".json": "json", ".jsonl": "json"}


def names_below(uri: str) -> list[str]:
    """The names, relative to the folder of `uri`, of the file or of all files of the folder that it is.

    Raises:
        DataError: there is nothing.
    """
    folder, prefix = split_prefix(uri.rstrip("/"))
    store = open_store(folder)
    names = [each.name for each in store.list(prefix) if each.name == prefix or each.name.startswith(f"{prefix}/")]
    if not names:
        raise DataError(f"There is nothing at {uri}: give the file or folder to import.")
    return [name.removeprefix(f"{prefix}/") for name in names]


def kind_of(uri: str) -> str:
    """What Spark reads the table as: delta, csv, json or parquet; this takes no session.

    Raises:
        DataError: there is nothing, or no table.
    """
    names = names_below(uri)
    if _are_delta(names):
        return "delta"
    plain = [name for name in names if not name.rpartition("/")[2].startswith(("_", "."))]
    kinds = (_TEXT[end] for end in _TEXT for name in plain if name.removesuffix(".gz").endswith(end))
    kind = next(kinds, "parquet")
    if kind == "parquet":
        _check_parquet(uri)
    return kind


def needs_jars(uri: str) -> bool:
    """Whether Spark needs jars besides its own to read what lies here: Delta's, or S3A's.

    Raises:
        DataError: there is nothing.
    """
    return hadoop_uri(uri).startswith("s3a:") or _are_delta(names_below(uri))


def _are_delta(names: Iterable[str]) -> bool:
    return any(name.startswith("_delta_log/") for name in names)


def open_table(spark: SparkSession, uri: str) -> DataFrame:
    """The table as Spark reads it; the values of a CSV file, which has a header, are strings.

    Raises:
        DataError: there is nothing, or nothing that Spark can read.
    """
    kind = kind_of(uri)
    reader = spark.read.format(kind)
    if kind == "csv":
        reader = reader.options(header=True, escape='"', multiLine=True)
    try:
        return reader.load(hadoop_uri(uri))
    except Exception as error:  # py4j's errors have no common base
        raise DataError(f"{uri} cannot be read as {kind}: {str(error).strip().partition(chr(10))[0]}") from error


def _check_parquet(uri: str) -> None:
    """Look into the first file with content; Spark's own word for one that is no Parquet is a page of stack."""
    folder, prefix = split_prefix(uri.rstrip("/"))
    store = open_store(folder)
    below = (each for each in store.list(prefix) if each.name == prefix or each.name.startswith(f"{prefix}/"))
    seen = (each for each in below if each.size and not each.name.rpartition("/")[2].startswith(("_", ".")))
    first = next(seen, None)
    if first is not None and store.read(first.name, 0, len(_PARQUET)) != _PARQUET:
        raise DataError(
            f"{uri} is not a table: give CSV (.csv), JSON Lines (.json, .jsonl), Parquet or Delta; "
            f"{first.name.rpartition('/')[2]} is none of these."
        )


def select(table: DataFrame, uri: str, *names: str) -> DataFrame:
    """Some columns.

    Raises:
        DataError: the table lacks one.
    """
    missing = [name for name in names if name.lower() not in map(str.lower, table.columns)]
    if missing:
        raise DataError(
            f"{uri} has the columns {', '.join(table.columns)}; it needs {' and '.join(names)}: "
            f"rename or add {' and '.join(missing)}."
        )
    return table.select(*(F.col(name).alias(name) for name in names))


def read_table(spark: SparkSession, uri: str, columns: Mapping[str, str]) -> DataFrame:
    """Some columns, each cast to a type of Spark SQL.

    Raises:
        DataError: the table lacks one, or a value is missing or not of the type.
    """
    raw = select(open_table(spark, uri), uri, *columns)
    typed = {name: F.expr(f"try_cast(`{name}` as {kind})") for name, kind in columns.items()}
    missing = reduce(or_, (value.isNull() for value in typed.values()))
    if bad := raw.where(missing).take(EXAMPLES):
        rows = "; ".join(", ".join(f"{name} {row[name]!r}" for name in columns) for row in bad)
        wanted = " and ".join(f"{name} of type {kind}" for name, kind in columns.items())
        raise DataError(f"{uri} has rows like {rows}: every row must have {wanted}.")
    return raw.select(*(value.alias(name) for name, value in typed.items()))
