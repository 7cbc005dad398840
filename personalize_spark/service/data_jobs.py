"""What jobs on datasets have in common: they need Spark, and one of this driver changes or reads tables at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import Lease
from personalize_spark.catalog.status import Status
from personalize_spark.errors import reason_of
from personalize_spark.service.work import Begin, Compute

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_one_at_a_time = threading.Lock()
"""Two imports of a group would each write a view without the other's rows."""


def begin_data_job(catalog: Catalog, record: Record, begin: Begin, work: Callable[[SparkSession], Fields]) -> None:
    """Begin a job on datasets; when `work` is done, the record is ACTIVE and has the fields that it returns."""
    begin(record, lambda compute: _carry_out(compute, catalog, record, work))


def _carry_out(compute: Compute, catalog: Catalog, record: Record, work: Callable[[SparkSession], Fields]) -> None:
    try:
        with Lease(catalog, record) as lease, _one_at_a_time:
            fields = work(compute.session())
            lease.update(status=Status.ACTIVE, **fields)
    except BaseException as error:
        catalog.update(record, status=Status.FAILED, failureReason=reason_of(error))
        raise
