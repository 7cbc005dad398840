"""Import: CSV files, or tables -> Delta tables -> a new view, and the records of it all.

datasets/GROUP/interactions|items|users/     Delta tables
datasets/GROUP/rejected/IMPORT/TYPE/         JSON Lines: file, line (a table has none) and reason of every row that was not imported

All files of all datasets are read and checked before the first table is written. The records follow when all tables
are, then that of the view. An import counts as a whole, or not at all: see `changing` and `commit`.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it
from pyspark.sql.pandas.types import from_arrow_schema

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.catalog.resources import dataset_arn, find_dataset, find_own_schema
from personalize_spark.catalog.status import Status
from personalize_spark.datasets.build_view import build_view
from personalize_spark.datasets.delta_tables import (
    change_records,
    changing,
    commit,
    fold,
    has_puts,
    keeping_puts,
    merge,
    own_change,
    table_of,
    table_uri,
)
from personalize_spark.datasets.import_plan import MISSING_WORDS, CsvSource, Files, ImportMode, ImportPlan, plan_import
from personalize_spark.datasets.imported import KEYS, SHOWN, Imported, ImportReport, missing_notes, rejected_row
from personalize_spark.datasets.odd_ids import id_columns, notes_of_ids, notes_of_rows
from personalize_spark.datasets.puts import PUT
from personalize_spark.datasets.rows import FILE, LINE, MISSING, REASON, Reading, arrow_schema
from personalize_spark.datasets.table_rows import Table
from personalize_spark.datasets.waiting_events import KEPT
from personalize_spark.errors import (
    DataError,
    PersonalizeSparkError,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    TaskFailed,
    counted,
)
from personalize_spark.schemas import Schema
from personalize_spark.spark import frame_of, persisted, root_cause
from personalize_spark.storage.location import hadoop_uri

__all__ = ["CsvSource", "ImportMode", "import_files", "plan_import", "run_import"]

_LITTLE_BYTES, _LITTLE_ROWS = 1 << 20, 100_000
"""So much of a dataset is read in this process, compressed or not, as planning reads it for the types: sooner done than tasks begin."""


def import_files(
    spark: SparkSession,
    catalog: Catalog,
    group: str,
    sources: Mapping[str, CsvSource],
    mode: ImportMode = ImportMode.FULL,
) -> ImportReport:
    """Import CSV files into a dataset group; see `plan_import` and `run_import`."""
    return run_import(spark, catalog, plan_import(catalog, group, sources, mode))


def run_import(spark: SparkSession, catalog: Catalog, plan: ImportPlan) -> ImportReport:
    """Import what is planned into the dataset group, which is created if there is none.

    Args:
        spark: a session with Delta.
        catalog: where all of it goes.
        plan: see `plan_import`.

    Raises:
        DataError: a dataset has no row that can be imported; then none is.
        ResourceInUseException: another process imports into the group.
        TaskFailed: Spark failed.
    """
    arn, ticket = plan.group, secrets.token_hex(4)
    with suppress(ResourceAlreadyExistsException):
        catalog.create(arn, {"name": arn.name, "datasetGroupArn": str(arn), "status": Status.ACTIVE})
    with _failures_told(), changing(spark, catalog, arn) as alone:
        fold(spark, catalog, arn)
        with ExitStack() as cached:
            rejected = f"{catalog.uri}/datasets/{arn.name}/rejected/{ticket}"
            checked = [_check(spark, each, f"{rejected}/{each.schema.dataset}", cached) for each in plan.datasets]
            _refuse_nothing(checked)
            alone.update()  # the fence: who fell silent for minutes may not be the one that imports any more
            imported = [_import(catalog, arn, each) for each in checked]
        change_records(catalog, alone, list(_changes(catalog, plan, imported)))
        view = build_view(spark, catalog, arn, ticket)
        change_records(catalog, alone, [(arn, {"view": asdict(view)})])
        commit(alone)
    return ImportReport(str(arn), imported, view.uri)


@contextmanager
def _failures_told() -> Iterator[None]:
    """Say what Spark failed of, in place of its own errors, which have no common base.

    Raises:
        TaskFailed: in their place.
    """
    try:
        yield
    except PersonalizeSparkError:
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("py4j", "pyspark", "delta")):
            raise
        raise TaskFailed(f"The import failed in Spark: {root_cause(error)}") from error


@dataclass(frozen=True)
class _Checked:
    """The rows of a dataset as they were read, good and bad, before any is written; `total` counts them all."""

    plan: Files | Table
    rows: DataFrame
    total: int
    rejected: int
    examples: list[str]
    rejected_uri: str
    notes: list[str]

    @property
    def schema(self) -> Schema:
        """The columns of the dataset."""
        return self.plan.schema


def _check(spark: SparkSession, plan: Files | Table, rejected_uri: str, cached: ExitStack) -> _Checked:
    """Read all rows, and list those that will not be imported; the rows stay cached for as long as `cached` is open."""
    if isinstance(plan, Files) and (read := _read_here(plan)) is not None:
        return _check_here(spark, plan, read, rejected_uri)
    rows = cached.enter_context(persisted(plan.checked_rows() if isinstance(plan, Table) else _read(spark, plan)))
    counting = F.count("*").alias("all"), F.count(REASON).alias("rejected"), F.count(MISSING).alias("missing")
    [counts] = rows.agg(*counting).collect()
    examples = _list_rejected(rows, rejected_uri) if counts["rejected"] else []
    missing = missing_notes(_count_missing(rows)) if counts["missing"] else []
    notes = [*plan.notes, *missing, *notes_of_rows(rows, plan.schema)]
    return _Checked(plan, rows, counts["all"], counts["rejected"], examples, rejected_uri, notes)


def _check_here(spark: SparkSession, plan: Files, read: pa.Table, rejected_uri: str) -> _Checked:
    """The same of the rows of small files: Spark only keeps them, and no process of Python is started for its tasks."""
    rows = frame_of(spark, read).coalesce(1)  # else a file of the table for each core
    rejected = read.num_rows - read.column(REASON).null_count
    examples = _list_rejected(rows, rejected_uri) if rejected else []
    words = Counter(chain.from_iterable(read.column(MISSING).drop_null().to_pylist()))
    ids = {name: pc.unique(read.column(name)).drop_null().to_pylist() for name in id_columns(plan.schema)}
    notes = [*plan.notes, *missing_notes(dict(sorted(words.items()))), *notes_of_ids(ids)]
    return _Checked(plan, rows, read.num_rows, rejected, examples, rejected_uri, notes)


def _count_missing(rows: DataFrame) -> dict[str, int]:
    """How often each column has which word for a missing value."""
    words = rows.select(F.explode(MISSING).alias("word")).groupBy("word").count().orderBy("word")
    return {row["word"]: row["count"] for row in words.collect()}


def _refuse_nothing(checked: Sequence[_Checked]) -> None:
    problems = []
    for each in checked:
        if not each.total:
            problems.append(
                f"{each.plan.name} has no rows."
                if isinstance(each.plan, Table)
                else f"The files of {each.schema.dataset} have a header but no rows."
            )
        elif each.rejected == each.total:
            problems.append(
                f"No row of {each.schema.dataset} could be imported: {each.rejected_uri} lists "
                f"{counted(each.rejected, 'rejected row')}, such as {'; '.join(each.examples[:3])}."
            )
    if problems:
        raise DataError(f"{' '.join(problems)} Nothing was imported.")


def _import(catalog: Catalog, group: Arn, checked: _Checked) -> Imported:
    schema = checked.schema
    good = _newest(checked.rows.where(f"{REASON} is null"), schema)
    uri = table_uri(catalog, group, schema.dataset)
    kept, base = 0, None
    with suppress(ResourceNotFoundException):
        old = find_dataset(catalog, group, schema.dataset)
        if checked.plan.adds:
            base = old.fields["deltaVersion"]
        else:
            good, kept = keeping_puts(table_of(good.sparkSession, old), good, KEYS.get(schema.dataset))
    imported, version = _write(good, uri, schema, base)
    imported -= kept
    replaced = checked.total - checked.rejected - imported
    return Imported(
        *(
            schema.dataset,
            schema,
            imported,
            replaced,
            checked.rejected,
            checked.examples,
            checked.rejected_uri,
            version,
        ),
        notes=checked.notes,
    )


def _list_rejected(rows: DataFrame, uri: str) -> list[str]:
    """Write down all rows that are not imported; gives the first for reading."""
    rejected = rows.where(f"{REASON} is not null").select(FILE, LINE, REASON).toDF("file", "line", "reason")
    rejected = rejected.orderBy("file", "line", "reason")
    rejected.write.json(hadoop_uri(uri))
    return [rejected_row(*row) for row in rejected.take(SHOWN)]


def _read(spark: SparkSession, plan: Files) -> DataFrame:
    """All rows of all files, a task a file."""
    numbers = spark.range(0, len(plan.files), 1, len(plan.files))
    return numbers.mapInArrow(partial(_read_files, plan), from_arrow_schema(_fields(plan)))


def _read_here(plan: Files) -> pa.Table | None:
    """The same in this process; `None`: they are none or not little, or Spark is to say what is wrong with them."""
    if sum(each.size for each in plan.files) > _LITTLE_BYTES:
        return None
    batches, rows = [], 0
    with suppress(PersonalizeSparkError, OSError):
        for batch in _read_files(plan, [pa.record_batch({"id": range(len(plan.files))})]):
            batches.append(batch)
            rows += batch.num_rows
            if rows > _LITTLE_ROWS:
                return None
        return pa.Table.from_batches(batches) if rows else None
    return None


def _fields(plan: Files) -> pa.Schema:
    return arrow_schema(plan.schema).append(pa.field(FILE, pa.string()))


def _read_files(plan: Files, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for number in batch.column(0).to_pylist():
            for rows in plan.rows(number):
                where = pa.array([plan.name(number)] * rows.num_rows, pa.string())
                yield pa.RecordBatch.from_arrays([*rows.columns, where], schema=_fields(plan))


def _newest(rows: DataFrame, schema: Schema) -> DataFrame:
    """Of several rows of one item or user, the last one; the rows of a table have no order, so there the greatest values win."""
    key = KEYS.get(schema.dataset)
    if key is not None:
        last = Window.partitionBy(key).orderBy(F.desc(FILE), F.desc(LINE), *map(F.desc, schema.names))
        rows = rows.withColumn("_row", F.row_number().over(last)).where("_row = 1")
    return rows.select(*schema.names)


def _write(rows: DataFrame, uri: str, schema: Schema, base: int | None) -> tuple[int, int]:
    """Write the rows, in place of the table's or in addition to those of its version `base`; gives how many, and the new version."""
    key, spark, path = KEYS.get(schema.dataset), rows.sparkSession, hadoop_uri(uri)
    if base is None:
        rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)
    elif key is None:
        rows.write.format("delta").mode("append").save(path)
    else:
        if has_puts(spark.read.format("delta").load(path)):
            rows = rows.withColumn(PUT, F.lit(None).cast("string"))
        merge(spark, path, rows, key)
    version, metrics = own_change(spark, uri, base)
    merged = int(metrics.get("numTargetRowsInserted", 0)) + int(metrics.get("numTargetRowsUpdated", 0))
    return merged or int(metrics["numOutputRows"]), version


