"""The Delta tables of a dataset group, and how rows that were put get into them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import Lease, sole
from personalize_spark.catalog.resources import dataset_arn, find_dataset, find_own_schema, find_schema, import_arn
from personalize_spark.datasets.imported import KEYS
from personalize_spark.datasets.puts import PUT, Puts
from personalize_spark.datasets.rows import row_schema
from personalize_spark.datasets.small_tables import log_name, read_small_table
from personalize_spark.datasets.waiting_events import see_waiting_events
from personalize_spark.errors import ResourceNotFoundException, TaskFailed
from personalize_spark.schemas import INTERACTIONS, ITEMS, USERS
from personalize_spark.spark import frame_of
from personalize_spark.storage.location import hadoop_uri, open_store
from personalize_spark.storage.store import Store

_UNDO = "undo"
"""Of the record of a group's imports: by ARN what a running import has changed in other records, as it was before."""
_MARK = "spark.databricks.delta.commitInfo.userMetadata"
_OWN = f"personalize_spark {uuid.uuid4().hex}"
"""Marks the commits of this process."""
_LOOKED_AT = 10
"""The newest commits of a table; a change of ours makes two at most."""

_marking = threading.Lock()
_theirs: list[str | None] = []
"""What the session's commits said before, once for each change that runs."""


def table_uri(catalog: Catalog, group: Arn, dataset: str) -> str:
    """Where the Delta table of a dataset lies."""
    return f"{catalog.store.root}datasets/{group.name}/{dataset.lower()}"


@contextmanager
def changing(spark: SparkSession, catalog: Catalog, group: Arn) -> Iterator[Lease]:
    """Around all that changes the tables of a dataset group and its view: one process at a time.

    What an import has changed is undone if it fails; of one that was killed, or does not hold the group any more, the next one does it.

    Raises:
        ResourceInUseException: another one does.
    """
    with sole(catalog, import_arn(group), f"An import into the dataset group '{group.name}'") as lease, _marks(spark):
        _restore(spark, catalog, group, lease)
        try:
            yield lease
        except BaseException:
            lease.update()  # what another one writes by now is not to be taken back
            _restore(spark, catalog, group, lease)
            raise


@contextmanager
def _marks(spark: SparkSession) -> Iterator[None]:
    """Have the commits of a session say that they are of this process, as long as any of its threads changes tables."""
    with _marking:
        _theirs.append(spark.conf.get(_MARK, None))
        spark.conf.set(_MARK, _OWN)
    try:
        yield
    finally:
        with _marking:
            theirs = _theirs.pop()  # the last one that is left is the first one's
            if not _theirs:
                spark.conf.unset(_MARK) if theirs is None else spark.conf.set(_MARK, theirs)


def change_records(catalog: Catalog, lease: Lease, changes: Sequence[tuple[Arn, Fields]]) -> None:
    """Change or create the records of an import; until `commit`, all of it is undone by the next one."""
    undo: dict[str, Fields] = {**lease.fields.get(_UNDO, {})}
    for arn, fields in changes:
        undo[str(arn)] = _before(catalog, arn, fields) | undo.get(str(arn), {})
    lease.update(**{_UNDO: undo})
    for arn, fields in changes:
        try:
            lease.change(arn, **fields)
        except ResourceNotFoundException:
            lease.update()
            catalog.create(arn, fields)


def _before(catalog: Catalog, arn: Arn, fields: Fields) -> Fields:
    """What a change takes away. A dataset that is new to the import stays, without data: records are deleted without a fence."""
    try:
        now = catalog.read(arn).fields
    except ResourceNotFoundException:
        return {"deltaVersion": None}
    return {name: now.get(name) for name in fields if name != "path"}  # which is always the same


def commit(lease: Lease) -> None:
    """From now on the import counts: the one write that decides it."""
    lease.update(**{_UNDO: None})


def _restore(spark: SparkSession, catalog: Catalog, group: Arn, lease: Lease) -> None:
    """Undo an import that failed or was killed: first the records, then the tables go back to their recorded versions.

    Wherever this is interrupted, it is done again from the beginning.
    """
    undo: dict[str, Fields] = lease.fields.get(_UNDO, {})
    for name, fields in undo.items():
        with suppress(ResourceNotFoundException):
            lease.change(Arn.parse(name), **fields)
    for name in (INTERACTIONS, ITEMS, USERS):
        with suppress(ResourceNotFoundException):
            dataset = find_dataset(catalog, group, name)
            path, version = dataset.fields["path"], dataset.fields["deltaVersion"]
            if _last_version(open_store(path)) > version:
                spark.sql(f"RESTORE TABLE delta.`{hadoop_uri(path)}` TO VERSION AS OF {version}")
                catalog.update(dataset, deltaVersion=own_change(spark, path)[0])
    if undo:
        commit(lease)


def _last_version(table: Store) -> int:
    """Of a table, by the names of its log: sooner told than by Spark."""
    names = (found.name.rpartition("/")[2] for found in table.list("_delta_log/"))
    return max((int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()), default=-1)


def _commit_info(table: Store, version: int) -> dict[str, Any]:
    """What a commit says of itself, as Delta's protocol spells it: sooner told than by Spark."""
    actions = map(orjson.loads, table.read(log_name(version)).splitlines())
    return next((each["commitInfo"] for each in actions if "commitInfo" in each), {})


def table_of(spark: SparkSession, dataset: Record) -> DataFrame:
    """The table of a dataset with data, at its recorded version."""
    return read_version(spark, dataset.fields["path"], dataset.fields["deltaVersion"])


def read_version(spark: SparkSession, uri: str, version: int) -> DataFrame:
    """A Delta table at one version."""
    rows = read_small_table(open_store(uri), version)
    if rows is not None:
        return frame_of(spark, rows)
    return spark.read.format("delta").option("versionAsOf", version).load(hadoop_uri(uri))


def own_change(spark: SparkSession, uri: str, base: int | None = None) -> tuple[int, dict[str, str]]:
    """The newest version of a table that this process has made, and the metrics of what made it.

    Args:
        spark: the session that made it, within `changing`.
        uri: of the table.
        base: the version that rows were added to; `None`: the table was written as a whole.

    Returns:
        `base` and no metrics, if there was nothing to change.

    Raises:
        TaskFailed: another process wrote in between: one that slept when it should have, and was succeeded.
    """
    mark, table = spark.conf.get(_MARK), open_store(uri)
    last = _last_version(table)
    since = range(last, max(last - _LOOKED_AT, -1 if base is None else base), -1)
    commits = {version: _commit_info(table, version) for version in since}
    own = next((version for version, commit in commits.items() if commit.get("userMetadata") == mark), None)
    if own is None and base is not None:
        return base, {}
    theirs = (version for version, commit in commits.items() if commit.get("userMetadata") != mark)
    if own is None or (base is not None and any(version < own for version in theirs)):
        raise TaskFailed(
            f"Another process wrote the table {uri} at the same time: an import that slept for minutes, and was taken "
            "for dead. What both wrote does not count. Import again."
        )
    return own, commits[own]["operationMetrics"]


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
    uri = table_uri(catalog, dataset.arn, schema.dataset) if empty else dataset.fields["path"]
    path = hadoop_uri(uri)
    if empty:
        new.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)
    else:
        if not has_puts(spark.read.format("delta").load(path)):
            spark.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS ({PUT} STRING)")
        merge(spark, path, new, KEYS.get(schema.dataset))
    catalog.update(dataset, path=uri, deltaVersion=own_change(spark, uri, dataset.fields.get("deltaVersion"))[0])


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
