"""Import: CSV files -> Delta tables -> a new view, and the records of it all.

datasets/GROUP/interactions|items|users/     Delta tables
datasets/GROUP/rejected/IMPORT/TYPE/         JSON Lines: file, line and reason of every row that was not imported
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it
from pyspark.sql.pandas.types import from_arrow_schema

from personalize_spark.arns import Arn
from personalize_spark.datasets.rows import LINE, REASON, arrow_schema, check_header, read_rows, sample
from personalize_spark.datasets.schemas import ITEMS, USERS, Schema, infer
from personalize_spark.datasets.view import build_view
from personalize_spark.errors import (
    DataError,
    InvalidInputException,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from personalize_spark.storage.catalog import Catalog, Record
from personalize_spark.storage.location import hadoop_uri, open_store, split_prefix
from personalize_spark.storage.store import Object, Store, stream

FILE = "_file"
_KEYS = {ITEMS: "ITEM_ID", USERS: "USER_ID"}
_SHOWN = 10
_SAMPLE_ROWS = 100_000


class ImportMode(StrEnum):
    """As in CreateDatasetImportJob."""

    FULL = "FULL"
    INCREMENTAL = "INCREMENTAL"


@dataclass(frozen=True)
class Source:
    """CSV files: one object, or all below a folder or prefix; the schema is inferred where none is given."""

    uri: str
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Imported:
    """What became of one dataset's files.

    Attributes:
        rows: how many were imported.
        rejected: how many were not; `examples` shows the first, `rejected_uri` holds all.
        delta_version: of the table, after the import.
    """

    dataset: str
    schema: Schema
    rows: int
    rejected: int
    examples: list[str]
    rejected_uri: str
    delta_version: int


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    group: str
    datasets: list[Imported]
    view: str

    def __str__(self) -> str:
        lines = []
        for each in self.datasets:
            types = ", ".join(f"{field.name} {field.type}" for field in each.schema.fields)
            lines.append(f"{each.dataset}: {each.rows:,} rows imported ({types})")
            if each.rejected:
                lines.append(
                    f"  {each.rejected:,} rows were not imported; all of them are listed in {each.rejected_uri}"
                )
                lines += [f"    {example}" for example in each.examples]
        return "\n".join([*lines, f"view: {self.view}"])


def import_datasets(
    spark: SparkSession, catalog: Catalog, group: str, sources: Mapping[str, Source], mode: ImportMode = ImportMode.FULL
) -> ImportReport:
    """Import CSV files into a dataset group, which is made if there is none.

    Args:
        spark: a session with Delta.
        catalog: where all of it goes.
        group: the name of the dataset group.
        sources: by dataset type, `Interactions`, `Items` or `Users`.
        mode: FULL replaces what is there; INCREMENTAL adds interactions, and updates items and users by id.

    Raises:
        InvalidInputException: a schema is wrong, or a file has other columns.
        DataError: there is nothing to import.
    """
    arn = dataset_group(catalog, group)
    ticket = secrets.token_hex(4)
    plans = {dataset: _files(dataset, source) for dataset, source in sources.items()}
    imported = [_import(spark, catalog, arn, ticket, *plans[dataset], mode) for dataset in sources]
    view = build_view(spark, catalog, arn, ticket)
    _point(catalog, arn, view.uri, view.sha256)
    return ImportReport(group, imported, view.uri)


def dataset_group(catalog: Catalog, name: str) -> Arn:
    """The dataset group of that name, made if there is none.

    Its ARN, which all others of the catalog follow, has the region of `AWS_REGION` or `AWS_DEFAULT_REGION`, else
    us-east-1, and the account 000000000000.
    """
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    arn = Arn.parse(f"arn:aws:personalize:{region}:000000000000:dataset-group/{name}")
    for record in catalog.list("dataset-group"):
        if record.arn.name == name:
            return record.arn
    catalog.create(arn, {"name": name, "datasetGroupArn": str(arn), "status": "ACTIVE"})
    return arn


def table_path(group: str, dataset: str) -> str:
    """Where a Delta table lies in the catalog."""
    return f"datasets/{group}/{dataset.lower()}"


Plan = tuple[str, list[Object], Schema]
"""The folder of the files, the files, the schema."""


def _files(dataset: str, source: Source) -> Plan:
    """List the files and settle the schema, before anything is written."""
    folder, prefix = split_prefix(source.uri)
    store = open_store(folder)
    found = [each for each in store.list(prefix) if each.name == prefix] or list(store.list(prefix and prefix + "/"))
    files = [each for each in found if each.size]
    if not files:
        raise DataError(f"There is nothing to import: no file with content at {source.uri}.")
    header, columns = _head(store, files[0])
    if source.schema is None:
        return folder, files, infer(dataset, header, columns)
    schema = Schema.parse(dataset, source.schema)
    for each in files:
        check_header(store.root + each.name, _head(store, each)[0], schema)
    return folder, files, schema


def _head(store: Store, found: Object) -> tuple[list[str], list[list[str]]]:
    with stream(store, found) as file:
        return sample(file, store.root + found.name, _SAMPLE_ROWS)


def _import(
    spark: SparkSession,
    catalog: Catalog,
    group: Arn,
    ticket: str,
    folder: str,
    files: list[Object],
    schema: Schema,
    mode: ImportMode,
) -> Imported:
    rejected_uri = f"{catalog.uri}/datasets/{group.name}/rejected/{ticket}/{schema.dataset}"
    rows = _read(spark, folder, files, schema).persist()
    try:
        [counts] = rows.agg(F.count("*").alias("all"), F.count(REASON).alias("rejected")).collect()
        examples = _list_rejected(rows, rejected_uri) if counts["rejected"] else []
        if counts["rejected"] == counts["all"]:
            raise DataError(f"No row of {schema.dataset} could be imported. {' '.join(examples[:3])}")
        good = _newest(rows.where(f"{REASON} is null"), schema)
        path = hadoop_uri(f"{catalog.uri}/{table_path(group.name, schema.dataset)}")
        imported, version = _write(spark, good, path, schema, mode)
    finally:
        rows.unpersist()
    _record(catalog, group, schema, version)
    return Imported(schema.dataset, schema, imported, counts["rejected"], examples, rejected_uri, version)


def _list_rejected(rows: DataFrame, uri: str) -> list[str]:
    """Write down all rows that are not imported; gives the first for reading."""
    rejected = rows.where(f"{REASON} is not null").select(FILE, LINE, REASON).toDF("file", "line", "reason")
    rejected = rejected.orderBy("file", "line")
    rejected.write.json(hadoop_uri(uri))
    return [f"{row['file']}, line {row['line']}: {row['reason']}" for row in rejected.take(_SHOWN)]


def _read(spark: SparkSession, folder: str, files: list[Object], schema: Schema) -> DataFrame:
    """All rows of all files, a task a file."""
    fields = arrow_schema(schema).append(pa.field(FILE, pa.string()))
    read = partial(_read_files, folder, files, schema, fields)
    return spark.range(0, len(files), 1, len(files)).mapInArrow(read, from_arrow_schema(fields))


def _read_files(
    folder: str, files: list[Object], schema: Schema, fields: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    store = open_store(folder)
    for batch in batches:
        for number in batch.column(0).to_pylist():
            name = store.root + files[number].name
            with stream(store, files[number]) as file:
                for rows in read_rows(file, name, schema):
                    where = pa.array([name] * rows.num_rows, pa.string())
                    yield pa.RecordBatch.from_arrays([*rows.columns, where], schema=fields)


def _newest(rows: DataFrame, schema: Schema) -> DataFrame:
    """Of several rows of one item or user, the last one."""
    key = _KEYS.get(schema.dataset)
    if key is not None:
        last = Window.partitionBy(key).orderBy(F.desc(FILE), F.desc(LINE))
        rows = rows.withColumn("_row", F.row_number().over(last)).where("_row = 1")
    return rows.select(*schema.names)


def _write(spark: SparkSession, rows: DataFrame, path: str, schema: Schema, mode: ImportMode) -> tuple[int, int]:
    """Write the rows; gives how many they were, and the version of the table."""
    key = _KEYS.get(schema.dataset)
    if mode == ImportMode.FULL or not _is_table(path):
        rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)
    elif key is None:
        rows.write.format("delta").mode("append").save(path)
    else:
        rows.createOrReplaceTempView("imported_rows")
        spark.sql(
            f"MERGE INTO delta.`{path}` AS old USING imported_rows AS new ON old.{key} = new.{key} "
            "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )
        spark.catalog.dropTempView("imported_rows")
    [last] = spark.sql(f"DESCRIBE HISTORY delta.`{path}` LIMIT 1").collect()
    metrics = last["operationMetrics"]
    merged = int(metrics.get("numTargetRowsInserted", 0)) + int(metrics.get("numTargetRowsUpdated", 0))
    return merged or int(metrics["numOutputRows"]), last["version"]


def _is_table(path: str) -> bool:
    store = open_store(path)
    return any(True for _ in store.list("_delta_log/"))


def _record(catalog: Catalog, group: Arn, schema: Schema, version: int) -> None:
    """Keep the schema and the version of the table that was written."""
    name = f"{group.name}-{schema.dataset.lower()}"
    fields = {
        "schemaArn": _schema_record(catalog, group, name, schema),
        "datasetGroupArn": str(group),
        "datasetType": schema.dataset,
        "path": f"{catalog.uri}/{table_path(group.name, schema.dataset)}",
        "deltaVersion": version,
        "status": "ACTIVE",
    }
    arn = group.sibling("dataset", group.name, schema.dataset.upper())
    _create_or_update(catalog, arn, {"name": name, "datasetArn": str(arn), **fields})


def _schema_record(catalog: Catalog, group: Arn, name: str, schema: Schema) -> str:
    arn = group.sibling("schema", name)
    _create_or_update(catalog, arn, {"name": name, "schemaArn": str(arn), "schema": schema.avro()})
    return str(arn)


def _create_or_update(catalog: Catalog, arn: Arn, fields: dict[str, Any]) -> Record:
    try:
        return catalog.create(arn, fields)
    except ResourceAlreadyExistsException:
        record = catalog.read(arn)
        catalog.update(record, **fields)
        return record


def _point(catalog: Catalog, group: Arn, view: str, sha256: str) -> None:
    """Make a view the group's current one; who comes later wins."""
    while True:
        try:
            catalog.update(catalog.read(group), view=view, viewSha256=sha256)
        except ResourceInUseException:
            continue
        return


def dataset_record(catalog: Catalog, group: Arn, dataset: str) -> Record:
    """The record of a dataset.

    Raises:
        InvalidInputException: the group has no such dataset.
    """
    try:
        return catalog.read(group.sibling("dataset", group.name, dataset.upper()))
    except ResourceNotFoundException as error:
        raise InvalidInputException(
            f"The dataset group {group.name} has no {dataset} dataset: import one first."
        ) from error
