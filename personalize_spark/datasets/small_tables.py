"""Small Delta tables, read from their own files: sooner done than Spark finds out which files count, for each query anew.

Only what every reader of Delta's first protocol understands is read here: Parquet files, which the commits of the log add and remove.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from personalize_spark.errors import StorageError
from personalize_spark.storage.store import Store

_COMMITS, _FILES, _BYTES, _ROWS = 16, 16, 1 << 20, 20_000
"""At most so much is read. Parquet may hold very many equal rows in few bytes."""
_FIRST_READER = 1
_ARROW = {
    "string": pa.string(),
    "long": pa.int64(),
    "integer": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}


def read_small_table(table: Store, version: int) -> pa.Table | None:
    """The rows of a Delta table at a version; `None`: Spark is to read it, as it is not small, not simple, or not there."""
    if version >= _COMMITS:
        return None
    try:
        return _read(table, version)
    except (StorageError, pa.ArrowException, OSError):
        # a log that begins with a checkpoint; files that are gone, damaged, or another table's, of which this one is a clone
        return None


def _read(table: Store, version: int) -> pa.Table | None:
    files: dict[str, int] = {}
    meta: Mapping[str, Any] = {}
    for commit in range(version + 1):
        for action in map(orjson.loads, table.read(log_name(commit)).splitlines()):
            if action.get("protocol", {}).get("minReaderVersion", _FIRST_READER) != _FIRST_READER:
                return None
            meta = action.get("metaData", meta)
            if "add" in action:
                files[action["add"]["path"]] = action["add"]["size"]
            elif "remove" in action:
                files.pop(action["remove"]["path"], None)
    schema = _schema(meta)
    if schema is None or len(files) > _FILES or sum(files.values()) > _BYTES:
        return None
    return _rows(table, files, schema)


def log_name(version: int) -> str:
    """The file of the log that tells of a version."""
    return f"_delta_log/{version:020d}.json"


def _schema(meta: Mapping[str, Any]) -> pa.Schema | None:
    """The columns, if they are of the types of datasets and all in the files."""
    fields = orjson.loads(meta["schemaString"])["fields"]
    if meta["partitionColumns"] or not all(isinstance(each["type"], str) and each["type"] in _ARROW for each in fields):
        return None
    return pa.schema([pa.field(each["name"], _ARROW[each["type"]]) for each in fields])


def _rows(table: Store, files: Mapping[str, int], schema: pa.Schema) -> pa.Table | None:
    found = [schema.empty_table()]
    rows = 0
    for path in files:
        file = pq.ParquetFile(io.BytesIO(table.read(unquote(path))))
        rows += file.metadata.num_rows
        if rows > _ROWS:
            return None
        read = file.read()
        lacking = pa.nulls(read.num_rows)  # a column that was added later
        there = {name: read.column(name) for name in read.column_names}
        found.append(pa.table([there.get(each.name, lacking).cast(each.type) for each in schema], schema=schema))
    return pa.concat_tables(found)
