"""A catalog is copied to another place, the original is gone, and its jobs give the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.catalog import lease
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.job.job import KIND
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job, find_resumable_job
from personalize_spark.service.filters import create_filter
from personalize_spark.service.retries import job_to_retry
from personalize_spark.testing.toy import golden_group, golden_version, request
from tests.job.test_resume import killed
from tests.job.test_themes import GOLDEN, filtered, themed, version_of

LINES = '{"userId":"u1"}\n{"userId":"nobody"}\nbroken\n'


def copied(catalog: Catalog, target: str) -> Catalog:
    """The catalog at another place, file by file; the original is deleted."""
    folder, copy = Path(catalog.uri.removeprefix("file://")), Catalog(target)
    for path in folder.rglob("*"):
        if path.is_file():
            copy.store.write(str(path.relative_to(folder)), path.read_bytes())
    shutil.rmtree(folder)
    return copy


@pytest.fixture(params=["files", pytest.param("s3", marks=pytest.mark.s3)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the copy goes."""
    return f"{request.getfixturevalue('s3')}/copy" if request.param == "s3" else f"file://{tmp_path}/copy"


@pytest.mark.slow
def test_a_copied_catalog_gives_the_same_bytes(target: str, local: LocalExecutor, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(LINES)
    catalog = Catalog(f"file://{tmp_path}/catalog")
    shop = version_of(catalog, "english")
    group, version = golden_group(catalog), golden_version(catalog)
    catalog.update(catalog.read(version), datasetGroupArn=str(group.arn))
    wanted = {"name": "cheap", "datasetGroupArn": str(group.arn)}
    expression = {"filterExpression": "INCLUDE ItemID WHERE Items.PRICE = 1"}
    cheap = create_filter(catalog, {**wanted, **expression})["filterArn"]
    place = f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/"
    requests: list[dict[str, Any]] = [
        {**request(version, *place, filterArn=cheap), "jobName": "filtered"},
        themed(
            shop,
            GOLDEN / "themes-input.json",
            tmp_path / "out",
            jobName="themed",
            filterArn=filtered(catalog, shop, "b"),
        ),
    ]

    def answers(catalog: Catalog, end: str) -> dict[str, bytes]:
        for each in requests:
            job = create_batch_inference_job(catalog, {**each, "jobName": f"{each['jobName']}-{end}"})
            run_job(local, catalog, job, lambda _: None)
        return {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.out")}

    before = answers(catalog, "before")
    assert b'"new"' in before["in.json.out"]
    shutil.rmtree(tmp_path / "out")
    copy = copied(catalog, target)
    assert answers(copy, "after") == before
    [first, _] = [each for each in copy.list(KIND) if each.arn.name.startswith("filtered")]
    again = job_to_retry(copy, str(first.arn)).create(copy)  # what the first job pinned has moved, too
    assert run_job(local, copy, again, lambda _: None).lines == 3
    assert not [each.name for each in copy.store.list("records/") if catalog.uri.encode() in copy.store.read(each.name)]


@pytest.mark.slow
def test_a_killed_job_goes_on_from_a_moved_catalog(
    local: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    (tmp_path / "in.json").write_text(LINES * 100)
    catalog = Catalog(f"file://{tmp_path}/catalog")
    asked = request(golden_version(catalog), f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/", jobName="killed")
    killed("before the splits are frozen", tmp_path, asked)
    moved = copied(catalog, f"file://{tmp_path}/moved")
    [record] = moved.list(KIND)
    report = run_job(local, moved, find_resumable_job(moved, str(record.arn)), lambda _: None)
    assert (report.lines, report.answered) == (300, 200)
