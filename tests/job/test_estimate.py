from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.errors import InvalidInputException
from personalize_spark.job import estimate as module
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.service.validation import validate_batch_inference
from personalize_spark.testing.toy import golden_version, request

_UNSEEN = 200 << 20
"""Bytes of a worker that nobody looked at."""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "in").mkdir()
    return Catalog(tmp_path / "catalog")


@pytest.fixture
def job(catalog: Catalog, tmp_path: Path) -> dict[str, Any]:
    return request(golden_version(catalog), f"file://{tmp_path}/in/", f"file://{tmp_path}/out/", numResults=3)


def write(folder: Path, name: str, lines: int) -> None:
    text = b"".join(b'{"userId":"u%d"}\n' % (n % 10) for n in range(lines))
    (folder / "in" / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


def estimated(catalog: Catalog, job: dict[str, Any], **options: Any) -> dict[str, Any]:
    said: dict[str, Any] = validate_batch_inference(catalog, job, estimate=True, **options)["estimate"]
    return said


@pytest.mark.slow
def test_lines_are_counted_and_the_job_is_tried(
    catalog: Catalog, job: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "a.json", 30)
    write(tmp_path, "b.json.gz", 12)
    (tmp_path / "request.json").write_text(json.dumps(job))
    asked = ["validate", "--request", f"{tmp_path}/request.json", "--catalog", str(catalog.uri)]
    assert main([*asked, "--estimate"]) == 0
    said = json.loads(capsys.readouterr().out)["estimate"]
    assert (said["lines"], said["lines_counted"], said["cores"]) == (42, True, os.cpu_count())
    assert said["seconds"] > 0
    assert said["lines_per_second"] > 0
    assert 10 << 20 < said["memory_bytes"] / said["cores"] < _UNSEEN  # the workers of this small model were looked at
    assert said["disk_bytes"] == 0  # the catalog lies here
    assert not (tmp_path / "out").exists()
    assert not [*Catalog(catalog).list("batch-inference-job")]
    assert main(["run", *asked[1:], "--engine", "local"]) == 0
    written = sum(path.stat().st_size for path in (tmp_path / "out").iterdir() if path.suffix == ".out")
    assert said["output_bytes"] == written


def test_given_figures_take_the_place_of_the_trial(catalog: Catalog, job: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, "a.json", 1_000)
    said = estimated(catalog, job, cores=8, rate=25.0)
    assert (said["seconds"], said["core_hours"], said["lines_per_second"]) == (5.0, 0.0111, 25.0)
    assert 8 * _UNSEEN < said["memory_bytes"] < 9 * _UNSEEN


@pytest.mark.slow
def test_a_worker_takes_200_mib_where_the_system_tells_nothing(
    catalog: Catalog, job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalExecutor, "memory", lambda _: 0)
    write(tmp_path, "a.json", 1)
    assert estimated(catalog, job, cores=8)["memory_bytes"] > 8 * _UNSEEN


def test_many_lines_are_sampled(
    catalog: Catalog, job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COUNTED", 4_096)
    monkeypatch.setattr(module, "_PLACE", 512)
    write(tmp_path, "a.json", 20_000)
    write(tmp_path, "b.json", 1_000)
    write(tmp_path, "c.json.gz", 500)
    said = estimated(catalog, job, rate=100.0)
    assert not said["lines_counted"]
    assert said["lines"] == pytest.approx(21_500, rel=0.1)


def test_an_input_without_lines_takes_no_time(catalog: Catalog, job: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, "a.json", 0)
    said = estimated(catalog, job, rate=100.0)
    assert (said["lines"], said["seconds"], said["output_bytes"]) == (0, 0.0, 0)


@pytest.mark.parametrize("options", [{"cores": 0}, {"rate": 0.0}, {"rate": float("nan")}])
def test_figures_are_above_zero(options: dict[str, Any], catalog: Catalog, job: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, "a.json", 1)
    with pytest.raises(InvalidInputException, match="Cores and lines a second must be above 0"):
        estimated(catalog, job, **options)