def _changes(catalog: Catalog, plan: ImportPlan, imported: Sequence[Imported]) -> Iterator[tuple[Arn, Fields]]:
    """What the records keep: the schemas, the versions of the tables, and how much history filters see."""
    for planned, each in zip(plan.datasets, imported, strict=True):
        yield from _changes_of(catalog, plan.group, planned.reading, each.delta_version)
    if plan.filter_history is not None:
        yield plan.group, {KEPT: plan.filter_history}


def _changes_of(catalog: Catalog, group: Arn, reading: Reading, version: int | None) -> Iterator[tuple[Arn, Fields]]:
    """The same of one dataset; one that has this schema keeps its name."""
    schema, arn = reading.schema, dataset_arn(group, reading.schema.dataset)
    table: Fields = {"path": table_uri(catalog, group, schema.dataset), "deltaVersion": version}
    table |= {MISSING_WORDS: reading.missing_words, "rowsSchemaArn": None}  # all rows are of this schema now
    with suppress(ResourceNotFoundException):
        if find_own_schema(catalog, catalog.read(arn)) == schema:
            yield arn, table
            return
    schema_arn = group.sibling("schema", f"{group.name}-{schema.dataset.lower()}")
    yield schema_arn, {"name": schema_arn.name, "schemaArn": str(schema_arn), "schema": schema.avro()}
    fields = {
        "name": schema_arn.name,
        "datasetArn": str(arn),
        "schemaArn": str(schema_arn),
        "datasetGroupArn": str(group),
        "datasetType": schema.dataset,
        "status": Status.ACTIVE,
    }
    yield arn, fields | table
