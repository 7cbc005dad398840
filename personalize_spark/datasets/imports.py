"""Import: CSV files -> Delta tables -> a new view, and the records of it all.

datasets/GROUP/interactions|items|users/     Delta tables
datasets/GROUP/rejected/IMPORT/TYPE/         JSON Lines: file, line and reason of every row that was not imported

All files of all datasets are read and checked before the first table is written. The records follow when all tables
are: if one cannot be written, the others go back, and jobs still see the versions before.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it
from pyspark.sql.pandas.types import from_arrow_schema

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.resources import dataset_arn, find_dataset, find_schema
from personalize_spark.catalog.status import Status
from personalize_spark.datasets.build_view import build_view
from personalize_spark.datasets.imported import KEYS, Imported, ImportReport
from personalize_spark.datasets.rows import LINE, REASON, arrow_schema, check_header, read_rows, sample
from personalize_spark.errors import (
    DataError,
    InvalidInputException,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
    counted,
)
from personalize_spark.schemas import Schema, infer
from personalize_spark.storage.location import hadoop_uri, open_store, split_prefix
from personalize_spark.storage.store import Object, ObjectReader, Store, stream

FILE = "_file"
_SHOWN = 10
_SAMPLE_ROWS = 100_000
_HEAD = 256 << 10


class ImportMode(StrEnum):
    """As in CreateDatasetImportJob."""

    FULL = "FULL"
    INCREMENTAL = "INCREMENTAL"


@dataclass(frozen=True)
class CsvSource:
    """CSV files: one object, or all below a folder or prefix; the schema is inferred where none is given."""

    uri: str
    schema: Mapping[str, Any] | None = None


def import_files(
    spark: SparkSession,
    catalog: Catalog,
    group: str,
    sources: Mapping[str, CsvSource],
    mode: ImportMode = ImportMode.FULL,
) -> ImportReport:
    """Import CSV files into a dataset group; see `plan_import` and `run_import`."""
    return run_import(spark, catalog, plan_import(catalog, group, sources, mode))


def plan_import(
    catalog: Catalog, group: str, sources: Mapping[str, CsvSource], mode: ImportMode = ImportMode.FULL
) -> ImportPlan:
    """List the files, settle the schemas and compare every header with them; nothing is written, Spark is not needed.

    Args:
        catalog: holds the dataset group, if it is not a new one.
        group: the name of the dataset group.
        sources: by dataset type, `Interactions`, `Items` or `Users`.
        mode: FULL replaces what is there; INCREMENTAL adds interactions, and updates items and users by id.

    Raises:
        InvalidInputException: the group's name or a schema is not valid, or a file has other columns.
        DataError: there is no file, or one that is not CSV.
    """
    arn = _group_arn(catalog, group)
    kept = {name: None if mode is ImportMode.FULL else _kept(catalog, arn, name) for name in sources}
    return ImportPlan(arn, [_plan(dataset, source, kept[dataset]) for dataset, source in sources.items()])


def run_import(spark: SparkSession, catalog: Catalog, plan: ImportPlan) -> ImportReport:
    """Import what is planned into the dataset group, which is created if there is none.

    Args:
        spark: a session with Delta.
        catalog: where all of it goes.
        plan: see `plan_import`.

    Raises:
        DataError: a dataset has no row that can be imported; then none is.
    """
    arn, ticket = plan.group, secrets.token_hex(4)
    with suppress(ResourceAlreadyExistsException):
        catalog.create(arn, {"name": arn.name, "datasetGroupArn": str(arn), "status": Status.ACTIVE})
    with ExitStack() as cached:
        rejected = f"{catalog.uri}/datasets/{arn.name}/rejected/{ticket}"
        checked = [_check(spark, each, f"{rejected}/{each.schema.dataset}", cached) for each in plan.datasets]
        _refuse_nothing(checked)
        imported = list(_import_all(spark, catalog, arn, checked))
    for each in imported:
        _record(catalog, arn, each.schema, each.delta_version)
    view = build_view(spark, catalog, arn, ticket)
    _point(catalog, arn, view)
    return ImportReport(str(arn), imported, view.uri)


def _group_arn(catalog: Catalog, name: str) -> Arn:
    """The ARN of the dataset group of that name, or the one that it will have; all others of the catalog follow it."""
    local = catalog.new_arn("dataset-group", name)
    return next((each.arn for each in catalog.list("dataset-group") if each.arn.name == name), local)


def table_path(group: str, dataset: str) -> str:
    """Where a Delta table lies in the catalog."""
    return f"datasets/{group}/{dataset.lower()}"


@dataclass(frozen=True)
class _Files:
    """What to read of a dataset: the files of a folder, in the columns of the schema; `adds` to the rows that are there."""

    folder: str
    files: list[Object]
    schema: Schema
    adds: bool


@dataclass(frozen=True)
class ImportPlan:
    """An import before it starts: the dataset group, and the files of each dataset."""

    group: Arn
    datasets: list[_Files]


@dataclass(frozen=True)
class _Checked:
    """The rows of a dataset as they were read, good and bad, before any is written; `total` counts them all."""

    schema: Schema
    adds: bool
    rows: DataFrame
    total: int
    rejected: int
    examples: list[str]
    rejected_uri: str


def _kept(catalog: Catalog, group: Arn, dataset: str) -> Schema | None:
    """The schema of what is there, if anything is."""
    try:
        return find_schema(catalog, find_dataset(catalog, group, dataset))
    except ResourceNotFoundException:
        return None


def _plan(dataset: str, source: CsvSource, kept: Schema | None) -> _Files:
    """List the files, settle the schema and compare every file's header with it.

    What is added to has the `kept` schema; else it is inferred from the first rows of all files.
    """
    folder, prefix = split_prefix(source.uri)
    store = open_store(folder)
    found = [each for each in store.list(prefix) if each.name == prefix] or list(store.list(prefix and prefix + "/"))
    files = [each for each in found if each.size and (each.name == prefix or not _is_hidden(each.name))]
    if not files:
        raise DataError(f"There is nothing to import: {source.uri} has no file with content.")
    schema = Schema.parse(dataset, source.schema) if source.schema is not None else kept
    samples = [_sample(store, each, 0 if schema else -(-_SAMPLE_ROWS // len(files))) for each in files]
    if schema is None:
        header, _ = samples[0]
        alike = [columns for names, columns in samples if names == header]
        try:
            schema = infer(dataset, header, [list(chain(*parts)) for parts in zip(*alike, strict=True)])
        except InvalidInputException as error:
            where = f"The header of {store.root}{files[0].name}, split at commas, names {', '.join(header)}"
            raise InvalidInputException(f"{where}. {error.message}") from error
    if kept is not None and schema != kept:
        raise InvalidInputException(
            f"The schema given for {dataset} differs from that of the existing rows. Only an import in the mode FULL can change it."
        )
    for each, (header, _) in zip(files, samples, strict=True):
        check_header(store.root + each.name, header, schema)
    return _Files(folder, files, schema, adds=kept is not None)


def _is_hidden(name: str) -> bool:
    """What Spark and others leave beside the data: `_SUCCESS`, `.part-0.csv.crc`."""
    return name.rpartition("/")[2].startswith(("_", "."))


def _sample(store: Store, found: Object, rows: int) -> tuple[list[str], list[list[str]]]:
    # Of thousands of files no more is read than their first lines.
    with io.BufferedReader(ObjectReader(store, found), _HEAD) as file:
        return sample(file, store.root + found.name, rows)


def _check(spark: SparkSession, plan: _Files, rejected_uri: str, cached: ExitStack) -> _Checked:
    """Read all rows, and list those that will not be imported; the rows stay cached for as long as `cached` is open."""
    rows = _read(spark, plan).persist()
    cached.callback(rows.unpersist)
    [counts] = rows.agg(F.count("*").alias("all"), F.count(REASON).alias("rejected")).collect()
    examples = _list_rejected(rows, rejected_uri) if counts["rejected"] else []
    return _Checked(plan.schema, plan.adds, rows, counts["all"], counts["rejected"], examples, rejected_uri)


def _refuse_nothing(checked: Sequence[_Checked]) -> None:
    problems = []
    for each in checked:
        if not each.total:
            problems.append(f"The files of {each.schema.dataset} have a header but no rows.")
        elif each.rejected == each.total:
            problems.append(
                f"No row of {each.schema.dataset} could be imported: {each.rejected_uri} lists "
                f"{counted(each.rejected, 'rejected row')}, such as {'; '.join(each.examples[:3])}."
            )
    if problems:
        raise DataError(f"{' '.join(problems)} Nothing was imported.")


def _import_all(spark: SparkSession, catalog: Catalog, group: Arn, checked: Sequence[_Checked]) -> Iterator[Imported]:
    """Write all tables, or none: what is added twice would count twice."""
    written: list[str] = []
    try:
        for each in checked:
            yield _import(spark, catalog, group, each)
            written.append(each.schema.dataset)
    except BaseException:
        for dataset in written:
            _restore(spark, catalog, group, dataset)
        raise


def _restore(spark: SparkSession, catalog: Catalog, group: Arn, dataset: str) -> None:
    """Put a table back to its recorded version; one that has none is overwritten by the next import."""
    with suppress(ResourceNotFoundException):
        before = find_dataset(catalog, group, dataset).fields
        spark.sql(f"RESTORE TABLE delta.`{hadoop_uri(before['path'])}` TO VERSION AS OF {before['deltaVersion']}")


def _import(spark: SparkSession, catalog: Catalog, group: Arn, checked: _Checked) -> Imported:
    schema = checked.schema
    good = _newest(checked.rows.where(f"{REASON} is null"), schema)
    path = hadoop_uri(f"{catalog.uri}/{table_path(group.name, schema.dataset)}")
    imported, version = _write(spark, good, path, schema, adds=checked.adds)
    replaced = checked.total - checked.rejected - imported
    return Imported(
        schema.dataset, schema, imported, replaced, checked.rejected, checked.examples, checked.rejected_uri, version
    )


def _list_rejected(rows: DataFrame, uri: str) -> list[str]:
    """Write down all rows that are not imported; gives the first for reading."""
    rejected = rows.where(f"{REASON} is not null").select(FILE, LINE, REASON).toDF("file", "line", "reason")
    rejected = rejected.orderBy("file", "line")
    rejected.write.json(hadoop_uri(uri))
    return [f"{row['file']}, line {row['line']}: {row['reason']}" for row in rejected.take(_SHOWN)]


def _read(spark: SparkSession, plan: _Files) -> DataFrame:
    """All rows of all files, a task a file."""
    fields = arrow_schema(plan.schema).append(pa.field(FILE, pa.string()))
    read = partial(_read_files, plan, fields)
    return spark.range(0, len(plan.files), 1, len(plan.files)).mapInArrow(read, from_arrow_schema(fields))


def _read_files(plan: _Files, fields: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    store = open_store(plan.folder)
    for batch in batches:
        for number in batch.column(0).to_pylist():
            name = store.root + plan.files[number].name
            with stream(store, plan.files[number]) as file:
                for rows in read_rows(file, name, plan.schema):
                    where = pa.array([name] * rows.num_rows, pa.string())
                    yield pa.RecordBatch.from_arrays([*rows.columns, where], schema=fields)


def _newest(rows: DataFrame, schema: Schema) -> DataFrame:
    """Of several rows of one item or user, the last one."""
    key = KEYS.get(schema.dataset)
    if key is not None:
        last = Window.partitionBy(key).orderBy(F.desc(FILE), F.desc(LINE))
        rows = rows.withColumn("_row", F.row_number().over(last)).where("_row = 1")
    return rows.select(*schema.names)


def _write(spark: SparkSession, rows: DataFrame, path: str, schema: Schema, *, adds: bool) -> tuple[int, int]:
    """Write the rows; gives how many they were, and the version of the table."""
    key = KEYS.get(schema.dataset)
    if not adds:
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


def _record(catalog: Catalog, group: Arn, schema: Schema, version: int) -> None:
    """Keep the schema and the version of the table that was written; a dataset that has this schema keeps its name."""
    table = {"path": f"{catalog.uri}/{table_path(group.name, schema.dataset)}", "deltaVersion": version}
    arn = dataset_arn(group, schema.dataset)
    with suppress(ResourceNotFoundException):
        dataset = catalog.read(arn)
        if find_schema(catalog, dataset) == schema:
            catalog.update(dataset, **table)
            return
    fields = {
        "name": _schema_arn(group, schema.dataset).name,
        "datasetArn": str(arn),
        "schemaArn": _schema_record(catalog, group, schema),
        "datasetGroupArn": str(group),
        "datasetType": schema.dataset,
        "status": Status.ACTIVE,
    }
    _create_or_update(catalog, arn, fields | table)


def _schema_record(catalog: Catalog, group: Arn, schema: Schema) -> str:
    arn = _schema_arn(group, schema.dataset)
    _create_or_update(catalog, arn, {"name": arn.name, "schemaArn": str(arn), "schema": schema.avro()})
    return str(arn)


def _schema_arn(group: Arn, dataset: str) -> Arn:
    return group.sibling("schema", f"{group.name}-{dataset.lower()}")


def _create_or_update(catalog: Catalog, arn: Arn, fields: dict[str, Any]) -> Record:
    try:
        return catalog.create(arn, fields)
    except ResourceAlreadyExistsException:
        record = catalog.read(arn)
        catalog.update(record, **fields)
        return record


def _point(catalog: Catalog, group: Arn, view: Pinned) -> None:
    """Make a view the group's current one; who comes later wins."""
    while True:
        try:
            catalog.update(catalog.read(group), view=asdict(view))
        except ResourceInUseException:
            continue
        return
