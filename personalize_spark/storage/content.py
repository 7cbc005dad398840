"""What a file is, by its first bytes: names lie, and objects on S3 are often compressed without a suffix."""

from __future__ import annotations

_CODECS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_FOREIGN = {
    b"PK\x03\x04": "is a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV in UTF-8",
    b"PAR1": "is a Parquet file",
    b"Obj\x01": "is an Avro file: write it as text, or as Parquet",
    b"ORC": "is an ORC file: write it as text, or as Parquet",
}
_AS_UTF8 = "save it as UTF-8 (iconv -f UTF-16 -t UTF-8, or 'CSV UTF-8' in a spreadsheet)"


def codec_of(head: bytes) -> str | None:
    """The compression that the first four bytes tell, in pyarrow's spelling; `None` for plain bytes."""
    return next((codec for magic, codec in _CODECS.items() if head.startswith(magic)), None)


def foreign_kind(head: bytes) -> str | None:
    """What the beginning of a file is, if it is no text in UTF-8, with the cure: `is UTF-16: ...`; `None` if it may be one."""
    if head.startswith(_UTF16) or (len(head) > 1 and _every_other_is_nul(head[:4096])):
        return f"is UTF-16: {_AS_UTF8}"
    return next((kind for magic, kind in _FOREIGN.items() if head.startswith(magic)), None)


def _every_other_is_nul(head: bytes) -> bool:
    """ASCII text in UTF-16 has a NUL in each pair of bytes; text in UTF-8 has none at all."""
    return max(head[0::2].count(0), head[1::2].count(0)) > len(head) // 4
