"""What garbage collection removes of a real catalog, and what it never does."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.artifacts.artifact import finish
from personalize_spark.catalog import lease
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.status import Status
from personalize_spark.cli.main import main
from personalize_spark.errors import InvalidInputException, PersonalizeSparkError, ResourceInUseException
from personalize_spark.job.job import Job
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.plan import Plan
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job, find_resumable_job
from personalize_spark.service.garbage import collect_garbage
from personalize_spark.testing.toy import golden_version, request

WEEK = 7 * 86_400


@pytest.fixture(autouse=True)
def fast_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "in.json").write_text('{"userId":"u1"}\n')
    return Catalog(f"file://{tmp_path}/catalog")


@pytest.fixture
def asked(catalog: Catalog, tmp_path: Path) -> dict[str, Any]:
    return request(golden_version(catalog), f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/")


def dead(catalog: Catalog, asked: dict[str, Any], folder: Path) -> Record:
    """A job whose driver left a plan and half a file, and was found dead."""
    record = create_batch_inference_job(catalog, asked)
    plan = Plan.of(Job.of(record), record.fields["run"])
    plan.write()
    (Path(plan.staging_root.removeprefix("file://")) / ".0f.unfinished~").write_text("half")
    (folder / "out" / "in.json.out").write_text("whole\n")
    [record] = lease.reap(catalog, [record], suspect=lambda _: True)
    return record


def grow_old(folder: Path) -> None:
    """Make everything ten days old, records excepted."""
    for path in folder.rglob("*"):
        if "records" not in path.parts:
            os.utime(path, (time.time() - 864_000,) * 2)


def old_record(catalog: Catalog, record: Record, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    with monkeypatch.context() as then:
        now = time.time()
        then.setattr(time, "time", lambda: now - WEEK - 60)
        catalog.update(record, **changes)


def test_the_staging_of_a_dead_job_goes_and_its_outputs_stay(
    catalog: Catalog, asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    record = dead(catalog, asked, tmp_path)
    grow_old(tmp_path)
    assert collect_garbage(catalog).folders == []  # the record is of today
    old_record(catalog, record, monkeypatch)
    dry = collect_garbage(catalog, dry_run=True)
    assert dry.folders == [Plan.of(Job.of(record), record.fields["run"]).staging_root]
    assert find_resumable_job(catalog, str(record.arn))
    assert main(["gc", "--catalog", catalog.uri]) == 0
    assert capsys.readouterr().out == f"{dry.folders[0]}\n1 folder removed\n"
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["in.json.out"]
    with pytest.raises(InvalidInputException, match=r"what it had answered was removed.*nothing to resume"):
        find_resumable_job(catalog, str(record.arn))
    assert collect_garbage(catalog, older_than="0s").folders == []


def test_a_staging_folder_that_is_written_or_resumed_is_left_alone(
    catalog: Catalog, asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = dead(catalog, asked, tmp_path)
    old_record(catalog, record, monkeypatch)
    assert collect_garbage(catalog).folders == []  # its files are of today
    grow_old(tmp_path)
    with lease.Lease(catalog, record):
        assert collect_garbage(catalog).folders == []


def test_who_resumes_meanwhile_wins(
    catalog: Catalog, asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = dead(catalog, asked, tmp_path)
    grow_old(tmp_path)
    old_record(catalog, record, monkeypatch)

    def resumed(*_: object) -> bool:
        catalog.update(catalog.read(record.arn), status=Status.IN_PROGRESS)
        return True

    monkeypatch.setattr("personalize_spark.service.garbage._is_old", resumed)
    with pytest.raises(ResourceInUseException):
        collect_garbage(catalog)
    assert list(tmp_path.glob("out/_staging/*/*/plan.json"))


def artifact(catalog: Catalog, folder: str) -> dict[str, Any]:
    return asdict(finish(catalog.store.at(folder), [], {}))


def test_artifacts_that_no_record_names_go(
    catalog: Catalog, asked: dict[str, Any], tmp_path: Path, local: LocalExecutor
) -> None:
    group = Arn.local("dataset-group", "shop")
    catalog.store.write("models/home/killed/items.npy", b"half a model")
    replaced = artifact(catalog, "views/shop/1")
    catalog.create(group, {"status": Status.ACTIVE, "view": artifact(catalog, "views/shop/2")})
    assert collect_garbage(catalog).folders == []  # somebody may still write them
    running = create_batch_inference_job(catalog, {**asked, "jobName": "running"})
    catalog.update(running, job={**running.fields["job"], "view": replaced})
    grow_old(tmp_path)
    assert collect_garbage(catalog).folders == [f"{catalog.store.root}models/home/killed/"]
    catalog.update(running, status=Status.ACTIVE, resumable=None)
    assert collect_garbage(catalog).folders == [f"{catalog.store.root}views/shop/1/"]
    run_job(local, catalog, create_batch_inference_job(catalog, asked), lambda _: None)
    assert (tmp_path / "out" / "in.json.out").read_text().count("\n") == 1


def test_the_rows_that_old_imports_rejected_go(catalog: Catalog, tmp_path: Path) -> None:
    catalog.create(Arn.local("dataset-group", "shop"), {"status": Status.ACTIVE})
    for name in ("rejected/1a2b/items/0.json", "rejected/3c4d/items/0.json", "items/_delta_log/0.json"):
        catalog.store.write(f"datasets/shop/{name}", b"{}")
        if "3c4d" not in name:
            os.utime(tmp_path / "catalog/datasets/shop" / name, (time.time() - 864_000,) * 2)
    assert collect_garbage(catalog).folders == [f"{catalog.store.root}datasets/shop/rejected/1a2b/"]
    left = [found.name for found in catalog.store.list("datasets/")]
    assert left == ["datasets/shop/items/_delta_log/0.json", "datasets/shop/rejected/3c4d/items/0.json"]


def test_what_a_damaged_record_names_is_not_known(catalog: Catalog, tmp_path: Path) -> None:
    golden_version(catalog)
    catalog.store.write("models/home/killed/items.npy", b"half a model")
    catalog.store.write("records/filter/odd.json", b"{broken")
    grow_old(tmp_path)
    with pytest.raises(PersonalizeSparkError, match=r"records/filter/odd\.json"):
        collect_garbage(catalog)
    assert catalog.store.newest("models/home/killed") is not None


def test_an_age_that_is_none(catalog: Catalog) -> None:
    with pytest.raises(InvalidInputException, match=r"older_than is '٣d': use an age such as"):
        collect_garbage(catalog, older_than="٣d")
