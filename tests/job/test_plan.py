from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.errors import ArtifactError
from personalize_spark.job.inputs import Input, read_inputs, write_inputs
from personalize_spark.job.job import Job
from personalize_spark.job.plan import Plan
from personalize_spark.job.splits import Split, read_task, splits_of, write_tasks
from personalize_spark.job.task import Piece
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.store import Object
from personalize_spark.testing.toy import request
from tests.job.test_job import JOBS, SIMPLE, VERSION


def test_a_plan_and_its_lists_survive_the_staging_folder(tmp_path: Path) -> None:
    plan = Plan.of(replace(SIMPLE, request=request(VERSION, "file:///in/", f"file://{tmp_path}")), "run")
    plan.write()
    staging = plan.staging()
    assert Plan.read(staging) == plan
    inputs = [Input(Object("a.json", 100, "e"), "a.json.out")]
    write_inputs(staging, inputs)
    assert read_inputs(staging) == inputs
    splits = list(splits_of([[Object("a.json", 100, "e")]], [False], 10, 500, 2))
    write_tasks(staging, 3, [splits])
    assert read_task(staging, 3, 0) == splits


st.register_type_strategy(int, st.integers(-(1 << 63), (1 << 63) - 1))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(Job, JOBS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Plan, list[Input], list[Split], list[Piece], list[Object]], ids=str)
@given(data=st.data())
def test_what_is_stored_is_read_back_as_it_was(kind: type[object], data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    with tempfile.TemporaryDirectory() as folder:
        store = FileStore(folder)
        write_document(store, "value.json", value)
        assert read_document(store, "value.json", kind) == value


def test_a_damaged_plan_is_an_error_that_says_where(tmp_path: Path) -> None:
    staging = FileStore(str(tmp_path))
    staging.write("plan.json", b'{"job": {"request": {}, "recipe": 7}, "release": "0.1.0"}')
    with pytest.raises(ArtifactError, match=rf"{tmp_path}/plan\.json cannot be read: .*`\$\.job\.recipe`"):
        Plan.read(staging)
