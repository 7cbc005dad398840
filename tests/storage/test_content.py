"""Names that are no data, and the first bytes of files of many forms."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from personalize_spark.storage.content import codec_of, foreign_kind, is_litter

TEXT = b'{"userId":"u1"}\n'


@pytest.mark.parametrize(
    ("data", "codec"),
    [
        (TEXT, None),
        (b"", None),
        (gzip.compress(TEXT, mtime=0), "gzip"),
        (bz2.compress(TEXT), "bz2"),
        (pa.compress(TEXT, "zstd", asbytes=True), "zstd"),
    ],
    ids=str,
)
def test_a_compression_is_known_by_the_first_bytes(data: bytes, codec: str | None) -> None:
    assert codec_of(data[:4]) == codec


def zipped() -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("a.csv", TEXT)
    return file.getvalue()


def parquet() -> bytes:
    pq.write_table(pa.table({"a": [1]}), file := io.BytesIO())
    return file.getvalue()


def test_what_is_no_text_in_utf8_is_named() -> None:
    assert foreign_kind(zipped()) == "zip"
    assert foreign_kind(parquet()) == "parquet"
    text = TEXT.decode()
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        assert foreign_kind(text.encode(encoding)) == "utf-16"
    for data in (b"", b"1", TEXT, "é日本\n".encode()):
        assert foreign_kind(data) is None


@pytest.mark.parametrize(
    ("name", "litter"),
    [
        ("in/a.json", False),
        ("in/_a.json", False),
        ("in/a.SUCCESS", False),
        ("in/_SUCCESS", True),
        ("in/.a.json.crc", True),
        ("in/.hidden/a.json", True),
        ("in/_committed_123", True),
        ("in/Thumbs.db", True),
        (".DS_Store", True),
        ("in/../a.json", False),
        ("./a.json", False),
        ("in/..", False),
        ("in/..a", True),
    ],
)
def test_litter_is_known_by_its_name(name: str, *, litter: bool) -> None:
    assert is_litter(name, "") is litter


def test_who_spells_a_hidden_folder_out_wants_it() -> None:
    assert not is_litter(".hidden/a.json", ".hidden/")
    assert is_litter(".hidden/.b", ".hidden/")
