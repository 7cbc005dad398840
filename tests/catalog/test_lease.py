from __future__ import annotations

import time
from pathlib import Path

import pytest

from personalize_spark.catalog import lease
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.lease import Lease, reap, running
from personalize_spark.catalog.status import Status
from personalize_spark.errors import JobFailed

ARN = Arn("aws", "us-east-1", "000000000000", "batch-inference-job", "job")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(f"file://{tmp_path}")


@pytest.fixture
def record(catalog: Catalog) -> Record:
    return catalog.create(ARN, {"status": Status.PENDING})


def test_a_lease_puts_the_job_in_progress(catalog: Catalog, record: Record) -> None:
    with Lease(catalog, record):
        assert catalog.read(ARN).status == Status.IN_PROGRESS


def test_a_lease_beats(catalog: Catalog, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    with Lease(catalog, record):
        first = catalog.read(ARN).fields["heartbeat"]
        deadline = time.monotonic() + 10
        while catalog.read(ARN).fields["heartbeat"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_who_lost_the_job_may_not_go_on(catalog: Catalog, record: Record) -> None:
    with Lease(catalog, record) as held:
        catalog.update(catalog.read(ARN), status=Status.FAILED)
        with pytest.raises(JobFailed, match="no longer holds arn:"):
            held.update()
        with pytest.raises(JobFailed, match="no longer holds arn:"):
            held.update(status=Status.ACTIVE)
    assert catalog.read(ARN).status == Status.FAILED


def test_a_job_whose_driver_fell_silent_is_failed(catalog: Catalog, record: Record) -> None:
    catalog.update(record, status=Status.IN_PROGRESS, heartbeat=time.time() - lease.STALE_SECONDS - 1)
    assert reap(catalog, record).status == Status.FAILED
    assert "has sent no heartbeat" in catalog.read(ARN).fields["failureReason"]


@pytest.mark.parametrize(("status", "age"), [(Status.IN_PROGRESS, 1), (Status.PENDING, 1), (Status.ACTIVE, 10_000)])
def test_a_job_that_lives_or_has_ended_is_left_alone(
    catalog: Catalog, record: Record, status: Status, age: float
) -> None:
    catalog.update(record, status=status, heartbeat=time.time() - age)
    assert reap(catalog, record).status == status


def test_a_reaper_that_comes_too_late_believes_the_record(catalog: Catalog, record: Record) -> None:
    catalog.update(record, status=Status.IN_PROGRESS, heartbeat=time.time() - 1_000)
    catalog.update(catalog.read(ARN), status=Status.ACTIVE)
    assert reap(catalog, record).status == Status.ACTIVE


def test_what_runs_is_told_by_kind(catalog: Catalog, record: Record) -> None:
    catalog.create(ARN.sibling(ARN.kind, "silent"), {"status": Status.PENDING, "heartbeat": 1.0})
    catalog.create(ARN.sibling(ARN.kind, "done"), {"status": Status.ACTIVE})
    catalog.create(ARN.sibling("solution", "trained", "1"), {"status": Status.IN_PROGRESS})
    assert [each.arn for each in running(catalog, ARN.kind)] == [record.arn]
