"""Compressed inputs, whatever their names, of any size; and old answers, which are inputs too."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import JobFailed
from personalize_spark.job import inflate, splits
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.report import Report
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.testing.toy import golden_version, request


def run(local: LocalExecutor, folder: Path, **files: bytes) -> Report:
    (folder / "in").mkdir()
    for name, data in files.items():
        (folder / "in" / name.replace("_", ".")).write_bytes(data)
    catalog = Catalog(f"file://{folder}/catalog")
    params = request(golden_version(catalog), f"file://{folder}/in/", f"file://{folder}/out/", numResults=3)
    return run_job(local, catalog, create_batch_inference_job(catalog, params), lambda _: None)


@pytest.mark.slow
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lambda data: pa.compress(data, "zstd", asbytes=True)])
def test_compressed_inputs_under_other_names_are_read(
    local: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(splits, "_MIN_LINES", 1)
    monkeypatch.setattr(splits, "MAX_LINES", 200)
    monkeypatch.setattr(inflate, "INFLATE_ABOVE", 30_000)
    users = [b'{"userId":"u1","n":"%x"}\n' % hash((0, n)) for n in range(4_000)]
    counts = {"small": 1, "middle": 1_000, "large": 4_000}
    files = {f"{name}_json": pack(b"".join(users[:count])) for name, count in counts.items()}
    assert len(files["middle_json"]) < inflate.INFLATE_ABOVE < len(files["large_json"])
    report = run(local, tmp_path, **files)
    assert (report.lines, report.errors) == (5_001, {})
    for name, count in counts.items():
        lines = (tmp_path / "out" / f"{name}.json.out").read_bytes().splitlines()
        assert [json.loads(line)["input"] for line in lines] == list(map(json.loads, users[:count])), name


def test_a_large_input_that_is_damaged_costs_the_others_nothing(
    local: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflate, "INFLATE_ABOVE", 1_000)
    whole = gzip.compress(b"".join(b'{"userId":"u1","n":"%x"}\n' % hash((0, n)) for n in range(1_000)))
    assert len(whole) > inflate.INFLATE_ABOVE
    with pytest.raises(JobFailed, match=r"1 of 3 input files.* .*in/cut\.json\.gz is not a complete gzip file"):
        run(local, tmp_path, cut_json_gz=whole[:-20], small_json=b'{"userId":"u1"}\n', whole_json_gz=whole)
    answers = {path.name: path.read_bytes().count(b"\n") for path in (tmp_path / "out").glob("*.out")}
    assert answers == {"small.json.out": 1, "whole.json.gz.out": 1_000}


def test_old_answers_are_answered_and_told(local: LocalExecutor, tmp_path: Path) -> None:
    answer = b'{"input":{"userId":"u1"},"output":{"recommendedItems":["a"]},"error":null}\n'
    report = run(local, tmp_path, a_json=b'{"userId":"u1"}\n', a_json_out=answer)
    answered = json.loads((tmp_path / "out" / "a.json.out.out").read_bytes())
    assert answered["input"] == json.loads(answer)
    assert answered["error"] == "User error: Required fields for the provided recipe are userId"
    assert any("1 input is the output of an earlier job, such as 'a.json.out'." in note for note in report.notes)
