"""Tables as datasets: the rows of a Parquet or Delta table, or of a frame, checked as the rows of CSV files are.

A table has types, so nothing is inferred from values. Each value becomes its text, and from there on a row is a row of CSV:
the same lengths, ranges and missing values count. A row of a table has no line; a rejected one is shown with its values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it
from pyspark.sql import types as T  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from personalize_spark.datasets.rows import FILE, REASON, Reading, arrow_schema, check_header, checked, renamed
from personalize_spark.datasets.table_files import TableFiles, TableSource
from personalize_spark.datasets.times import TIMES, TimeForm
from personalize_spark.errors import DataError, InvalidInputException, quoted
from personalize_spark.schemas import INTERACTIONS, Column, Schema, is_required, known_type
from personalize_spark.storage.location import hadoop_uri

_EXACT_DIGITS, _LONG_DIGITS = 15, 18
"""Decimal digits that every double, and every integer of 64 bits, keeps."""
_DAY = 86_400
_IDS = {"USER_ID", "ITEM_ID"}
_PLAIN = (T.StringType, T.BooleanType, T.DateType, T.IntegralType)
"""Types whose values have one text."""
_KINDS = (
    ((T.LongType, T.TimestampType, T.TimestampNTZType), "long"),
    (T.IntegralType, "int"),
    (T.FloatType, "float"),
    (T.DoubleType, "double"),
    (_PLAIN, "string"),
)
"""Booleans are strings, since a filter cannot have a boolean field."""


@dataclass(frozen=True)
class Table:
    """What to read of a dataset: a frame, in the columns of the schema; `adds` to the rows that are there.

    Attributes:
        name: what messages call the table.
        frame: its rows; all columns are texts, called as in the schema.
        reading: the schema, and how the texts are to be read.
        adds: whether the rows are added.
        notes: what was read otherwise than it stands there.
    """

    name: str
    frame: DataFrame
    reading: Reading
    adds: bool
    notes: list[str]

    @property
    def schema(self) -> Schema:
        """The columns of the dataset."""
        return self.reading.schema

    def checked_rows(self) -> DataFrame:
        """All rows in the columns of `arrow_schema`, and where each comes from."""
        fields = arrow_schema(self.schema).append(pa.field(FILE, pa.string()))
        check = partial(_check_rows, self.reading, self.name, fields)
        return self.frame.select(*self.schema.names).mapInArrow(check, from_arrow_schema(fields))


def open_table(spark: SparkSession, table: TableFiles) -> DataFrame:
    """The table as Spark reads it; the folders of a partitioned one are texts, since nothing gives them a type.

    Raises:
        DataError: Spark cannot read it, or it has no such version.
    """
    reader = spark.read.format(table.form)
    if table.version is not None:
        reader = reader.option("versionAsOf", table.version)
    place = hadoop_uri(table.uri)
    try:
        frame = reader.load(place)
        if not table.partitions:
            return frame
        fields = [
            T.StructField(each.name, T.StringType()) if each.name in table.partitions else each
            for each in frame.schema.fields
        ]
        return spark.read.format(table.form).schema(T.StructType(fields)).load(place)
    except Exception as error:  # py4j's errors have no common base
        why = str(error).strip().partition("\n")[0]
        raise DataError(f"{table.uri} cannot be read as {table.form}: {why}") from error


def plan_table(
    dataset: str, source: TableSource, spark: SparkSession, given: Schema | None, kept: Reading | None
) -> Table:
    """Settle the schema of a table and how its columns become texts; no row is read.

    Args:
        dataset: Interactions, Items or Users.
        source: the table.
        spark: reads it, if it is no frame.
        given: the schema that was given; else the types of the table decide.
        kept: how the rows that are there were read, if any are added to.

    Raises:
        InvalidInputException: the table lacks columns, or one is of a type that no column of the schema can have.
        DataError: Spark cannot read the table.
    """
    name, frame, parts = _opened(dataset, source.table, spark)
    settled = given or (kept.schema if kept else None)
    header = _as_known(dataset, renamed(frame.columns, source.names), settled.names if settled else ())
    types = dict(zip(header, (each.dataType for each in frame.schema.fields), strict=True))
    schema, notes = (settled, []) if settled else _schema_of(dataset, name, types, parts)
    check_header(name, header, schema)
    columns = [
        _text(name, each, types[each.name], _named(frame.columns[header.index(each.name)])) for each in schema.columns
    ]
    notes += [note for _, note in columns if note]
    renames = [f"{theirs} as {ours}" for theirs, ours in zip(frame.columns, header, strict=True) if theirs != ours]
    notes += [f"Read {', '.join(renames)}."] if renames else []
    if settled and (more := sorted(set(header) - set(schema.names))):
        notes.append(f"The schema of {dataset} has no {', '.join(more)}: left out.")
    times = {each: TimeForm.DECIMAL for each in TIMES if isinstance(types.get(each), T.FractionalType)}
    texts = frame.select(*(text.alias(each.name) for each, (text, _) in zip(schema.columns, columns, strict=True)))
    words = kept is not None and given is None and kept.missing_words
    return Table(name, texts, Reading(schema, times, words), kept is not None, notes)


def _opened(dataset: str, table: TableFiles | DataFrame, spark: SparkSession) -> tuple[str, DataFrame, tuple[str, ...]]:
    """What messages call a table, its frame, and the columns that folders name."""
    if isinstance(table, TableFiles):
        return table.uri, open_table(spark, table), table.partitions
    return f"The frame of {dataset}", table, ()


def _as_known(dataset: str, header: Sequence[str], wanted: Collection[str]) -> list[str]:
    """The header as the schema writes it: Spark's names have no case, those of a schema have."""
    known = {each.upper(): each for each in wanted}
    return [
        known.get(each.upper(), each.upper() if not wanted and known_type(dataset, each.upper()) else each)
        for each in header
    ]


