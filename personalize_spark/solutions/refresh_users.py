"""New interactions refresh users without a retraining: those whose interactions changed are folded in anew.

    updates/SOLUTION/VERSION/TICKET/users/00000.arrow ...    the rows of these users, as in a model

The record of a solution version names its latest update; a job looks its users up there first, and pins what it saw.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import asdict

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.artifacts.artifact import Artifact, Pinned, finish
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.resources import find_dataset, find_group, latest_active_version
from personalize_spark.schemas import INTERACTIONS
from personalize_spark.solutions.write_users import UserSide, write_users
from personalize_spark.spark import frame_of, persisted
from personalize_spark.training.configuration import Events
from personalize_spark.training.interactions import read_interactions


def refresh_users(spark: SparkSession, catalog: Catalog, group: str) -> dict[Arn, int]:
    """Refresh the users of the latest ACTIVE version of every solution of a group that has users.

    Args:
        spark: a session with Delta.
        catalog: holds the group.
        group: the name of the dataset group, which has interactions.

    Returns:
        By solution version, how many users changed since it was trained; only those where some did.
    """
    owner = find_group(catalog, group).arn
    dataset = find_dataset(catalog, owner, INTERACTIONS)
    return {
        version.arn: users
        for version in _latest_versions(catalog, owner)
        if (users := _refresh(spark, catalog, dataset, version))
    }


def _latest_versions(catalog: Catalog, group: Arn) -> Iterator[Record]:
    for solution in list(catalog.list("solution")):
        if solution.fields.get("datasetGroupArn") == str(group):
            version = latest_active_version(catalog, solution.arn)
            if version is not None:
                yield version


def _refresh(spark: SparkSession, catalog: Catalog, dataset: Record, version: Record) -> int:
    model = Pinned(**version.fields["model"]).open()
    learned, now = version.fields.get("deltaVersions", {}).get("INTERACTIONS"), dataset.fields["deltaVersion"]
    if "foldIn" not in model.properties or learned is None or learned == now:
        return 0
    uri, events = dataset.fields["path"], Events.of(version.fields)
    was, is_now = (read_interactions(spark, uri, each, events) for each in (learned, now))
    with persisted(_changed(was, is_now)) as changed:
        numbered = changed.join(numbers_of(spark, model), "item_id")
        users = numbered.select("user_id").distinct().count()
        if users:
            store = catalog.store.at(f"updates/{version.arn.name}/{version.arn.version}/{secrets.token_hex(4)}")
            entries = write_users(numbered, users, UserSide.of(model), store)
            about = {name: model.properties[name] for name in ("scored",) if name in model.properties}
            pinned = finish(store, entries, {"model": model.sha256, "deltaVersions": {"INTERACTIONS": now}, **about})
            catalog.update(version, update=asdict(pinned))
        elif "update" in version.fields:  # whom it holds has interactions as before the training again, or none
            catalog.update(version, update=None)
    return users


def _changed(before: DataFrame, after: DataFrame) -> DataFrame:
    """The pairs of the users whose interactions are not what they were."""
    marks = [
        pairs.groupBy("user_id").agg(F.sum(F.xxhash64("item_id", "events", "newest").cast("decimal(38,0)")).alias(name))
        for pairs, name in ((before, "was"), (after, "is"))
    ]
    differ = marks[1].join(marks[0], "user_id", "left").where(~F.col("is").eqNullSafe(F.col("was")))
    return after.join(differ.select("user_id"), "user_id", "left_semi")


def numbers_of(spark: SparkSession, model: Artifact) -> DataFrame:
    """(item_id, item) of the items that the model knows."""
    found = read_model(model)
    assert found.item_side is not None  # noqa: S101  # users are folded into it
    return frame_of(spark, pa.table({"item_id": found.item_ids(), "item": found.item_side.ranks}))
