"""The stage before the splits: large compressed inputs are inflated into plain objects of whole lines."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
from pyspark.sql import SparkSession

from personalize_spark.errors import JobFailed, PersonalizeSparkError
from personalize_spark.job.plan import INFLATE_ABOVE, Input, Plan, read_inputs
from personalize_spark.job.task import FAILURES, Batches
from personalize_spark.storage.location import open_store
from personalize_spark.storage.splits import Split, blocks, compression
from personalize_spark.storage.store import Access, Object, Store

_OBJECT_BYTES = 64 << 20


def inflate(spark: SparkSession, plan: Plan, inputs: Sequence[Input]) -> dict[int, list[Object]]:
    """Inflate what is large, a Spark task an input.

    Returns:
        By the number of the input, the objects in the staging folder that hold its text, in order.

    Raises:
        JobFailed: an input cannot be read.
    """
    large = [n for n, each in enumerate(inputs) if compression(each.source.name) and each.source.size > INFLATE_ABOVE]
    if not large:
        return {}
    numbers = spark.createDataFrame([(number,) for number in large], "file long").repartition(len(large))
    failures = numbers.mapInArrow(_inflating(plan.staging_root, plan.access), "key string, failure string").collect()
    if failures:
        raise JobFailed(failures[0]["failure"])
    staging = plan.staging()
    return {number: list(staging.list(_folder(number))) for number in large}


def _folder(number: int) -> str:
    return f"inflated/{number:06d}/"


def _inflating(staging_root: str, access: Access) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Batches:
        staging = open_store(staging_root, access)
        plan = Plan.read(staging)
        inputs = read_inputs(staging)
        for batch in batches:
            for number in batch.column(0).to_pylist():
                failures = _inflate(staging, plan.input(), inputs[number].source, _folder(number))
                yield pa.RecordBatch.from_pylist(list(failures), FAILURES)

    return run


def _inflate(staging: Store, store: Store, source: Object, folder: str) -> Iterator[dict[str, str]]:
    """Write the text; a second attempt writes the same objects again."""
    try:
        part, buffer = 0, io.BytesIO()
        for block in blocks(store, Split(source, 0, source.size)):
            buffer.write(block)
            if buffer.tell() >= _OBJECT_BYTES:
                staging.write(f"{folder}{part:06d}", buffer.getvalue())
                part, buffer = part + 1, io.BytesIO()
        staging.write(f"{folder}{part:06d}", buffer.getvalue())
    except PersonalizeSparkError as error:
        yield {"key": folder, "failure": error.message}
