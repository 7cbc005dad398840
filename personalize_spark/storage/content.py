"""What a file is: by its name, whether it is data at all; by its first bytes, in which form, as names often do not tell that."""

from __future__ import annotations

import re

_CODECS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_FOREIGN = {
    b"PK\x03\x04": "zip",
    b"PAR1": "parquet",
    b"Obj\x01": "avro",
    b"ORC": "orc",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_LITTER = re.compile(r"(?:^|(?<=/))(?:\.(?!\.?(?:/|$))|_SUCCESS$|_committed_|_started_|Thumbs\.db$|desktop\.ini$)")


def is_litter(name: str, prefix: str) -> bool:
    """Whether an object is hidden, or what Spark, Databricks, macOS and Windows leave beside data.

    Only what stands behind the prefix counts: who spells a hidden folder out wants it. A key of S3 may have a part that is `.` or `..`:
    that hides nothing.
    """
    return _LITTER.search(name, len(prefix)) is not None


def codec_of(head: bytes) -> str | None:
    """The compression that the first four bytes tell, in pyarrow's spelling; `None` for plain bytes."""
    return next((codec for magic, codec in _CODECS.items() if head.startswith(magic)), None)


def foreign_kind(head: bytes) -> str | None:
    """What the beginning of a file is, if it is no text in UTF-8: zip, parquet, avro, orc or utf-16; `None` if it may be one."""
    kind = next((kind for magic, kind in _FOREIGN.items() if head.startswith(magic)), None)
    return kind or ("utf-16" if len(head) > 1 and _every_other_is_nul(head[:4096]) else None)


def _every_other_is_nul(head: bytes) -> bool:
    """ASCII text in UTF-16 has a NUL in each pair of bytes; text in UTF-8 has none at all."""
    return max(head[0::2].count(0), head[1::2].count(0)) > len(head) // 4
