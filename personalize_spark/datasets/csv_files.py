r"""CSV files as they are found: compressed or not, separated by commas, semicolons or tabs, in UTF-8 or named as what else they are.

What a file is, its first bytes say, not its name. An unquoted field `\N` is the text `\N`, elsewhere `\` escapes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from personalize_spark.errors import DataError, quoted
from personalize_spark.storage.content import codec_of, foreign_kind

HEAD = 256 << 10
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_NULL = re.compile(r"(?:(?<=^)|(?<=[,;\t]))\\N(?=[,;\t\r\n]|$)")
_INDEX = re.compile(r"(Unnamed: [0-9]+)?")

_FOREIGN = {
    "utf-16": "is UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8, or 'CSV UTF-8' in a spreadsheet)",
    "zip": "is a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV in UTF-8",
    "parquet": "is a Parquet file: import it apart from CSV files, by the command import or import_datasets in Python",
    "avro": "is an Avro file: write it as text, or as Parquet",
    "orc": "is an ORC file: write it as text, or as Parquet",
}
"""What a file is instead of CSV, and the cure."""

csv.field_size_limit(16 << 20)


class CsvReader(Protocol):
    """What `csv.reader` returns; typeshed has no name for it."""

    line_num: int

    def __next__(self) -> list[str]: ...

    def __iter__(self) -> Iterator[list[str]]: ...


@dataclass(frozen=True)
class CsvFile:
    """An open CSV file behind its header.

    Attributes:
        header: the names of the columns, without the space around them.
        rows: the reader of the rows.
        notes: what is unusual about the file.
    """

    header: list[str]
    rows: CsvReader
    notes: list[str]


def open_csv(file: BinaryIO, name: str) -> CsvFile:
    """Open a CSV file and read its header.

    Raises:
        DataError: it is empty, no CSV file, or not in UTF-8.
    """
    text = io.TextIOWrapper(_inflated(file, name), encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _readable(text, name)
    first = next(lines, "")
    separator = max(_SEPARATORS, key=first.count)  # commas, if there is none of them
    rows: Any = csv.reader(_with_nulls(chain([first], lines)), delimiter=separator, escapechar="\\", strict=True)
    reader: CsvReader = rows
    header = [each.strip() for each in _header(reader, name)]
    notes = [] if separator == "," else [f"{name} is separated by {_SEPARATORS[separator]}."]
    return CsvFile(header, reader, notes)


def is_index(column: str) -> bool:
    """Whether a column has the name that pandas gives its index: none, or `Unnamed: 0`."""
    return _INDEX.fullmatch(column) is not None


def latin1_line(rows: Iterable[tuple[int, list[str]]]) -> tuple[int, str] | None:
    """The first text that is no UTF-8 but a word in Latin-1, with its line; `None` if the rows hold other text beyond ASCII."""
    found = None
    for line, row in rows:
        for value in row:
            if value.isascii():
                continue
            if not any("\udc80" <= character <= "\udcff" for character in value):
                return None
            found = found or (line, value.encode("utf-8", "surrogateescape").decode("cp1252", "replace"))
    return found


def _inflated(file: BinaryIO, name: str) -> io.BufferedReader:
    """The file's bytes, uncompressed."""
    raw: Any = file  # for io it is no raw file, but it has the one method that counts: readinto
    plain = io.BufferedReader(raw, HEAD)
    codec = codec_of(plain.peek(4))
    if codec is not None:
        raw = pa.CompressedInputStream(pa.PythonFile(plain, "r"), codec)
        plain = io.BufferedReader(raw, HEAD)
    try:
        kind = foreign_kind(plain.peek(HEAD))
    except OSError as error:
        raise DataError(f"{name} is damaged: it cannot be decompressed: {error}.") from error
    if kind is not None:
        raise DataError(f"{name} {_FOREIGN[kind]}.")
    return plain


def _readable(lines: Iterable[str], name: str) -> Iterator[str]:
    try:
        yield from lines
    except OSError as error:
        raise DataError(f"{name} is damaged: it cannot be decompressed: {error}.") from error


def _with_nulls(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield _NULL.sub(r"\\\\N", line) if "\\N" in line else line


def _header(reader: CsvReader, name: str) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{name} has no header: its first line is not CSV: {error}.") from error
    if not header:
        raise DataError(f"{name} is empty: its first line must name the columns.")
    if unreadable := [each for each in header if not each.isprintable() or "�" in each]:
        raise DataError(f"{name} is no CSV file in UTF-8: its first line has the column {quoted(unreadable[0])}.")
    return header
