"""Jobs that ask beyond the service: as a command, from Python, retried, and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import ParamValidationError

import personalize_spark as ps
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.errors import InvalidInputException
from personalize_spark.extensions import CONFIG, KEY, with_extensions
from personalize_spark.job.job import Job
from personalize_spark.service.batch_inference_jobs import check_batch_inference_job, create_batch_inference_job
from personalize_spark.service.filters import create_filter
from personalize_spark.service.validation import validate_batch_inference
from personalize_spark.testing.toy import NO_EXPLORATION, golden_group, golden_version, request

CAPPED = {"maxPer": {"PRICE": 1}, "withColumns": ["PRICE"]}
ANSWER = '{"input":{"userId":"u1"},"output":{"recommendedItems":["a","b"],"scores":[0.8449224,0.1458153],"itemColumns":{"PRICE":[1,2]}},"error":null}\n'


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(f"file://{tmp_path}/catalog")


def ask(
    catalog: Catalog, folder: Path, *, group: bool = True, recipe: str = "aws-user-personalization"
) -> dict[str, Any]:
    version = golden_version(catalog, recipe)
    if group:
        catalog.update(catalog.read(version), datasetGroupArn=str(golden_group(catalog, folder.name).arn))
    (folder / "in.json").write_text('{"userId":"u1"}\n')
    more = {"batchInferenceJobConfig": NO_EXPLORATION} if recipe == "aws-user-personalization" else {}
    return request(version, f"file://{folder}/in.json", f"file://{folder}/out/", numResults=3, **more)


@pytest.mark.slow
def test_a_command_answers_with_caps_and_columns(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(ask(catalog, tmp_path)))
    asked = ["run", "--request", str(tmp_path / "request.json"), "--catalog", catalog.store.root, "--engine", "local"]
    assert main([*asked, "--max-per", "PRICE=1", "--with-columns", "PRICE"]) == 0
    assert (tmp_path / "out" / "in.json.out").read_text() == ANSWER
    with pytest.raises(SystemExit):
        main([*asked, "--max-per", "PRICE"])


@pytest.mark.slow
def test_a_retry_answers_as_the_job_did(catalog: Catalog, tmp_path: Path) -> None:
    params = ask(catalog, tmp_path)
    (tmp_path / "in.json").write_text("broken\n")
    arns: list[str] = []
    ps.run_batch_inference(catalog, params, engine="local", extensions=CAPPED, created=arns.append)
    (tmp_path / "in.json").write_text('{"userId":"u1"}\n')
    with pytest.raises(InvalidInputException, match="A retry answers as the job did: maxPer, withColumns cannot"):
        ps.run_batch_inference(catalog, retry_errors=arns[0], engine="local", extensions=CAPPED)
    ps.run_batch_inference(catalog, retry_errors=arns[0], engine="local")
    assert (tmp_path / "out" / "in.json.out").read_text() == ANSWER


def test_a_request_holds_them_and_the_record_too(catalog: Catalog, tmp_path: Path) -> None:
    params = with_extensions(ask(catalog, tmp_path), CAPPED)
    job, record = check_batch_inference_job(catalog, params), create_batch_inference_job(catalog, params)
    assert Job.of(record) == job
    assert record.fields[CONFIG][KEY] == CAPPED
    assert job.view is not None


@pytest.mark.slow
def test_a_ranking_loses_what_is_too_much(catalog: Catalog, tmp_path: Path) -> None:
    params = ask(catalog, tmp_path, recipe="aws-personalized-ranking")
    (tmp_path / "in.json").write_text('{"userId":"u1","itemList":["?","new","d","b","?","a"]}\n')
    ps.run_batch_inference(catalog, params, engine="local", extensions=CAPPED)
    output = json.loads((tmp_path / "out" / "in.json.out").read_text())["output"]
    assert output["recommendedItems"] == ["a", "b", "?"]
    assert output["itemColumns"] == {"PRICE": [1, 2, None]}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"maxPer": {"PRCE": 1}},
            "personalizeSpark .maxPer. names 'PRCE', no column .*did you mean 'PRICE'.*takes PRICE",
        ),
        ({"withColumns": ["ITEM_ID"]}, "personalizeSpark .withColumns. names 'ITEM_ID'"),
    ],
)
def test_columns_that_are_none_are_refused(catalog: Catalog, tmp_path: Path, asked: Any, message: str) -> None:
    with pytest.raises(InvalidInputException, match=message):
        validate_batch_inference(catalog, with_extensions(ask(catalog, tmp_path), asked))


def test_without_items_they_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    params = with_extensions(ask(catalog, tmp_path, group=False), CAPPED)
    with pytest.raises(
        InvalidInputException, match=r"personalizeSpark \(maxPer and withColumns\) needs an Items dataset"
    ):
        validate_batch_inference(catalog, params)


def test_with_the_services_limits_they_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    params = with_extensions(ask(catalog, tmp_path), CAPPED)
    with pytest.raises(InvalidInputException, match=r"The managed service does not know personalizeSpark \(maxPer and"):
        validate_batch_inference(catalog, params, limits="service")


def test_a_frame_has_no_columns_of_items(catalog: Catalog, tmp_path: Path) -> None:
    version = str(Arn.parse(ask(catalog, tmp_path)["solutionVersionArn"]))
    frame = pa.table({"userId": ["u1"]})
    config = {**NO_EXPLORATION, KEY: {"maxPer": {"PRICE": 1}}}
    told = ps.recommend(frame, catalog=catalog, solution_version=version, num_results=3, config=config)
    assert told.column("recommendedItems").to_pylist() == [["a", "b"]]
    with pytest.raises(InvalidInputException, match="withColumns and alsoParquet are for the outputs of jobs"):
        ps.recommend(frame, catalog=catalog, solution_version=version, config={KEY: CAPPED})


@pytest.mark.slow
def test_boto3_refuses_them_and_our_own_command_takes_them(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = with_extensions(ask(catalog, tmp_path), CAPPED)
    with pytest.raises(ParamValidationError, match="Unknown parameter in batchInferenceJobConfig"):
        ps.client(catalog).create_batch_inference_job(**params)
    asked = ["--cli-input-json", json.dumps(params), "--catalog", catalog.store.root, "--engine", "local"]
    assert main(["create-batch-inference-job", *asked]) == 0
    arn = json.loads(capsys.readouterr().out)["batchInferenceJobArn"]
    assert (tmp_path / "out" / "in.json.out").read_text() == ANSWER
    assert (
        main(["describe-batch-inference-job", "--batch-inference-job-arn", arn, "--catalog", catalog.store.root]) == 0
    )
    assert json.loads(capsys.readouterr().out)["batchInferenceJob"][CONFIG][KEY] == CAPPED
    described = ps.client(catalog).describe_batch_inference_job(batchInferenceJobArn=arn)["batchInferenceJob"]
    assert (described["status"], described[CONFIG]) == ("ACTIVE", NO_EXPLORATION)  # boto3 drops what it does not know


@pytest.mark.slow
def test_lines_may_have_keys_of_their_own(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(ask(catalog, tmp_path, group=False, recipe="aws-sims")))
    lines = [b'{"itemIds":["a","b"]}', b'{"itemId":"a","denyList":["b"]}', b'{"itemId":"a","allowList":["d","?"]}']
    (tmp_path / "in.json").write_bytes(b"\n".join(lines))
    asked = ["run", "--request", str(tmp_path / "request.json"), "--catalog", catalog.store.root, "--engine", "local"]
    assert main([*asked, "--line-keys", "itemIds,allowList,denyList"]) == 0
    out = map(json.loads, (tmp_path / "out" / "in.json.out").read_text().splitlines())
    assert [each["output"]["recommendedItems"] for each in out] == [["c", "d"], ["c", "d"], ["d"]]


@pytest.mark.parametrize(
    ("recipe", "keys", "message"),
    [
        ("aws-popularity-count", ["itemIds"], "lineKeys has itemIds, but lines of aws-popularity-count have no item"),
        (
            "aws-personalized-ranking",
            ["allowList"],
            "lineKeys has allowList, but lines of aws-personalized-ranking have an",
        ),
    ],
)
def test_line_keys_that_mean_nothing_are_refused(
    catalog: Catalog, tmp_path: Path, recipe: str, keys: list[str], message: str
) -> None:
    params = with_extensions(ask(catalog, tmp_path, recipe=recipe), {"lineKeys": keys})
    with pytest.raises(InvalidInputException, match=message):
        validate_batch_inference(catalog, params)


def test_a_filter_on_the_current_item_needs_one(catalog: Catalog, tmp_path: Path) -> None:
    params = ask(catalog, tmp_path, recipe="aws-sims")
    expression = "EXCLUDE ItemID WHERE Items.PRICE > CurrentItem.PRICE"
    group = catalog.read(Arn.parse(params["solutionVersionArn"])).fields["datasetGroupArn"]
    arn = create_filter(catalog, {"name": "dear", "datasetGroupArn": group, "filterExpression": expression})[
        "filterArn"
    ]
    params = with_extensions({**params, "filterArn": arn}, {"lineKeys": ["itemIds"]})
    with pytest.raises(InvalidInputException, match="with itemIds in lineKeys a line may have several items"):
        validate_batch_inference(catalog, params)


def test_a_frame_has_the_keys_as_columns(catalog: Catalog, tmp_path: Path) -> None:
    version = ask(catalog, tmp_path, group=False, recipe="aws-sims")["solutionVersionArn"]
    frame = pa.table({"itemIds": [["a", "b"]], "denyList": [["c"]]})
    config = {KEY: {"lineKeys": ["itemIds", "denyList"]}}
    told = ps.recommend(frame, catalog=catalog, solution_version=version, config=config)
    assert told.column("recommendedItems").to_pylist() == [["d"]]
