"""Deletion of users: out of the Delta tables, and so out of the next view."""

from __future__ import annotations

import csv
import secrets
from contextlib import suppress
from dataclasses import asdict

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.resources import find_dataset
from personalize_spark.datasets.build_view import build_view
from personalize_spark.datasets.csv_files import CsvReader, open_csv
from personalize_spark.datasets.delta_tables import changing, fold, own_change
from personalize_spark.datasets.import_plan import files_of
from personalize_spark.errors import DataError, ResourceNotFoundException
from personalize_spark.schemas import INTERACTIONS, USERS
from personalize_spark.spark import frame_of
from personalize_spark.storage.location import hadoop_uri, open_store
from personalize_spark.storage.store import stream

MAX_BYTES = 100 << 20
"""Of all files that list users: the service's quota."""
_USER_ID = "USER_ID"


def delete_users(spark: SparkSession, catalog: Catalog, group: Arn, uri: str) -> dict[str, int]:
    """Delete users and their interactions, and make a view without them.

    Older versions of the tables keep the rows until they are vacuumed, and older views until `gc`.

    Args:
        spark: a session with Delta.
        catalog: holds the group.
        group: the dataset group.
        uri: a CSV file with the column USER_ID, or a folder of them.

    Returns:
        By dataset with users, how many rows were deleted.

    Raises:
        DataError: there is no file, one is not CSV in UTF-8 or lacks the column, or they are larger than `MAX_BYTES`; or the group
            has no users.
        ResourceInUseException: another process imports.
    """
    users = frame_of(spark, pa.table({_USER_ID: pa.array(sorted(listed_users(uri)), pa.string())}))
    deleted: dict[str, int] = {}
    with changing(spark, catalog, group) as alone:
        fold(spark, catalog, group)
        for name in (INTERACTIONS, USERS):
            with suppress(ResourceNotFoundException):
                deleted[name] = _delete(spark, catalog, find_dataset(catalog, group, name), users)
        if not deleted:
            raise DataError(f"The dataset group '{group.name}' has neither interactions nor users.")
        view = build_view(spark, catalog, group, secrets.token_hex(4))
        alone.change(group, view=asdict(view))
    return deleted


def _delete(spark: SparkSession, catalog: Catalog, dataset: Record, users: DataFrame) -> int:
    path = hadoop_uri(dataset.fields["path"])
    users.createOrReplaceTempView("deleted_users")
    spark.sql(
        f"MERGE INTO delta.`{path}` AS old USING deleted_users ON old.{_USER_ID} = deleted_users.{_USER_ID} "
        "WHEN MATCHED THEN DELETE"
    )
    spark.catalog.dropTempView("deleted_users")
    version, metrics = own_change(spark, dataset.fields["path"], dataset.fields["deltaVersion"])
    catalog.update(dataset, deltaVersion=version)
    return int(metrics.get("numTargetRowsDeleted", 0))


def listed_users(uri: str) -> set[str]:
    """The users that CSV files list.

    Raises:
        DataError: see `delete_users`.
    """
    folder, files = files_of(uri)
    if sum(each.size for each in files) > MAX_BYTES:
        raise DataError(f"{uri} has more than {MAX_BYTES >> 20} MiB: delete the users by several jobs.")
    store, users = open_store(folder), set()
    for each in files:
        name = store.root + each.name
        with stream(store, each) as file:
            opened = open_csv(file, name)
            if opened.header != [_USER_ID]:
                raise DataError(f"{name} has the columns {', '.join(opened.header)}: it must have USER_ID alone.")
            users |= _users_of(opened.rows, name)
    return users - {""}


def _users_of(rows: CsvReader, name: str) -> set[str]:
    try:
        users = {row[0] for row in rows if row}
        "".join(users).encode()
    except (csv.Error, UnicodeEncodeError) as error:
        raise DataError(f"{name} is no CSV in UTF-8: near line {rows.line_num}: {error}.") from error
    return users
