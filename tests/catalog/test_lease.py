from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from personalize_spark.catalog import lease
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.lease import Lease, reap, running, sole
from personalize_spark.catalog.status import Status
from personalize_spark.errors import JobFailed, ResourceInUseException

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


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)


OLD = lease.STALE_SECONDS + 1


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("age", [OLD, -OLD])
def test_a_job_whose_driver_fell_silent_is_failed(catalog: Catalog, record: Record, age: float) -> None:
    catalog.update(record, status=Status.IN_PROGRESS, heartbeat=time.time() - age)
    [found] = reap(catalog, [record])
    assert found.status == Status.FAILED
    reason = "Its driver is gone: it no longer sends a heartbeat. Create it again under a new name."
    assert catalog.read(ARN).fields["failureReason"] == reason


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("ahead", [180.0, -180.0])
def test_a_clock_that_is_ahead_or_behind_ends_no_job_that_lives(
    catalog: Catalog, record: Record, ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lease(catalog, record) as held:
        theirs = time.time
        monkeypatch.setattr(
            time, "time", lambda: theirs() + ahead * (threading.current_thread() is threading.main_thread())
        )
        [found] = reap(catalog, [catalog.read(ARN)])
        assert found.status == Status.IN_PROGRESS
        held.update()


def test_a_driver_that_is_gone_is_waited_for_once(
    catalog: Catalog, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    silent = [record, *(catalog.create(ARN.sibling(ARN.kind, f"job{n}"), {"status": Status.PENDING}) for n in range(9))]
    waits = list[float]()
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(waits))
    assert {each.status for each in reap(catalog, silent, suspect=lambda _: True)} == {Status.FAILED}
    assert sum(waits) == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize(("status", "age"), [(Status.IN_PROGRESS, 1), (Status.PENDING, 1), (Status.ACTIVE, 10_000)])
def test_a_job_that_lives_or_has_ended_is_left_alone(
    catalog: Catalog, record: Record, status: Status, age: float
) -> None:
    catalog.update(record, status=status, heartbeat=time.time() - age)
    assert [each.status for each in reap(catalog, [record])] == [status]


@pytest.mark.usefixtures("fast")
def test_a_reaper_that_comes_too_late_believes_the_record(catalog: Catalog, record: Record) -> None:
    catalog.update(record, status=Status.IN_PROGRESS, heartbeat=time.time() - 1_000)
    catalog.update(catalog.read(ARN), status=Status.ACTIVE)
    assert [each.status for each in reap(catalog, [record])] == [Status.ACTIVE]


@pytest.mark.usefixtures("fast")
def test_what_runs_is_told_by_kind(catalog: Catalog, record: Record) -> None:
    catalog.create(ARN.sibling(ARN.kind, "silent"), {"status": Status.PENDING, "heartbeat": 1.0})
    catalog.create(ARN.sibling(ARN.kind, "done"), {"status": Status.ACTIVE})
    catalog.create(ARN.sibling("solution", "trained", "1"), {"status": Status.IN_PROGRESS})
    assert [each.arn for each in running(catalog, ARN.kind)] == [record.arn]


def test_a_change_that_ctrl_c_cut_short_does_not_lose_the_job(
    catalog: Catalog, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = catalog.store.replace

    def interrupted(name: str, data: bytes, version: str) -> str:
        replace(name, data, version)
        monkeypatch.undo()
        raise KeyboardInterrupt

    held = Lease(catalog, record)
    monkeypatch.setattr(catalog.store, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        held.update(status=Status.IN_PROGRESS)
    held.update(status=Status.FAILED)
    assert catalog.read(ARN).status == Status.FAILED


IMPORT = ARN.sibling("import", "shop")


def test_what_one_may_do_at_a_time_others_are_refused_until_it_has_ended(catalog: Catalog) -> None:
    for _ in range(2):
        with sole(catalog, IMPORT, "An import") as held:
            with (
                pytest.raises(ResourceInUseException, match="^An import is running in another process: try again"),
                sole(catalog, IMPORT, "An import"),
            ):
                pass
            held.update()
        assert catalog.read(IMPORT).status is Status.ACTIVE
    with pytest.raises(ZeroDivisionError), sole(catalog, IMPORT, "An import"):
        raise ZeroDivisionError
    assert catalog.read(IMPORT).status is Status.ACTIVE


def test_of_many_that_begin_at_once_one_does(catalog: Catalog) -> None:
    begun, refused, together = list[int](), list[str](), threading.Barrier(8)

    def begin(number: int) -> None:
        together.wait()
        try:
            with sole(catalog, IMPORT, "An import"):
                begun.append(number)
                while len(refused) < 7:
                    time.sleep(0.001)
        except ResourceInUseException as error:
            refused.append(error.message)

    for _ in range(2):  # the first time there is no record
        begun.clear()
        refused.clear()
        threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert (len(begun), len(refused)) == (1, 7)


@pytest.mark.usefixtures("fast")
def test_who_fell_silent_is_succeeded_and_stops_when_it_wakes_up(catalog: Catalog) -> None:
    dead = catalog.create(IMPORT, {"status": Status.PENDING})
    catalog.update(dead, heartbeat=time.time() - OLD)
    silent = Lease(catalog, dead)
    with sole(catalog, IMPORT, "An import"), pytest.raises(JobFailed, match="no longer holds arn:"):
        silent.update()
    assert catalog.read(IMPORT).status is Status.ACTIVE
