"""Files that are no JSON Lines, by their first bytes: said once for the file, as each of its lines only says that it is no JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from personalize_spark.storage.content import codec_of, foreign_kind

HEAD = 4096
"""Bytes that are looked at."""
_REMEDIES = {
    "gzip": "compressed twice: compress it once",
    "bz2": "compressed twice: compress it once",
    "zstd": "compressed twice: compress it once",
    "zip": "a zip archive: unpack it",
    "parquet": "a Parquet file: write JSON Lines (Spark: df.write.json)",
    "avro": "an Avro file: write JSON Lines (Spark: df.write.json)",
    "orc": "an ORC file: write JSON Lines (Spark: df.write.json)",
    "utf-16": "UTF-16: save it as UTF-8",
    "array": "one JSON array: write one object a line (pandas: to_json(orient='records', lines=True))",
    "pretty": "one JSON document over many lines: write one object a line (json.dumps without indent; pandas: lines=True)",
    "csv": "no JSON, but looks like CSV: write one JSON object a line",
}


def form_of(head: bytes) -> str | None:
    """What a file is instead of JSON Lines, judged by its first bytes; `None` if nothing speaks against JSON Lines."""
    if form := codec_of(head) or foreign_kind(head):
        return form
    lines = head.removeprefix(b"\xef\xbb\xbf").strip().splitlines()
    if not lines:
        return None
    if lines[0].startswith(b"["):
        return "pretty" if lines[0].strip() == b"[" else "array"
    if lines[0].strip() == b"{":
        return "pretty"
    return "csv" if b"," in lines[0] and not lines[0].startswith((b"{", b'"{')) else None


def peeked(blocks: Iterable[bytes]) -> tuple[str | None, Iterator[bytes]]:
    """The form of a text by its first block, and the text."""
    text = iter(blocks)
    first = next(text, b"")
    return form_of(first[:HEAD]), chain([first] if first else [], text)


def remedy(form: str) -> str:
    """What a file of a form is, and what to do about it: goes on from `FILE is `."""
    return _REMEDIES[form]
