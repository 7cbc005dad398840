"""What of an import is a table of Spark, Parquet or Delta, seen by its files. Spark is not needed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from personalize_spark.errors import DataError
from personalize_spark.storage.content import foreign_kind, is_litter
from personalize_spark.storage.location import open_store, split_prefix

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_VERSION = re.compile(r"(.*?)/?@v([0-9]+)/?")
_FOREIGN = re.compile(r"(?:^|/)(?:metadata/[^/]*\.metadata\.json|\.hoodie/.*)$")
_PARTITION = re.compile(r"([^/=]+)=[^/]*(?=/)")


@dataclass(frozen=True)
class TableFiles:
    """A table that lies in a folder or a file.

    Attributes:
        uri: of the folder or file.
        form: `parquet` or `delta`.
        version: of the Delta table; `None`: the newest one.
        partitions: the columns that a Parquet table's folders name, such as `day` of `day=2026-11-01/`.
    """

    uri: str
    form: str
    version: int | None = None
    partitions: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSource:
    """Rows that Spark reads: a table's, or those of a frame; the schema follows from its types where none is given.

    Attributes:
        table: where it lies, or the frame.
        schema: in the service's Avro form.
        names: by column of the schema, what the table calls it; for columns that have another name there.
    """

    table: TableFiles | DataFrame
    schema: Mapping[str, Any] | None = None
    names: Mapping[str, str] = field(default_factory=dict)


def find_table(uri: str) -> TableFiles | None:
    """The Delta or Parquet table at a URI, which may end with a version, `@v12`; `None` if something else is there, or nothing.

    Raises:
        DataError: a table of another kind lies there, or a version is named of what is no Delta table.
    """
    versioned = _VERSION.fullmatch(uri)
    place, version = (versioned[1], int(versioned[2])) if versioned else (uri.rstrip("/"), None)
    folder, prefix = split_prefix(place)
    store = open_store(folder)
    below = (each for each in store.list(prefix) if each.name == prefix or each.name.startswith(f"{prefix}/"))
    found = [(each.name[len(prefix) + 1 :], each) for each in below]
    names = [name for name, _ in found]
    if any(name.startswith("_delta_log/") for name in names):
        return TableFiles(place, "delta", version)
    if version is not None:
        raise DataError(f"{place} is no Delta table, so it has no version {version}: leave @v{version} out.")
    if foreign := next((name for name in names if _FOREIGN.search(name)), None):
        kind = "a Hudi" if ".hoodie/" in foreign else "an Iceberg"
        raise DataError(
            f"{place} is {kind} table, whose files alone do not say which rows count. Read it with Spark, and give the frame to "
            "import_datasets in Python, or write it as Parquet."
        )
    data = next(
        (each for name, each in found if each.size and not is_litter(name, "") and "/_" not in f"/{name}"), None
    )
    if data is None or foreign_kind(store.read(data.name, 0, min(4, data.size))) != "parquet":
        return None
    return TableFiles(place, "parquet", partitions=_partitions(names))


def _partitions(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(unquote(column) for name in names for column in _PARTITION.findall(name)))
