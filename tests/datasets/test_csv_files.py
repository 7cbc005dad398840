from __future__ import annotations

import bz2
import gzip
import io

import pyarrow as pa
import pytest

from personalize_spark.datasets.csv_files import CsvFile, open_csv
from personalize_spark.errors import DataError

TEXT = b"A,B\n1,2\n"


def opened(data: bytes) -> CsvFile:
    return open_csv(io.BytesIO(data), "f.csv")


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        gzip.compress(TEXT, mtime=0),
        bz2.compress(TEXT),
        gzip.compress(TEXT, mtime=0) + gzip.compress(b"", mtime=0),
    ],
)
def test_compression_is_known_by_content(data: bytes) -> None:
    file = opened(data)
    assert (file.header, list(file.rows), file.notes) == (["A", "B"], [["1", "2"]], [])


def test_zstandard_is_read() -> None:
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as file:
        file.write(TEXT)
    assert list(opened(packed.getvalue().to_pybytes()).rows) == [["1", "2"]]


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_other_separators_are_recognised_and_said(separator: str, name: str) -> None:
    file = opened(f"A{separator}B\n1,5{separator}2\n".encode())
    assert (file.header, list(file.rows)) == (["A", "B"], [["1,5", "2"]])
    assert file.notes == [f"f.csv is separated by {name}."]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("A,B\n".encode("utf-16"), "f.csv is UTF-16: save it as UTF-8"),
        ("A,B\n".encode("utf-16-le"), "f.csv is UTF-16: save it as UTF-8"),
        (gzip.compress("A,B\n".encode("utf-16"), mtime=0), "f.csv is UTF-16"),
        (b"PK\x03\x04rest", "f.csv is a ZIP archive or an Excel workbook"),
        (b"PAR1rest", "f.csv is a Parquet file"),
        (b"A\x1b[2J,B\n", r"its first line has the column 'A\\x1b\[2J'"),
        (b"A\xff,B\n", r"its first line has the column 'A\\udcff'"),
        (gzip.compress(TEXT * 1000, mtime=0)[:40], "f.csv is damaged"),
    ],
)
def test_what_is_no_csv_in_utf8_is_named(data: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        opened(data)
    assert caught.value.message.isprintable()


def test_a_null_of_a_database_is_no_n() -> None:
    file = opened(b'A,B\n\\N,x\nx,\\N\r\nx\\N,"a\\"b"\n\\N,\\N')
    assert list(file.rows) == [["\\N", "x"], ["x", "\\N"], ["xN", 'a"b'], ["\\N", "\\N"]]


def test_what_cannot_be_decompressed_behind_the_header_is_named() -> None:
    rows = b"".join(b"u%d,%d\n" % (n, n * n * 7919 % 1_000_003) for n in range(200_000))
    whole = gzip.compress(b"USER_ID,ITEM_ID\n" + rows, mtime=0)
    file = opened(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"^f\.csv is damaged: it cannot be decompressed: "):
        list(file.rows)
