"""Byte ranges of input objects, and the whole lines that belong to each.

Let `boundary(p)` be the position behind the first newline at or after `p - 1` (0 for `p = 0`, the end if there is none).
A range [start, end) owns the bytes [boundary(start), boundary(end)): every line lies in exactly one range of any cutting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from personalize_spark.errors import StorageError
from personalize_spark.records import MAX_LINE
from personalize_spark.storage.store import READ_CHUNK, Object, Store, stream

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_LOOK_AHEAD = 64 << 10


@dataclass(frozen=True)
class ByteRange:
    """Bytes [start, end) of an object; a compressed object is one split, of all its bytes."""

    source: Object
    start: int
    end: int


def compression(name: str) -> str | None:
    """The codec that the name's suffix tells, in pyarrow's spelling; `None` for plain text."""
    return COMPRESSIONS.get(name[name.rfind(".") :].lower()) if "." in name else None


def cut(found: Object, target: int) -> list[ByteRange]:
    """Splits of about `target` bytes (all of equal length but the last); none for an empty object."""
    if compression(found.name):
        return [ByteRange(found, 0, found.size)] if found.size else []
    return [ByteRange(found, start, min(start + target, found.size)) for start in range(0, found.size, target)]


def blocks(store: Store, part: ByteRange) -> Iterator[bytes]:
    """The lines of a split, as blocks that each end with a whole line; the last block may lack its newline.

    A line that is longer than `MAX_LINE` may come without its end, but longer than `MAX_LINE` still: memory stays bounded.
    """
    chunks = _inflated(store, part.source) if compression(part.source.name) else _owned(store, part)
    pending: list[bytes] = []  # of one unfinished line: joined once, so that a long line costs linear time
    size = 0
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            start = 0 if size <= MAX_LINE else chunk.find(b"\n")
            yield b"".join([*pending, chunk[start:end]])
            pending, size = [], 0
        if size <= MAX_LINE:
            pending.append(chunk[end:])
            size += len(chunk) - end
    if rest := b"".join(pending):
        yield rest


def _owned(store: Store, part: ByteRange) -> Iterator[bytes]:
    """The bytes [boundary(start), boundary(end)), in chunks."""
    owning = part.start == 0
    # The byte before the end decides whether a line goes on behind it, the one before the start whose the first line is.
    position, last = max(part.start - 1, 0), part.end - 1
    for chunk in _ranges(store, part.source, position, last):
        if owning:
            yield chunk
        elif (newline := chunk.find(b"\n")) >= 0:
            owning = True
            yield chunk[newline + 1 :]
    if owning:
        yield from _through_newline(store, part.source, last)


def _through_newline(store: Store, source: Object, position: int) -> Iterator[bytes]:
    size = 1  # the byte at `end - 1` is most often read for nothing else
    while position < source.size:
        chunk = store.read(source.name, position, position + size, source.etag)
        newline = chunk.find(b"\n")
        if newline >= 0:
            yield chunk[: newline + 1]
            return
        yield chunk
        position += len(chunk)
        size = min(max(size * 4, _LOOK_AHEAD), READ_CHUNK)


def _ranges(store: Store, source: Object, start: int, end: int) -> Iterator[bytes]:
    for first in range(start, end, READ_CHUNK):
        yield store.read(source.name, first, min(first + READ_CHUNK, end), source.etag)


def _inflated(store: Store, source: Object) -> Iterator[bytes]:
    """The text of a compressed object, all its members."""
    with (
        stream(store, source) as packed,
        pa.CompressedInputStream(pa.PythonFile(packed, "r"), compression(source.name)) as text,
    ):
        try:
            while chunk := text.read(READ_CHUNK):
                yield chunk
        except OSError as error:
            raise StorageError(
                f"{store.root}{source.name} is not a complete {compression(source.name)} file: {error}"
            ) from error
