"""What was put one by one counts from now on: in the tables, in the view, and in the users of solution versions."""

from __future__ import annotations

import secrets
from dataclasses import asdict

from pyspark.sql import SparkSession

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import find_dataset
from personalize_spark.datasets.build_view import build_view
from personalize_spark.datasets.delta_tables import changing, fold, waits
from personalize_spark.errors import ResourceNotFoundException
from personalize_spark.schemas import INTERACTIONS
from personalize_spark.solutions.refresh_users import refresh_users


def take_in(spark: SparkSession, catalog: Catalog, group: Arn) -> bool:
    """Take in what was put into the datasets of a group, as an import does; whether there was anything.

    Args:
        spark: a session with Delta.
        catalog: holds the group.
        group: the dataset group.

    Raises:
        ResourceInUseException: another process imports.
    """
    if not waits(catalog, group):
        return False
    with changing(spark, catalog, group) as alone:
        fold(spark, catalog, group)
        view = build_view(spark, catalog, group, secrets.token_hex(4))
        alone.change(group, view=asdict(view))
    try:
        find_dataset(catalog, group, INTERACTIONS)
    except ResourceNotFoundException:
        return True
    refresh_users(spark, catalog, group.name)
    return True
