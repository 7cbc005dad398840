"""Outputs as Parquet: the lines of the `.out`, whole or not there, the same bytes however the input is cut."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import InvalidInputException, JobFailed
from personalize_spark.extensions import with_extensions
from personalize_spark.job import parquet, splits
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import check_batch_inference_job
from personalize_spark.testing.toy import NO_EXPLORATION, golden_group, golden_version, request

LINES = [
    b'{"userId":"u1"}',
    b'{"userId":7,"n":1.50,"x":{"output":{"recommendedItems":["no"]}}}',
    b"broken",
    b'{"itemId":"a"}',
    b'"text,\\"output\\":{\\"recommendedItems\\":["',
    b"\xff",
    '{"userId":"é\\r","itemId":{"a":1}}'.encode(),
    b"",
]


def run(local: LocalExecutor, folder: Path, recipe: str = "aws-user-personalization", **more: Any) -> None:
    catalog = Catalog(f"file://{folder}/catalog")
    version = golden_version(catalog, recipe)
    config = NO_EXPLORATION if recipe == "aws-user-personalization" else {}
    if "withColumns" in more:
        catalog.update(catalog.read(version), datasetGroupArn=str(golden_group(catalog).arn))
    params = request(version, f"file://{folder}/in/", f"file://{folder}/out/", batchInferenceJobConfig=config)
    params = with_extensions(params, {"alsoParquet": f"file://{folder}/parquet/", **more})
    job = replace(check_batch_inference_job(catalog, params), errors_to=more.pop("errors_to", None))
    run_job(local, catalog, job.create(catalog), lambda _: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.json").write_bytes(b"\n".join(LINES * 20))
    (tmp_path / "in" / "sub" / "empty.json").write_bytes(b"\n")
    return tmp_path


def rows_of(line: bytes, *, columns: bool = False) -> dict[str, Any]:
    told = json.loads(line)
    asked, output = told["input"] if isinstance(told["input"], dict) else {}, told["output"]
    ids = {name: asked.get(name) for name in ("userId", "itemId")}
    if any(isinstance(each, dict) for each in ids.values()):
        ids = dict.fromkeys(ids)
    row = {name: None if each is None else str(each) for name, each in ids.items()}
    names = ["recommendedItems", "scores", "theme", "itemsThemeRelevanceScores", *(["itemColumns"] if columns else [])]
    echo = line[len(b'{"input":') : line.rindex(b',"output":')].decode()
    return {**row, "input": echo, **{name: output.get(name) for name in names}, "error": told["error"]}


def test_each_line_is_a_row(local: LocalExecutor, folder: Path) -> None:
    run(local, folder)
    names = sorted(str(each.relative_to(folder / "parquet")) for each in (folder / "parquet").rglob("*.parquet"))
    assert names == ["a.json.parquet", "sub/empty.json.parquet"]
    lines = (folder / "out" / "a.json.out").read_bytes().splitlines()
    table = pq.read_table(folder / "parquet" / "a.json.parquet")
    assert table.to_pylist() == [rows_of(line) for line in lines]
    empty = pq.read_table(folder / "parquet" / "sub" / "empty.json.parquet")
    assert (empty.num_rows, empty.schema) == (0, table.schema)
    assert table.schema.field("scores").type == pa.list_(pa.float64())


def test_columns_of_items_have_their_types(local: LocalExecutor, folder: Path) -> None:
    run(local, folder, withColumns=["PRICE"])
    lines = (folder / "out" / "a.json.out").read_bytes().splitlines()
    table = pq.read_table(folder / "parquet" / "a.json.parquet")
    assert table.schema.field("itemColumns").type == pa.struct({"PRICE": pa.list_(pa.int64())})
    assert table.to_pylist() == [rows_of(line, columns=True) for line in lines]


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_splits(
    local: LocalExecutor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(local, folder)
    whole = (folder / "parquet" / "a.json.parquet").read_bytes()
    monkeypatch.setattr(splits, "_MIN_LINES", 1)
    monkeypatch.setattr(splits, "MAX_LINES", 7)
    run(local, folder)
    assert (folder / "parquet" / "a.json.parquet").read_bytes() == whole


def test_a_group_of_rows_has_lines_of_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 5)
    assert list(parquet._groups([b"aa\nbbb\nc\n", b"dd\ne"])) == [[b"aa", b"bbb"], [b"c", b"dd", b"e"]]
    assert list(parquet._groups([])) == []


def test_a_file_that_cannot_be_written_fails_the_job(local: LocalExecutor, folder: Path) -> None:
    (folder / "parquet" / "a.json.parquet").mkdir(parents=True)
    with pytest.raises(JobFailed, match=r"a\.json\.parquet"):
        run(local, folder)


def test_a_folder_below_the_input_is_refused(local: LocalExecutor, folder: Path) -> None:
    with pytest.raises(InvalidInputException, match="alsoParquet lies below the input path"):
        run(local, folder, alsoParquet=f"file://{folder}/in/parquet/")
