"""Frames of all kinds: the answers of a job, row by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pytest

import personalize_spark as ps
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.service.filters import create_filter
from personalize_spark.testing.toy import golden_group, golden_version, request

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS: dict[str, list[Any]] = {
    "n": [1, 2, 3, 4],
    "userId": ["u1", "nobody", None, "u1"],
    "filterValues": [{"PRICE": "1"}, {"PRICE": "2"}, {"PRICE": "1"}, None],
}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog")


@pytest.fixture
def asked(catalog: Catalog) -> dict[str, Any]:
    """A version, and a filter with a value of each row."""
    group, version = golden_group(catalog), golden_version(catalog)
    catalog.update(catalog.read(version), datasetGroupArn=str(group.arn))
    expression = "INCLUDE ItemID WHERE Items.PRICE = $PRICE"
    params = {"name": "price", "datasetGroupArn": str(group.arn), "filterExpression": expression}
    filtering = create_filter(catalog, params)["filterArn"]
    return {"catalog": catalog, "solution_version": str(version), "filter": filtering, "num_results": 3}


@pytest.fixture
def expected(catalog: Catalog, asked: dict[str, Any], tmp_path: Path, local: LocalExecutor) -> list[tuple[Any, ...]]:
    """What a job answers to the same rows."""
    lines = [{"userId": user, "filterValues": v} for user, v in zip(ROWS["userId"], ROWS["filterValues"], strict=True)]
    texts = (json.dumps({name: value for name, value in line.items() if value is not None}) for line in lines)
    (tmp_path / "in.json").write_text("\n".join(texts))
    places = (f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/")
    version = Arn.parse(asked["solution_version"])
    params = request(version, *places, numResults=3, filterArn=asked["filter"])
    run_job(local, catalog, create_batch_inference_job(catalog, params), lambda _: None)
    answers = [orjson.loads(line) for line in (tmp_path / "out" / "in.json.out").read_bytes().splitlines()]
    rows = [(each["output"]["recommendedItems"], each["output"].get("scores"), each["error"]) for each in answers]
    assert [(len(items), error is None) for items, _, error in rows] == [(3, True), (1, True), (0, False), (0, False)]
    return rows


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    return list(zip(*(list(table[name]) for name in ("recommendedItems", "scores", "error")), strict=True))


def test_a_table_gets_the_answers_of_a_job(asked: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    answered = ps.recommend(pa.table(ROWS), **asked)
    assert answered.column("n").to_pylist() == ROWS["n"]
    assert rows_of(answered.to_pydict()) == expected
    assert ps.recommend(pa.table(ROWS).slice(0, 0), **asked).num_rows == 0


def test_a_frame_of_pandas_gets_them_too(asked: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    import pandas as pd

    frame = pd.DataFrame(ROWS, index=["a", "b", "c", "d"])
    answered = ps.recommend(frame, **asked)
    assert list(answered.index) == list(frame.index)
    assert rows_of(answered) == expected
    assert list(frame.columns) == list(ROWS), "the frame itself is not changed"


def test_a_frame_of_polars_gets_them_too(asked: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    import polars as pl

    answered = ps.recommend(pl.DataFrame(ROWS), **asked)
    assert rows_of(answered.to_dict(as_series=False)) == expected


def test_ids_may_be_numbers(catalog: Catalog) -> None:
    import pandas as pd

    version = str(golden_version(catalog))
    frame = pd.DataFrame({"userId": [17]})
    assert ps.recommend(frame, catalog=catalog, solution_version=version)["error"].tolist() == [None]


def test_what_cannot_be_answered_is_said_at_once(catalog: Catalog) -> None:
    wanted: dict[str, Any] = {"catalog": catalog.uri, "solution_version": str(golden_version(catalog))}
    with pytest.raises(ps.ServiceError, match=r"no column userId \(did you mean 'user_id'\?\)"):
        ps.recommend(pa.table({"user_id": ["u1"]}), **wanted)
    with pytest.raises(ps.ServiceError, match="has a column error already"):
        ps.recommend(pa.table({"userId": ["u1"], "error": [""]}), **wanted)
    with pytest.raises(ps.ServiceError, match="dict is no data frame: give one of pyspark, pandas, polars"):
        ps.recommend({"userId": ["u1"]}, **wanted)
    with pytest.raises(ps.ServiceError, match="numResults"):
        ps.recommend(pa.table({"userId": ["u1"]}), **wanted, num_results=501)


def test_the_frame_of_a_session_gets_the_answers_of_a_job_and_an_output_is_read(
    spark: SparkSession, asked: dict[str, Any], expected: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    values = "n INT, userId STRING, filterValues MAP<STRING, STRING>"
    frame = spark.createDataFrame(list(zip(*ROWS.values(), strict=True)), values).repartition(2)
    answered = ps.recommend(frame, **asked)
    assert answered.columns == [*ROWS, "recommendedItems", "scores", "error"]
    assert [tuple(row)[3:] for row in answered.orderBy("n").collect()] == expected
    sent = [ps.recommend(frame, **asked, ship_model=True) for _ in range(2)]
    (tmp_path / "catalog").rename(tmp_path / "hidden")  # what tasks without access see of it
    for each in sent:
        assert [tuple(row)[3:] for row in each.orderBy("n").collect()] == expected

    file = tmp_path / "out" / "in.json.out"
    refused = {"output": {"recommendedItems": []}, "error": "User error: no JSON"}
    broken = [{"input": text, **refused} for text in ("broken", '{"userId": "cut')]
    with file.open("a") as out:
        out.writelines(json.dumps(each) + "\n" for each in broken)
    (tmp_path / "out" / "other.txt").write_text("not an output")
    output = ps.read_output(spark, tmp_path / "out")
    assert output.count() == 6
    good = output.where("error IS NULL").select("input.userId", "input.filterValues", "output.recommendedItems")
    assert [tuple(row) for row in good.orderBy("userId").collect()] == [
        ("nobody", {"PRICE": "2"}, expected[1][0]),
        ("u1", {"PRICE": "1"}, expected[0][0]),
    ]
    texts = output.where("input IS NULL").select("inputText", "error").orderBy("inputText").collect()
    assert [tuple(row) for row in texts] == [(text, refused["error"]) for text in sorted(("broken", '{"userId": "cut'))]
