"""Answers as Parquet: one file for each output, a row for each of its lines, with the same columns whatever the lines are."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import msgspec
import pyarrow as pa
from pyarrow import json as pa_json
from pyarrow import parquet as pq

from personalize_spark.artifacts.view import View
from personalize_spark.job.byte_ranges import ByteRange, lines_of, stored
from personalize_spark.job.job import Job
from personalize_spark.schemas import ITEMS
from personalize_spark.storage.file import on_local_disk
from personalize_spark.storage.store import Object, Store

_GROUP_BYTES = 16 << 20
"""Text of a row group: decided by the lines alone, so that the bytes do not depend on how the input was cut."""
_BEFORE, _BEHIND = b'{"input":', b',"output":{"recommendedItems":['
"""What an output line has before and behind the echo of its input; behind its last place no text can hold the latter."""
_ID = pa.string()
_TYPES = {"string": pa.string(), "boolean": pa.bool_(), "long": pa.int64(), "int": pa.int64()}


class _Asked(msgspec.Struct):
    userId: str | int | None = None  # noqa: N815  # as lines spell it
    itemId: str | int | None = None  # noqa: N815


def write_parquet(job: Job, staging: Store, output: Store, name: str, pieces: Iterable[Object]) -> None:
    """Write an output once more, as Parquet.

    Args:
        job: says what lines hold.
        staging: holds the pieces.
        output: gets the file, whole.
        name: of the file.
        pieces: of the output, in order.

    Raises:
        StorageError: a piece cannot be read, or the file cannot be written.
    """
    schema = _schema(job)
    text = chain.from_iterable(stored(staging, ByteRange(each, 0, each.size)) for each in pieces)
    with on_local_disk(), tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for lines in _groups(lines_of(text)):
                writer.write_table(_table(lines, schema), row_group_size=len(lines))
        file.seek(0)
        output.upload(name, file)


def _schema(job: Job) -> pa.Schema:
    texts, numbers = pa.list_(pa.string()), pa.list_(pa.float64())
    columns = {"userId": _ID, "itemId": _ID, "input": pa.string(), "recommendedItems": texts, "scores": numbers}
    columns |= {"theme": pa.string(), "itemsThemeRelevanceScores": numbers}
    if job.extensions.with_columns and job.view is not None:
        items = View(job.view.open()).schemas[ITEMS]
        types = {column.name: _TYPES.get(column.type, pa.float64()) for column in items.columns}
        columns["itemColumns"] = pa.struct({name: pa.list_(types[name]) for name in job.extensions.with_columns})
    return pa.schema({**columns, "error": pa.string()})


def _groups(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The lines, in groups of as many as have so many bytes."""
    group: list[bytes] = []
    size = 0
    for line in chain.from_iterable(block.removesuffix(b"\n").split(b"\n") for block in blocks):
        group.append(line)
        size += len(line)
        if size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _table(lines: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    places = [line.rindex(_BEHIND) for line in lines]
    echoes = [line[len(_BEFORE) : place] for line, place in zip(lines, places, strict=True)]
    rest = b"\n".join(b"{" + line[place + 1 :] for line, place in zip(lines, places, strict=True))
    told = [field for field in schema if field.name not in {"userId", "itemId", "input", "error"}]
    parsed = pa_json.read_json(
        io.BytesIO(rest),
        pa_json.ReadOptions(use_threads=False, block_size=len(rest) + 1),
        pa_json.ParseOptions(pa.schema({"output": pa.struct(told), "error": pa.string()})),
    )
    output = parsed.column("output").combine_chunks()
    columns = {field.name: output.field(field.name) for field in told}
    asked = [_asked(echo) for echo in echoes]
    columns |= {"userId": pa.array([_text(each.userId) for each in asked], _ID)}
    columns |= {"itemId": pa.array([_text(each.itemId) for each in asked], _ID)}
    columns |= {"input": pa.array([echo.decode() for echo in echoes], pa.string()), "error": parsed.column("error")}
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _asked(echo: bytes) -> _Asked:
    try:
        return msgspec.json.decode(echo, type=_Asked)
    except msgspec.DecodeError:  # a line that was no object, or has no id there
        return _Asked()


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)
