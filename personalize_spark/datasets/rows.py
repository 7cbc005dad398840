r"""CSV rows in the service's form: read, typed, and the bad ones named by line and reason.

Text is UTF-8, fields may be quoted, `\\` escapes; an empty field is a missing value. A bad row never stops the others.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_spark.errors import DataError, InvalidInputException, counted
from personalize_spark.schemas import Column, Schema

MAX_ID, MAX_CATEGORICAL, MAX_TEXTUAL = 256, 1_000, 20_000
LINE, REASON = "_line", "_reason"

_BATCH = 20_000
_ARROW = {
    "string": pa.string(),
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "float": pa.float64(),  # as it is written: 34.72 as 32 bits is another number than the 34.72 of a filter
    "boolean": pa.bool_(),
}
_INTEGER, _DECIMAL = r"^-?\d+$", r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_FORMS = {"long": _INTEGER, "int": _INTEGER, "double": _DECIMAL, "float": _DECIMAL, "boolean": r"^(true|false)$"}
_TIMES = {"TIMESTAMP", "CREATION_TIMESTAMP"}
_YEAR_3000 = 32_503_680_000
"""In epoch seconds; as milliseconds it is January 1971, so real times in milliseconds lie beyond it."""

csv.field_size_limit(16 << 20)


class CsvReader(Protocol):
    """What `csv.reader` returns; typeshed has no name for it."""

    line_num: int

    def __next__(self) -> list[str]: ...

    def __iter__(self) -> Iterator[list[str]]: ...


@dataclass(frozen=True)
class _Raw:
    """Rows of the right number of fields, and the lines they end at."""

    lines: list[int]
    rows: list[list[str]]
    rejected: list[tuple[int, str]]


def arrow_schema(schema: Schema) -> pa.Schema:
    """The columns of a dataset, then the line of each row and, for a bad one, the reason."""
    columns = [pa.field(field.name, _ARROW[field.type]) for field in schema.columns]
    return pa.schema([*columns, pa.field(LINE, pa.int64()), pa.field(REASON, pa.string())])


def read_rows(file: BinaryIO, name: str, schema: Schema) -> Iterator[pa.RecordBatch]:
    """All rows of a CSV file, in the columns of `arrow_schema`; a bad row has a reason and no values.

    Raises:
        DataError: there is no header.
        InvalidInputException: the header is not that of the schema.
    """
    reader = _reader(file)
    check_header(name, _header(reader, name), schema)
    while (raw := _next_rows(reader, len(schema.columns), _BATCH)).rows or raw.rejected:
        yield _typed(raw, schema)


def sample(file: BinaryIO, name: str, rows: int) -> tuple[list[str], list[list[str]]]:
    """The header of a CSV file, and the values of each column in its first rows, bad ones left out.

    Raises:
        DataError: there is no header.
    """
    reader = _reader(file)
    header = _header(reader, name)
    whole = _next_rows(reader, len(header), rows).rows
    return header, [list(column) for column in zip(*whole, strict=True)] if whole else [[] for _ in header]


def check_header(name: str, header: Sequence[str], schema: Schema) -> None:
    """Compare a header with the schema.

    Raises:
        InvalidInputException: they differ in names or order.
    """
    if list(header) != schema.names:
        raise InvalidInputException(
            f"{name} has the columns {', '.join(header)}; "
            f"the schema of {schema.dataset} needs {', '.join(schema.names)}, in this order, in every file."
        )


def _reader(file: BinaryIO) -> CsvReader:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows: Any = csv.reader(text, escapechar="\\", strict=True)
    reader: CsvReader = rows
    return reader


def _header(reader: CsvReader, name: str) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{name} has no header: its first line is not CSV: {error}.") from error
    if not header:
        raise DataError(f"{name} is empty: its first line must name the columns.")
    return header


def _next_rows(reader: CsvReader, width: int, most: int) -> _Raw:
    raw = _Raw([], [], [])
    while len(raw.rows) + len(raw.rejected) < most:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raw.rejected.append((reader.line_num, f"not CSV: {error}"))
            continue
        if len(row) == width:
            raw.lines.append(reader.line_num)
            raw.rows.append(row)
        elif row:  # a blank line is no row
            raw.rejected.append((reader.line_num, f"{counted(len(row), 'field')} where the header has {width}"))
    return raw


def _typed(raw: _Raw, schema: Schema) -> pa.RecordBatch:
    reasons: NDArray[np.object_] = np.full(len(raw.rows), None, object)
    texts = list(zip(*raw.rows, strict=True)) or [()] * len(schema.columns)
    columns = [_column(field, values, reasons) for field, values in zip(schema.columns, texts, strict=True)]
    good = pa.array([reason is None for reason in reasons], pa.bool_())
    values = [pc.if_else(good, column, pa.scalar(None, column.type)) for column in columns]
    batch = pa.RecordBatch.from_arrays(
        [*values, pa.array(raw.lines, pa.int64()), pa.array(reasons, pa.string())], schema=arrow_schema(schema)
    )
    rows = [{LINE: line, REASON: reason} for line, reason in raw.rejected]
    rejected = pa.RecordBatch.from_pylist(rows, arrow_schema(schema))
    return pa.Table.from_batches([batch, rejected]).combine_chunks().to_batches()[0] if rows else batch


def _column(field: Column, values: Sequence[str], reasons: NDArray[np.object_]) -> pa.Array:
    """The typed values of a column; what cannot be one is null, and says why in `reasons`."""
    texts = _texts(field, values, reasons)
    if not field.nullable:
        _reject(reasons, pc.is_null(texts), f"{field.name} is missing")
    if field.type == "string":
        return _bounded(field, texts, reasons)
    bad = pc.invert(pc.match_substring_regex(texts, _FORMS[field.type]))
    _reject(reasons, bad, f"{field.name} is not of type {field.type}")
    return _cast(field, pc.if_else(bad, None, texts), reasons)


def _cast(field: Column, texts: pa.Array, reasons: NDArray[np.object_]) -> pa.Array:
    """The values of texts that have the form of the type."""
    kind = _ARROW[field.type]
    if pa.types.is_boolean(kind):
        return pc.cast(texts, kind)
    # Arrow reads a decimal that is too large as infinity, but fails at such an integer.
    beyond = _beyond(texts, kind) if pa.types.is_integer(kind) else pc.is_inf(pc.cast(texts, kind))
    _reject(reasons, beyond, f"{field.name} is outside the range of type {field.type}")
    values = pc.cast(pc.if_else(beyond, None, texts), kind)
    if field.name in _TIMES:
        _reject(reasons, pc.less(values, 0), f"{field.name} is negative: use epoch seconds")
        late = pc.greater(values, _YEAR_3000)
        _reject(reasons, late, f"{field.name} is beyond the year 3000: use epoch seconds, not milliseconds")
    return values


def _beyond(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Which integers do not fit the type, seen by their digits."""
    most = 1 << (kind.bit_width - 1)
    limits = pc.if_else(pc.starts_with(texts, "-"), str(most), str(most - 1))
    digits = pc.utf8_ltrim(texts, "-0")
    longer = pc.subtract(pc.binary_length(digits), len(str(most)))
    return pc.or_(pc.greater(longer, 0), pc.and_(pc.equal(longer, 0), pc.greater(digits, limits)))