def _schema_of(
    dataset: str, name: str, types: Mapping[str, T.DataType], partitions: Collection[str]
) -> tuple[Schema, list[str]]:
    """The schema that the types of a table make, and what to say of it."""
    kinds = {column: known_type(dataset, column) or _kind(kind) for column, kind in types.items()}
    columns = tuple(
        Column(
            column,
            kind,
            nullable=not is_required(dataset, column),
            categorical=kind == "string" and known_type(dataset, column) is None and dataset != INTERACTIONS,
        )
        for column, kind in kinds.items()
        if kind
    )
    try:
        schema = Schema.parse(dataset, Schema(dataset, columns).avro())
    except InvalidInputException as error:
        raise InvalidInputException(f"{name} has the columns {', '.join(types)}. {error.message}") from error
    notes = [
        f"{column} is of the type {types[column].simpleString()}, which no column can have: left out."
        for column, kind in kinds.items()
        if not kind
    ]
    if parts := [each for each in partitions if kinds.get(each) == "string"]:
        notes.append(f"{', '.join(parts)}: from the names of folders, so a string.")
    return schema, notes


def _kind(kind: T.DataType) -> str | None:
    """The type of a column of a schema; a string, where a number would change a value; `None` if there is none."""
    if isinstance(kind, T.DecimalType):
        if kind.scale == 0 and kind.precision <= _LONG_DIGITS:
            return "long"
        return "double" if kind.precision <= _EXACT_DIGITS else "string"
    if isinstance(kind, T.ArrayType):
        return "string" if isinstance(kind.elementType, _PLAIN) else None
    return next((name for types, name in _KINDS if isinstance(kind, types)), None)


def _text(table: str, column: Column, kind: T.DataType, value: Expression) -> tuple[Expression, str | None]:
    """A column's values as the texts that a CSV file would have, and what to say of that.

    Raises:
        InvalidInputException: the column is of a type that has no such texts.
    """
    name = column.name
    if isinstance(kind, T.ArrayType) and column.is_text and isinstance(kind.elementType, _PLAIN):
        return F.concat_ws("|", value.cast("array<string>")), f"{name} is an array: its values are joined by |."
    if isinstance(kind, T.TimestampType):
        seconds, note = F.unix_seconds(value), f"{name} is a timestamp: read as epoch seconds."
    elif isinstance(kind, T.TimestampNTZType):
        seconds = F.unix_seconds(F.concat(value.cast("string"), F.lit("Z")).cast("timestamp"))
        note = f"{name} is a timestamp without a zone: read as UTC, as epoch seconds."
    elif isinstance(kind, T.DateType) and not column.is_text:
        seconds, note = (
            F.unix_date(value).cast("bigint") * _DAY,
            f"{name} is a date: read as epoch seconds of its midnight in UTC.",
        )
    elif _kind(kind) is None or (name in _IDS and isinstance(kind, T.FractionalType) and _kind(kind) != "long"):
        raise InvalidInputException(
            f"{table}: {name} is of the type {kind.simpleString()}; cast it to {'a string' if column.is_text else column.type}."
        )
    elif isinstance(kind, T.DoubleType | T.FloatType):
        return F.when(~F.isnan(value), value.cast("string")), None
    else:
        return value.cast("string"), None
    return seconds.cast("string"), note


def _named(column: str) -> Expression:
    """A column of a frame, whatever characters its name has."""
    return F.col(f"`{column.replace('`', '``')}`")


def _check_rows(
    reading: Reading, name: str, fields: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        texts = [pc.if_else(pc.equal(each, ""), None, each.cast(pa.string())) for each in batch.columns]
        reasons: NDArray[np.object_] = np.full(batch.num_rows, None, object)
        rows = checked(texts, [None] * batch.num_rows, reading, reasons)
        why = [None if reason is None else f"{reason} ({_shown(batch, row)})" for row, reason in enumerate(reasons)]
        rows = rows.set_column(rows.schema.get_field_index(REASON), REASON, pa.array(why, pa.string()))
        where = pa.array([name] * rows.num_rows, pa.string())
        yield pa.RecordBatch.from_arrays([*rows.columns, where], schema=fields)


def _shown(batch: pa.RecordBatch, row: int) -> str:
    """The values of a row, as a table has no lines to name it by."""
    values = {name: column[row].as_py() for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    shown = (f"{name} {'null' if value is None else quoted(value)}" for name, value in values.items())
    return f"row: {', '.join(shown)}"
