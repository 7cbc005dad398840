"""A worker answers with what its job has pinned: no session, no view of its own, in this process."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

from personalize_spark.artifacts.view import Exploration
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.job.byte_ranges import ByteRange
from personalize_spark.job.inputs import find_inputs, write_inputs
from personalize_spark.job.job import Job
from personalize_spark.job.plan import Plan
from personalize_spark.job.splits import Split
from personalize_spark.job.task import Worker
from personalize_spark.service.batch_inference_jobs import check_batch_inference_job
from personalize_spark.service.filters import create_filter
from personalize_spark.testing.toy import NO_EXPLORATION, golden_group, golden_version, request

ALWAYS = {"itemExplorationConfig": {"explorationWeight": "1"}}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """With a dataset group that has a view."""
    catalog = Catalog(f"file://{tmp_path}/catalog")
    golden_group(catalog)
    return catalog


def job(catalog: Catalog, folder: Path, expression: str | None, config: dict[str, Any]) -> Job:
    version = golden_version(catalog)
    [group] = catalog.list("dataset-group")
    catalog.update(catalog.read(version), datasetGroupArn=str(group.arn))
    more: dict[str, Any] = {"numResults": 5, "batchInferenceJobConfig": config}
    if expression is not None:
        params = {"name": "cheap", "datasetGroupArn": str(group.arn), "filterExpression": expression}
        more["filterArn"] = create_filter(catalog, params)["filterArn"]
    (folder / "in.json").write_bytes(b'{"userId":"u1"}\n')
    asked = request(version, f"file://{folder}/in.json", f"file://{folder}/out", **more)
    return Job.of(check_batch_inference_job(catalog, asked).create(catalog))


def answered(job: Job) -> list[str]:
    """The items of the only line, by a worker that knows nothing but the staging folder."""
    plan, inputs = Plan.of(job, "run"), find_inputs(job.input_path, job.output_path, job.access)
    plan.write()
    write_inputs(plan.staging(), inputs)
    worker = Worker(plan.staging())
    source = inputs[0].source
    split = Split(0, 0, ByteRange(source, 0, source.size), 1.0)
    with ThreadPoolExecutor(1) as writers:
        piece = worker.answer(split, worker.text(split), writers).result()
    items: list[str] = orjson.loads(plan.staging().read(piece.name))["output"]["recommendedItems"]
    return items


@pytest.mark.parametrize(
    ("expression", "config", "expected"),
    [
        (None, NO_EXPLORATION, ["a", "b", "c", "d"]),
        ("INCLUDE ItemID WHERE Items.PRICE = 1", NO_EXPLORATION, ["a", "c", "d"]),
        (None, ALWAYS, ["a", "b", "c", "d", "new"]),
        ("INCLUDE ItemID WHERE Items.PRICE = 1", ALWAYS, ["a", "c", "d", "new"]),
    ],
)
def test_filter_and_exploration_look_at_the_view_that_the_job_pins(
    catalog: Catalog, tmp_path: Path, expression: str | None, config: dict[str, Any], expected: list[str]
) -> None:
    made = job(catalog, tmp_path, expression, config)
    [group] = catalog.list("dataset-group")
    assert made.filter == expression
    assert made.exploration == (Exploration(1.0, 30.0, new_items=True) if config is ALWAYS else None)
    assert (made.view is not None) == (expression is not None or config is ALWAYS)
    catalog.update(group, view={"uri": "file:///a/later/import/", "sha256": "0"})  # which the job does not see
    assert sorted(answered(made)) == expected


@pytest.mark.parametrize("expression", [None, "INCLUDE ItemID WHERE Items.PRICE = 1"])
def test_a_worker_that_is_dropped_holds_no_model(catalog: Catalog, tmp_path: Path, expression: str | None) -> None:
    plan = Plan.of(job(catalog, tmp_path, expression, NO_EXPLORATION), "run")
    plan.write()
    worker = Worker(plan.staging())
    worker.answer_lines([b'{"userId":"u1"}'])
    held = [weakref.ref(each) for each in (worker, worker.model, worker.model.item_side)]
    gc.disable()  # what Spark's workers have by the end of their first task is never collected: see `spark_executor`
    try:
        del worker
        assert [each() for each in held] == [None, None, None]
    finally:
        gc.enable()


BLOCKS = """
import resource
import numpy as np
from personalize_spark.job.task import keep_memory
keep_memory()
for _ in range(2):
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(2 << 20, np.uint8) for _ in range(16)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
"""


@pytest.mark.slow
def test_a_block_of_lines_takes_the_memory_that_the_one_before_it_freed() -> None:
    faults = subprocess.check_output([sys.executable, "-c", BLOCKS], text=True)
    assert int(faults) < 1_000  # each page is a fault where it is new, and 32 MiB have 8,192
