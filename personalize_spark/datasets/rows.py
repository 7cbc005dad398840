r"""CSV rows in the service's form: read, typed, and the bad ones named by line, value and reason.

Fields may be quoted, `\\` escapes; an empty field is a missing value. A bad row never stops the others.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_spark.datasets.csv_files import CsvReader, is_index, latin1_line, open_csv
from personalize_spark.datasets.inference import MISSING_WORDS
from personalize_spark.datasets.times import TIMES, TimeForm, cure_of, seconds_of
from personalize_spark.errors import DataError, InvalidInputException, counted, quoted
from personalize_spark.schemas import Column, Schema

MAX_ID, MAX_CATEGORICAL, MAX_TEXTUAL = 256, 1_000, 20_000
FILE, LINE, REASON, MISSING = "_file", "_line", "_reason", "_missing"

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
_FORMS = {"long": _INTEGER, "int": _INTEGER, "double": _DECIMAL, "float": _DECIMAL, "boolean": "(?i)^(true|false)$"}
_WHOLE = re.compile(r"(-?[0-9]+)\.0*")
_COMMA = re.compile(r"-?[0-9]+,[0-9]+")
_WRITE = {"long": "a whole number", "int": "a whole number", "boolean": "true or false"}
_YEAR_3000 = 32_503_680_000
"""In epoch seconds; as milliseconds it is January 1971, so real times in milliseconds lie beyond it."""
_NEVER = 1 << 60
"""Stands for all numbers of seconds that no 64 bits hold."""


@dataclass(frozen=True)
class Reading:
    """How to read the files of a dataset.

    Attributes:
        schema: the columns.
        times: by column, the form of its times, if they are not epoch seconds.
        missing_words: whether `MISSING_WORDS` stand for missing values, in columns that take nulls.
        names: by column, what the files call it, if they have another name for it.
    """

    schema: Schema
    times: Mapping[str, TimeForm] = field(default_factory=dict)
    missing_words: bool = False
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """The header of a file and its first rows.

    Attributes:
        header: the names of the columns, as the schema calls them; without an index of pandas.
        columns: the values of each.
        lines: the line at which each row ends.
        notes: what is unusual about the file.
    """

    header: list[str]
    columns: list[list[str]]
    lines: list[int]
    notes: list[str]


@dataclass(frozen=True)
class _Raw:
    """Rows of the right number of fields, and the lines they end at."""

    lines: list[int]
    rows: list[list[str]]
    rejected: list[tuple[int, str]]


def arrow_schema(schema: Schema) -> pa.Schema:
    """The columns of a dataset, then the line of each row, the reason of a bad one, and its values that count as missing."""
    ours = [pa.field(LINE, pa.int64()), pa.field(REASON, pa.string()), pa.field(MISSING, pa.list_(pa.string()))]
    return pa.schema([*row_schema(schema), *ours])


def row_schema(schema: Schema) -> pa.Schema:
    """The columns of a dataset."""
    return pa.schema([pa.field(field.name, _ARROW[field.type]) for field in schema.columns])


def read_rows(file: BinaryIO, name: str, reading: Reading) -> Iterator[pa.RecordBatch]:
    """All rows of a CSV file, in the columns of `arrow_schema`; a bad row has a reason and no values.

    Raises:
        DataError: it is no CSV file, or in no UTF-8.
        InvalidInputException: it lacks columns of the schema.
    """
    opened = open_csv(file, name)
    header = renamed(opened.header, reading.names)
    check_header(name, header, reading.schema)
    places = [header.index(each) for each in reading.schema.names]
    while (raw := _next_rows(opened.rows, len(header), _BATCH)).rows or raw.rejected:
        columns = list(zip(*raw.rows, strict=True)) or [()] * len(header)
        yield _with_rejected(typed([columns[place] for place in places], raw.lines, reading), raw.rejected)


def sample(file: BinaryIO, name: str, rows: int, names: Mapping[str, str]) -> Sample:
    """The header of a CSV file and its first rows, bad ones left out.

    Raises:
        DataError: it is no CSV file, or in no UTF-8.
    """
    opened = open_csv(file, name)
    header = renamed(opened.header, names)
    raw = _next_rows(opened.rows, len(header), rows)
    latin1 = latin1_line(zip(raw.lines, raw.rows, strict=True))
    if latin1 is not None:
        raise DataError(
            f"{name} is not UTF-8 but Latin-1, or the like: line {latin1[0]} has {quoted(latin1[1])}. "
            "Save it as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8)."
        )
    kept = [place for place, column in enumerate(header) if not is_index(column)]
    notes = [
        f"{name}: column {place + 1} {'has no name' if not header[place] else f'is called {quoted(header[place])}'}, as pandas "
        "writes its index; it is left out (to_csv(index=False) does not write it)."
        for place in set(range(len(header))) - set(kept)
    ]
    columns = [[row[place] for row in raw.rows] for place in kept]
    return Sample([header[place] for place in kept], columns, raw.lines, opened.notes + notes)


def renamed(header: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """A header with the names of the schema, in place of those that the file has for them."""
    ours = {theirs: name for name, theirs in names.items()}
    return [ours.get(each, each) for each in header]


def check_header(name: str, header: Sequence[str], schema: Schema) -> None:
    """Look for the columns of the schema in a header; their order is free, and there may be more.

    Raises:
        InvalidInputException: there is none of that name, or two.
    """
    lacking = [each for each in schema.names if each not in header]
    if lacking:
        raise InvalidInputException(
            f"{name} has the columns {', '.join(header)}; it lacks {', '.join(lacking)}. "
            f"The schema of {schema.dataset} needs {', '.join(schema.names)}, in any order, in every file."
        )
    doubled = [each for each, times in Counter(header).items() if times > 1 and each in schema.names]
    if doubled:
        raise InvalidInputException(f"{name} has several columns {', '.join(doubled)}: give each its own name.")


def _next_rows(reader: CsvReader, width: int, most: int) -> _Raw:
    raw = _Raw([], [], [])
    while len(raw.rows) + len(raw.rejected) < most:
        begun = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            lines = f"; lines {begun} to {reader.line_num} are one row, as a quote is open at the end of line {begun}"
            raw.rejected.append((reader.line_num, f"not CSV: {error}{lines if begun < reader.line_num else ''}"))
            continue
        if len(row) == width:
            raw.lines.append(reader.line_num)
            raw.rows.append(row)
        elif row:  # a blank line is no row
            raw.rejected.append((reader.line_num, f"{counted(len(row), 'field')} where the header has {width}"))
    return raw


def _with_rejected(batch: pa.RecordBatch, rejected: Sequence[tuple[int, str]]) -> pa.RecordBatch:
    """The rows, and those that have no fields to be typed."""
    if not rejected:
        return batch
    rows = [{LINE: line, REASON: reason} for line, reason in rejected]
    bad = pa.RecordBatch.from_pylist(rows, batch.schema)
    return pa.Table.from_batches([batch, bad]).combine_chunks().to_batches()[0]


def typed(columns: Sequence[Sequence[str]], lines: Sequence[int], reading: Reading) -> pa.RecordBatch:
    """Rows of texts in the columns of `arrow_schema`; a bad row has a reason and no values.

    Args:
        columns: the texts of each column of the schema, n each; an empty one is missing.
        lines: n, where each row ends.
        reading: the schema, and how the texts are to be read.
    """
    reasons: NDArray[np.object_] = np.full(len(lines), None, object)
    texts = [_texts(column, values, reasons) for column, values in zip(reading.schema.columns, columns, strict=True)]
    return checked(texts, lines, reading, reasons)


def checked(
    texts: Sequence[pa.Array], lines: Sequence[int | None], reading: Reading, reasons: NDArray[np.object_]
) -> pa.RecordBatch:
    """As `typed`, of arrays of texts in which a missing one is null; `reasons` (n,) has the rows that are bad already."""
    missing: NDArray[np.object_] = np.full(len(lines), None, object)
    found = []
    for column, values in zip(reading.schema.columns, texts, strict=True):
        there = _without_words(column, values, missing) if reading.missing_words and column.nullable else values
        found.append(_column(column, there, reasons, reading.times.get(column.name)))
    good = pa.array([reason is None for reason in reasons], pa.bool_())
    kept = [pc.if_else(good, column, pa.scalar(None, column.type)) for column in found]
    ours = [pa.array(lines, pa.int64()), pa.array(reasons, pa.string()), pa.array(missing, pa.list_(pa.string()))]
    return pa.RecordBatch.from_arrays([*kept, *ours], schema=arrow_schema(reading.schema))


def _without_words(column: Column, texts: pa.Array, missing: NDArray[np.object_]) -> pa.Array:
    """The texts without the words for a missing value, which `missing` gets."""
    words = pc.is_in(texts, pa.array(sorted(MISSING_WORDS)))
    for row in np.flatnonzero(words.to_numpy(zero_copy_only=False)):
        missing[row] = [*(missing[row] or []), f"{column.name} {quoted(texts[row].as_py())}"]
    return pc.if_else(words, None, texts)


def _column(column: Column, texts: pa.Array, reasons: NDArray[np.object_], form: TimeForm | None) -> pa.Array:
    """The typed values of a column; what cannot be one is null, and says why in `reasons`."""
    if not column.nullable:
        _reject(reasons, pc.is_null(texts), lambda _: f"{column.name} is missing")
    if column.type == "string":
        return _bounded(column, texts, reasons)
    if column.name in TIMES and column.type == "long":
        texts = _as_seconds(column, texts, reasons, form or TimeForm.SECONDS)
    bad = pc.invert(pc.match_substring_regex(texts, _FORMS[column.type]))

    def why(row: int) -> str:
        value = texts[row].as_py()
        return f"{column.name} is {quoted(value)}, which is not of type {column.type}: {_cure(column, value)}"

    _reject(reasons, bad, why)
    return _cast(column, pc.if_else(bad, None, texts), reasons)


def _as_seconds(column: Column, texts: pa.Array, reasons: NDArray[np.object_], form: TimeForm) -> pa.Array:
    """Times as epoch seconds, in digits."""
    if form is TimeForm.SECONDS:
        bad = pc.invert(pc.match_substring_regex(texts, _INTEGER))
        whole = pc.if_else(bad, None, texts)
    else:
        values = [None if text is None else seconds_of(text, form) for text in texts.to_pylist()]
        seconds = [None if each is None else str(int(each)) if abs(each) < _NEVER else str(_NEVER) for each in values]
        whole = pa.array(seconds, pa.string())
        bad = pc.and_(pc.is_valid(texts), pc.is_null(whole))

    def why(row: int) -> str:
        value = texts[row].as_py()
        kind = "not of type long" if form is TimeForm.SECONDS else "no time of the column's form"
        return f"{column.name} is {quoted(value)}, which is {kind}: {cure_of(value, form)}"

    _reject(reasons, bad, why)
    return whole


def _cure(column: Column, value: str) -> str:
    """What to do with a value that is not of its column's type."""
    if value in MISSING_WORDS:
        return "leave it empty if it is missing"
    if (whole := _WHOLE.fullmatch(value)) and column.type in {"long", "int"}:
        return f"write {whole[1]}"
    if _COMMA.fullmatch(value) and column.type in {"double", "float"}:
        return f"write {value.replace(',', '.')}"
    return f"write {_WRITE.get(column.type, 'a number such as 1.5')}, leave it empty, or make the column a string in the schema"


