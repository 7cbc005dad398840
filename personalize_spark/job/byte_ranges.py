"""Byte ranges of input objects, and the whole lines that belong to each.

Let `boundary(p)` be the position behind the first newline at or after `p - 1` (0 for `p = 0`, the end if there is none).
A range [start, end) owns the bytes [boundary(start), boundary(end)): every line lies in exactly one range of any cutting.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import BinaryIO

import pyarrow as pa

from personalize_spark.errors import StorageError
from personalize_spark.records import MAX_LINE
from personalize_spark.settings import limit_of
from personalize_spark.storage.content import codec_of
from personalize_spark.storage.store import READ_CHUNK, Object, Store, stream

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_HARMLESS = 16 << 20
"""Bytes that any object may inflate to."""
_GZIP, _GZIP_CHUNK = 16 + zlib.MAX_WBITS, 32 << 10
"""How zlib is told the format; bytes that are inflated at once, to a thousand times as many at the worst."""
_LOOK_AHEAD = 64 << 10
_MAGIC = 4
"""Bytes that tell a codec."""


@dataclass(frozen=True)
class ByteRange:
    """Bytes [start, end) of an object; a compressed object is one split, of all its bytes, which inflate to `most` at the most."""

    source: Object
    start: int
    end: int
    most: int | None = None


def compression(name: str) -> str | None:
    """The codec that the name's suffix tells, in pyarrow's spelling; `None` for plain text."""
    return COMPRESSIONS.get(name[name.rfind(".") :].lower()) if "." in name else None


def compressed(store: Store, found: Object) -> bool:
    """Whether an object is compressed, by its name or its first bytes: S3 often has the one without the other."""
    return (compression(found.name) or codec_of(store.read(found.name, 0, _MAGIC, found.etag))) is not None


def cut(found: Object, target: int, *, packed: bool = False) -> list[ByteRange]:
    """Splits of about `target` bytes (all of equal length but the last); none for an empty object, one for a compressed one.

    Args:
        found: the object.
        target: bytes of a split.
        packed: it is compressed, though its name does not say so.
    """
    if packed or compression(found.name):
        return [ByteRange(found, 0, found.size, most_inflated(found.size))]
    return [ByteRange(found, start, min(start + target, found.size)) for start in range(0, found.size, target)]


def most_inflated(size: int) -> int | None:
    """The bytes that a compressed object of so many may inflate to: a bomb of kilobytes is not to fill the disk with answers.

    The setting `max-inflation` is the limit of the ratio, `max-inflated` that of the bytes; 0 is none. Lines of distinct users
    inflate to 20 times their size, gzip's worst case is 1,032.

    Raises:
        InvalidInputException: one of them is no whole number.
    """
    ratio, most = limit_of("max-inflation"), limit_of("max-inflated")
    limits = [max(_HARMLESS, size * ratio)] if ratio else []
    return min([*limits, most] if most else limits, default=None)


def blocks(store: Store, part: ByteRange, read: Iterable[bytes] | None = None) -> Iterator[bytes]:
    """The lines of a split, as `lines_of` gives them, of the text where the split is a whole compressed object.

    Args:
        store: holds the object.
        part: the split.
        read: what `stored` gives, where that has been read.
    """
    return lines_of(_text(store, part, iter(stored(store, part) if read is None else read)))


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A text as blocks that each end with a whole line; the last block may lack its newline.

    A line that is longer than `MAX_LINE` may come without its end, but longer than `MAX_LINE` still: memory stays bounded.
    """
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


def stored(store: Store, part: ByteRange) -> Iterator[bytes]:
    """The bytes [boundary(start), boundary(end)) as they are stored, in chunks."""
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


def _text(store: Store, part: ByteRange, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What the stored bytes of a split say: only the beginning of an object tells whether it is compressed under another name."""
    if compression(part.source.name):
        yield from _inflated(store, part)
        return
    first = next(chunks, b"")
    if part.end - part.start == part.source.size and codec_of(first):
        yield from _inflated(store, replace(part, most=most_inflated(part.source.size)))
    else:
        yield from chain([first], chunks)


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


def _inflated(store: Store, part: ByteRange) -> Iterator[bytes]:
    """The text of a compressed object, all its members."""
    source, codec, size = part.source, compression(part.source.name), 0
    if not source.size:
        raise StorageError(f"{store.root}{source.name} is not a complete {codec} file: it is empty.")
    with stream(store, source) as packed:
        codec = codec_of(packed.peek(_MAGIC)) or codec
        try:
            for chunk in _gunzipped(packed) if codec == "gzip" else _unpacked(packed, codec):
                size += len(chunk)
                if part.most is not None and size > part.most:
                    raise StorageError(
                        f"{store.root}{source.name} inflates from {source.size:,} to more than {part.most:,} bytes. If that is right, "
                        "raise PERSONALIZE_SPARK_MAX_INFLATION (ratio) or PERSONALIZE_SPARK_MAX_INFLATED (bytes); 0 is no limit."
                    )
                yield chunk
        except (OSError, zlib.error) as error:
            raise StorageError(f"{store.root}{source.name} is not a complete {codec} file: {error}") from error


def _gunzipped(packed: BinaryIO) -> Iterator[bytes]:
    """All members; zeros behind one are padding, as tapes and block devices leave it and `gzip` takes it."""
    member = zlib.decompressobj(_GZIP)
    while data := packed.read(_GZIP_CHUNK):
        while data:
            if member.eof:
                data = data.lstrip(b"\0")
                if not data:
                    break
                member = zlib.decompressobj(_GZIP)
            yield member.decompress(data)
            data = member.unused_data  # nothing before its end
    if not member.eof:
        raise OSError("Truncated compressed stream")


def _unpacked(packed: BinaryIO, codec: str | None) -> Iterator[bytes]:
    with pa.CompressedInputStream(pa.PythonFile(packed, "r"), codec) as text:
        while chunk := text.read(READ_CHUNK):
            yield chunk
