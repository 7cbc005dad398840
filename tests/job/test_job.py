"""A job is kept in its record whole: whoever reads the record can run it, or go on with it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.view import Exploration
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import ArtifactError, InvalidInputException, ResourceAlreadyExistsException
from personalize_spark.extensions import Extensions
from personalize_spark.job.job import Job
from personalize_spark.recipes import Settings
from personalize_spark.storage.store import Access
from personalize_spark.testing.toy import request

VERSION = Arn("aws", "eu-west-1", "111122223333", "solution", "s", "v")
PINNED = st.builds(Pinned, uri=st.text().map("s3://b/".__add__), sha256=st.text())
PINS = st.none() | PINNED
SHARES = st.floats(0, 1)
JOBS = st.builds(
    Job,
    request=st.just(request(VERSION, "s3://b/in/", "s3://b/out/", tags=[{"tagKey": "k", "tagValue": "v"}])),
    recipe=st.text(),
    settings=st.builds(Settings, st.integers(1, 500), SHARES, SHARES),
    model=PINNED,
    access=st.builds(Access, st.none() | st.text(), st.none() | st.text()),
    update=PINS,
    view=PINS,
    filter=st.none() | st.text(),
    exploration=st.none() | st.builds(Exploration, SHARES, st.floats(1, 1e6), st.booleans()),
    notes=st.lists(st.text()),
    service_limits=st.booleans(),
)
SIMPLE = Job(
    request(VERSION, "s3://b/in/", "s3://b/out/"), "aws-sims", Settings(25), Pinned("s3://b/m/", "0"), Access()
)


@given(job=JOBS)
def test_a_job_is_rebuilt_from_its_record(job: Job) -> None:
    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog(f"file://{folder}")
        job.create(catalog)
        assert Job.of(catalog.read(job.arn)) == job


def test_a_change_of_the_status_leaves_the_job_as_it_was(tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}")
    record = SIMPLE.create(catalog)
    catalog.update(record, status="ACTIVE", owner="x", heartbeat=1.0, report={"lines": 1})
    assert Job.of(catalog.read(SIMPLE.arn)) == SIMPLE


def test_a_job_is_in_the_account_of_its_solution_version(tmp_path: Path) -> None:
    arn = f"arn:aws:personalize:eu-west-1:111122223333:batch-inference-job/{SIMPLE.request['jobName']}"
    assert str(SIMPLE.create(Catalog(f"file://{tmp_path}")).arn) == str(SIMPLE.arn) == arn


def test_of_two_jobs_of_a_name_one_is_created(tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}")
    SIMPLE.create(catalog)
    with pytest.raises(ResourceAlreadyExistsException, match=SIMPLE.arn.name):
        replace(SIMPLE, recipe="aws-popularity-count").create(catalog)
    assert Job.of(catalog.read(SIMPLE.arn)) == SIMPLE


@pytest.mark.parametrize(
    ("job", "said"),
    [(None, "missing required field `recipe`"), ({"recipe": 7}, r"Expected `str`, got `int` - at `\$\.recipe`")],
)
def test_a_record_that_holds_no_job_is_an_error_that_says_so(tmp_path: Path, job: object, said: str) -> None:
    catalog = Catalog(f"file://{tmp_path}")
    record = SIMPLE.create(catalog)
    catalog.update(record, job=job)
    with pytest.raises(ArtifactError, match=rf"The record of {SIMPLE.arn} cannot be read: .*{said}"):
        Job.of(record)


@pytest.mark.parametrize(
    "more", [{"errors_to": "file:///errors/"}, {"extensions": Extensions(also_parquet="file:///parquet/")}]
)
def test_all_that_a_job_writes_goes_to_one_kind_of_storage(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputException, match=r"file:///.*/ and the output path s3://b/out/ are different kinds"):
        replace(SIMPLE, **more).create(Catalog(tmp_path))
    replace(SIMPLE, errors_to="s3a://b/errors/").create(Catalog(tmp_path))
