"""The Delta tables of a dataset group, and how rows that were put get into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.lease import Lease, sole
from personalize_spark.catalog.resources import dataset_arn, find_dataset, find_own_schema, find_schema, import_arn
from personalize_spark.datasets.imported import KEYS
from personalize_spark.datasets.puts import PUT, Puts
from personalize_spark.datasets.rows import row_schema
from personalize_spark.datasets.waiting_events import see_waiting_events
from personalize_spark.errors import ResourceNotFoundException
from personalize_spark.schemas import INTERACTIONS, ITEMS, USERS
from personalize_spark.spark import frame_of
from personalize_spark.storage.location import hadoop_uri, open_store


def table_path(group: str, dataset: str) -> str:
    """Where a Delta table lies in the catalog."""
    return f"datasets/{group}/{dataset.lower()}"


@contextmanager
def changing(spark: SparkSession, catalog: Catalog, group: Arn) -> Iterator[Lease]:
    """Around all that changes the tables of a dataset group and its view: one process at a time.

    Raises:
        ResourceInUseException: another one does.
    """
    with sole(catalog, import_arn(group), f"An import into the dataset group '{group.name}'") as lease:
        restore(spark, catalog, group)
        yield lease


def restore(spark: SparkSession, catalog: Catalog, group: Arn) -> None:
    """Put the tables of a group back to their recorded versions: what came behind is of an import that failed or was killed."""
    for name in (INTERACTIONS, ITEMS, USERS):
        with suppress(ResourceNotFoundException):
            dataset = find_dataset(catalog, group, name)
            path, version = dataset.fields["path"], dataset.fields["deltaVersion"]
            if _last_version(path) > version:
                spark.sql(f"RESTORE TABLE delta.`{hadoop_uri(path)}` TO VERSION AS OF {version}")
                catalog.update(dataset, deltaVersion=last_change(spark, hadoop_uri(path))[0])


def _last_version(path: str) -> int:
    """Of a table, by the names of its log: sooner told than by Spark."""
    names = (found.name.rpartition("/")[2] for found in open_store(path).list("_delta_log/"))
    return max((int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()), default=-1)


def table_of(spark: SparkSession, dataset: Record) -> DataFrame:
    """The table of a dataset with data, at its recorded version."""
    reader = spark.read.format("delta").option("versionAsOf", dataset.fields["deltaVersion"])
    return reader.load(hadoop_uri(dataset.fields["path"]))


def last_change(spark: SparkSession, path: str) -> tuple[int, dict[str, str]]:
    """The version of a table, and the metrics of what made it."""
    [last] = spark.sql(f"DESCRIBE HISTORY delta.`{path}` LIMIT 1").collect()
    return last["version"], last["operationMetrics"]


def has_puts(table: DataFrame) -> bool:
    """Whether rows were ever put into a table."""
    return PUT in table.columns


def waits(catalog: Catalog, group: Arn) -> bool:
    """Whether anything was put that is not in the tables of a group."""
    return any(Puts(catalog, group, dataset).names() for dataset in (INTERACTIONS, ITEMS, USERS))


def fold(spark: SparkSession, catalog: Catalog, group: Arn) -> None:
    """Take what was put into the tables of a group. The group's view is not made anew.

    Nothing is lost and nothing counts twice wherever it is interrupted: files go when the dataset's record names the version of the table
    that has their rows, and a row is found by its id.
    """
    for dataset in (INTERACTIONS, ITEMS, USERS):
        puts = Puts(catalog, group, dataset)
        if names := puts.names():
            see_waiting_events(catalog, catalog.read(group))  # until the group has a new view
            _fold(spark, catalog, catalog.read(dataset_arn(group, dataset)), puts, names)
            puts.forget(names)


def _fold(spark: SparkSession, catalog: Catalog, dataset: Record, puts: Puts, names: list[str]) -> None:
    empty = "deltaVersion" not in dataset.fields
    schema = find_own_schema(catalog, dataset) if empty else find_schema(catalog, dataset)
    fields = row_schema(schema).append(pa.field(PUT, pa.string()))
    new = frame_of(spark, pa.Table.from_pylist(puts.rows(names), fields))
    uri = f"{catalog.store.root}{table_path(dataset.arn.name, schema.dataset)}" if empty else dataset.fields["path"]
    path = hadoop_uri(uri)
    if empty:
        new.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)
    else:
        if not has_puts(spark.read.format("delta").load(path)):
            spark.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS ({PUT} STRING)")
        merge(spark, path, new, KEYS.get(schema.dataset))
    catalog.update(dataset, path=uri, deltaVersion=last_change(spark, path)[0])


def merge(spark: SparkSession, path: str, rows: DataFrame, key: str | None) -> None:
    """Add rows to a table, in place of those that have the same key; of events, which have none, those that are not there by their id."""
    rows.createOrReplaceTempView("added_rows")
    update = "WHEN MATCHED THEN UPDATE SET * " if key else ""
    on = key or PUT
    spark.sql(
        f"MERGE INTO delta.`{path}` AS old USING added_rows AS new ON old.{on} = new.{on} "
        f"{update}WHEN NOT MATCHED THEN INSERT *"
    )
    spark.catalog.dropTempView("added_rows")


def keeping_puts(old: DataFrame, rows: DataFrame, key: str | None) -> tuple[DataFrame, int]:
    """The rows that are to replace a table's, and those that were put into it, which an import does not replace; how many these are.

    Of items and users that are in both, what was put is kept.
    """
    if not has_puts(old):
        return rows, 0
    puts = old.where(F.col(PUT).isNotNull())
    puts = puts.select(PUT, *(F.col(name) for name in rows.columns if name in old.columns))
    if key is not None:
        rows = rows.join(puts.select(key), key, "left_anti")
    return rows.unionByName(puts, allowMissingColumns=True), puts.count()
