"""Export: a dataset's Delta table -> CSV files in the form that an import reads."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.resources import find_schema
from personalize_spark.datasets.delta_tables import has_puts, table_of
from personalize_spark.datasets.puts import PUT
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Access


class Rows(StrEnum):
    """Which rows, as `ingestionMode` has it: those of imports, those that were put one by one, or all."""

    BULK = "BULK"
    PUT = "PUT"
    ALL = "ALL"


def export_rows(spark: SparkSession, catalog: Catalog, dataset: Record, rows: Rows, folder: str, access: Access) -> int:
    """Write rows of a dataset as `FOLDER/part-00000.csv` and so on; of rows that are the same in all fields, one.

    Args:
        spark: a session with Delta.
        catalog: holds the dataset.
        dataset: one with data.
        rows: which.
        folder: the URI of a folder.
        access: how it is written.

    Returns:
        How many rows were written.
    """
    names = find_schema(catalog, dataset).names
    table = table_of(spark, dataset)
    put = F.col(PUT).isNotNull() if has_puts(table) else F.lit(False)  # noqa: FBT003  # of no row
    chosen = {Rows.BULK: table.where(~put), Rows.PUT: table.where(put), Rows.ALL: table}[rows]
    written = chosen.select(*names).distinct().mapInArrow(partial(_write, folder, access), "rows long").collect()
    if not written:
        open_store(folder, access).write(_name(0), f"{','.join(names)}\n".encode())
    return sum(row["rows"] for row in written)


def _write(folder: str, access: Access, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Write the rows of one task as one file, if there are any."""
    context = TaskContext.get()
    assert context is not None  # noqa: S101  # Spark calls this in a task
    rows = 0
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, escapechar="\\", lineterminator="\n")
            for batch in batches:
                if not rows:
                    writer.writerow(batch.schema.names)
                writer.writerows(zip(*(map(_text, column.to_pylist()) for column in batch.columns), strict=True))
                rows += batch.num_rows
        if rows:
            with path.open("rb") as source:
                open_store(folder, access).upload(_name(context.partitionId()), source)
            yield pa.RecordBatch.from_pydict({"rows": [rows]})


def _name(part: int) -> str:
    return f"part-{part:05d}.csv"


def _text(value: str | float | bool | None) -> str:  # noqa: FBT001  # a value of a column
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