def _texts(field: Column, values: Sequence[str], reasons: NDArray[np.object_]) -> pa.Array:
    try:
        texts = pa.array(values, pa.string())
    except UnicodeEncodeError:
        readable = [_readable(value) for value in values]
        _reject(reasons, pa.array([value is None for value in readable]), f"{field.name} is not valid UTF-8")
        texts = pa.array(readable, pa.string())
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _readable(value: str) -> str | None:
    """The value, unless it stands for bytes that are no text."""
    return None if any("\udc80" <= character <= "\udcff" for character in value) else value


def _bounded(field: Column, texts: pa.Array, reasons: NDArray[np.object_]) -> pa.Array:
    if field.textual:
        return pc.utf8_slice_codeunits(texts, 0, MAX_TEXTUAL)
    limit = MAX_ID if field.name in {"USER_ID", "ITEM_ID"} else MAX_CATEGORICAL if field.categorical else None
    if limit is not None:
        _reject(reasons, pc.greater(pc.utf8_length(texts), limit), f"{field.name} has more than {limit} characters")
    return texts


def _reject(reasons: NDArray[np.object_], bad: pa.Array, reason: str) -> None:
    """Give the bad rows a reason, unless they have one already; a missing value is not bad."""
    for row in np.flatnonzero(pc.fill_null(bad, pa.scalar(value=False)).to_numpy(zero_copy_only=False)):
        reasons[row] = reasons[row] or reason
