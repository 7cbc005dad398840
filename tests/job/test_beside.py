"""What others do beside a running job: it keeps what it has pinned, and each output is whole, of one job alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import JobFailed, ResourceInUseException
from personalize_spark.job.attempts import Progress
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.report import Report
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.service.filters import create_filter, delete_filter
from personalize_spark.service.garbage import collect_garbage
from personalize_spark.testing.toy import golden_group, golden_version, request
from tests.service.test_data_jobs import ROWS, export_of, finish, imported, rows_below
from tests.service.test_datasets import Service

FILES, LINES = 6, 5_000


@pytest.mark.slow
def test_of_two_jobs_on_one_output_path_each_file_is_of_one(tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    version = golden_version(catalog)
    (tmp_path / "in").mkdir()
    for number in range(FILES):
        (tmp_path / "in" / f"{number}.json").write_text('{"userId":"u1"}\n' * LINES)
    together = threading.Barrier(2)

    def run(results: int, out: str, *, wait: bool = True) -> Report:
        def begin(progress: Progress) -> None:
            if wait and not progress.splits:
                together.wait(30)

        asked = request(version, f"file://{tmp_path}/in/", f"file://{tmp_path}/{out}/", numResults=results)
        with LocalExecutor(2) as engine:
            return run_job(engine, catalog, create_batch_inference_job(catalog, asked), begin)

    whole = set[bytes]()
    for results in (2, 3):
        run(results, "alone", wait=False)
        whole |= {path.read_bytes() for path in (tmp_path / "alone").glob("*.out")}
    assert len(whole) == 2
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(run, (2, 3), ("out", "out")))
    assert [report.lines for report in reports] == [FILES * LINES] * 2
    outputs = [path.read_bytes() for path in (tmp_path / "out").glob("*.out")]
    assert len(outputs) == FILES
    assert set(outputs) <= whole
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".out") == ["_CHECK"]


@pytest.mark.slow
def test_a_running_job_keeps_its_filter_and_what_it_has_planned(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    version, group = golden_version(catalog), golden_group(catalog)
    catalog.update(catalog.read(version), datasetGroupArn=str(group.arn))
    cheap = {
        "name": "cheap",
        "datasetGroupArn": str(group.arn),
        "filterExpression": "EXCLUDE ItemID WHERE Items.PRICE > 1",
    }
    filtered = create_filter(catalog, cheap)
    (tmp_path / "in.json").write_text('{"userId":"u1"}\n')
    disturbed = []

    def disturb(_: Progress) -> None:
        with pytest.raises(ResourceInUseException):
            delete_filter(catalog, filtered)
        disturbed.extend(collect_garbage(catalog, older_than="0s").folders)

    outputs = []
    for show in (lambda _: None, disturb):
        asked = request(version, f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/", numResults=3, **filtered)
        run_job(local, catalog, create_batch_inference_job(catalog, asked), show)
        outputs.append((tmp_path / "out" / "in.json.out").read_bytes())
        (tmp_path / "out" / "in.json.out").unlink()
    assert outputs[0] == outputs[1]
    assert not [folder for folder in disturbed if "_staging" in folder]
    delete_filter(catalog, filtered)


def test_an_input_that_is_replaced_is_never_mixed(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    for name in ("kept", "replaced"):
        (tmp_path / f"in-{name}.json").write_text('{"userId":"u1"}\n' * LINES)
    asked = request(golden_version(catalog), f"file://{tmp_path}/in-", f"file://{tmp_path}/out/", numResults=3)

    def replace(progress: Progress) -> None:
        if not progress.splits:
            (tmp_path / "new").write_text('{"userId":"u2"}\n' * LINES)
            (tmp_path / "new").replace(tmp_path / "in-replaced.json")

    with pytest.raises(JobFailed, match=r"1 of 2 input files.*in-replaced\.json changed after it was listed"):
        run_job(local, catalog, create_batch_inference_job(catalog, asked), replace)
    [answered] = (tmp_path / "out").glob("*.out")
    assert answered.name == "in-kept.json.out"
    assert answered.read_bytes().count(b"\n") == LINES


@pytest.mark.spark
def test_an_export_beside_a_job_changes_neither(local: LocalExecutor, tmp_path: Path, spark: Any) -> None:
    service = Service(Catalog(tmp_path / "catalog"))
    arns = imported(service.catalog, tmp_path, spark)
    version = golden_version(service.catalog)
    service.catalog.update(service.catalog.read(version), datasetGroupArn=arns["group"])
    kept = {"name": "new", "datasetGroupArn": arns["group"]}
    seen = create_filter(
        service.catalog, {**kept, "filterExpression": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'}
    )
    (tmp_path / "in.json").write_text('{"userId":"u1"}\n' * LINES)
    exported = list[str]()

    def export(_: Progress) -> None:
        if not exported:
            exported.append(export_of(service, arns["Interactions"], tmp_path / "exported", ingestionMode="ALL"))
            finish(service, spark)

    outputs = []
    for show in (lambda _: None, export):
        asked = request(version, f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/", numResults=3, **seen)
        run_job(local, service.catalog, create_batch_inference_job(service.catalog, asked), show)
        outputs.append((tmp_path / "out" / "in.json.out").read_bytes())
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") == LINES
    assert rows_below(tmp_path / "exported" / "out")[1] == sorted([str(value) for value in row] for row in {*ROWS})