def _cast(field: Column, texts: pa.Array, reasons: NDArray[np.object_]) -> pa.Array:
    """The values of texts that have the form of the type."""
    kind = _ARROW[field.type]
    if pa.types.is_boolean(kind):
        return pc.cast(texts, kind)
    # Arrow reads a decimal that is too large as infinity, but fails at such an integer.
    beyond = _beyond(texts, kind) if pa.types.is_integer(kind) else pc.is_inf(pc.cast(texts, kind))
    _reject(
        reasons,
        beyond,
        lambda row: f"{field.name} is outside the range of type {field.type}: {quoted(texts[row].as_py())}",
    )
    values = pc.cast(pc.if_else(beyond, None, texts), kind)
    if field.name in TIMES:
        early, late = pc.less(values, 0), pc.greater(values, _YEAR_3000)
        _reject(reasons, early, lambda row: f"{field.name} is {values[row]}, before 1970: use epoch seconds")
        _reject(reasons, late, lambda row: f"{field.name} is {_beyond_3000(values[row].as_py())}")
    return values


def _beyond_3000(seconds: int) -> str:
    shown = f"{seconds}, " if seconds != _NEVER else ""
    return f"{shown}beyond the year 3000: use epoch seconds, not milliseconds"


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
        _reject(reasons, pa.array([value is None for value in readable]), lambda _: f"{field.name} is not valid UTF-8")
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
        _reject(
            reasons,
            pc.greater(pc.utf8_length(texts), limit),
            lambda _: f"{field.name} has more than {limit} characters",
        )
    return texts


def _reject(reasons: NDArray[np.object_], bad: pa.Array, why: Callable[[int], str]) -> None:
    """Give the bad rows a reason, unless they have one already; a missing value is not bad."""
    for row in np.flatnonzero(pc.fill_null(bad, pa.scalar(value=False)).to_numpy(zero_copy_only=False)):
        reasons[row] = reasons[row] or why(int(row))
