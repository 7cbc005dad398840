"""Operations as commands: values in, answers out, as the AWS CLI has them."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.cli.output import spelled
from personalize_spark.errors import InvalidInputException
from personalize_spark.request import members, skeleton
from personalize_spark.service.operations import OPERATIONS
from personalize_spark.testing.toy import golden_version, request

Call = Callable[..., tuple[int, str, str]]
GROUP = "arn:aws:personalize:us-east-1:000000000000:dataset-group/shop"


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("PERSONALIZE_SPARK_CATALOG", str(tmp_path / "catalog"))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.mark.slow
def test_a_job_is_created_and_run_by_its_aws_name(call: Call, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"userId":"u1"}\n')
    asked = request(golden_version(Catalog(tmp_path / "catalog")), "", "")
    arn, role, name = (str(asked[each]) for each in ("solutionVersionArn", "roleArn", "jobName"))
    places = [
        *("--job-input", f"s3DataSource={{path=file://{tmp_path}/in.json}}"),
        *("--job-output", f"s3DataDestination={{path=file://{tmp_path}/out/}}"),
    ]
    code, out, err = call(
        *("create-batch-inference-job", "--engine", "local", "--job-name", name, "--solution-version-arn", arn),
        *("--role-arn", role, "--num-results", "2", "--tags", "tagKey=a,tagValue=1", "tagKey=b,tagValue=2", *places),
        *("--batch-inference-job-config", "itemExplorationConfig={explorationWeight=0}"),
    )
    assert code == 0, err
    job = json.loads(out)["batchInferenceJobArn"]
    answer = json.loads((tmp_path / "out" / "in.json.out").read_text())
    assert len(answer["output"]["recommendedItems"]) == 2
    query = "batchInferenceJob.[status, numResults]"
    assert call(
        "describe-batch-inference-job", "--batch-inference-job-arn", job, "--query", query, "--output", "text"
    ) == (
        0,
        "ACTIVE\t2\n",
        "",
    )
    tags = json.loads(call("list-tags-for-resource", "--resource-arn", job)[1])["tags"]
    assert tags == [{"tagKey": "a", "tagValue": "1"}, {"tagKey": "b", "tagValue": "2"}]
    assert call("untag-resource", "--resource-arn", job, "--tag-keys", "a", "b") == (0, "", "")
    assert json.loads(call("list-tags-for-resource", "--resource-arn", job)[1])["tags"] == []


def test_a_job_that_fails_exits_with_1(call: Call, tmp_path: Path) -> None:
    asked = request(golden_version(Catalog(tmp_path / "catalog")), f"file://{tmp_path}/none", f"file://{tmp_path}/out/")
    code, out, err = call("create-batch-inference-job", "--engine", "local", "--cli-input-json", json.dumps(asked))
    assert (code, "Invalid S3 input path" in err) == (1, True)
    assert json.loads(out)["batchInferenceJobArn"]


def test_a_schema_is_read_from_a_file(call: Call, tmp_path: Path) -> None:
    fields = [{"name": "USER_ID", "type": "string"}, {"name": "AGE", "type": "int"}]
    (tmp_path / "s.json").write_text(json.dumps({"type": "record", "name": "Users", "fields": fields}))
    assert call("create-schema", "--name", "users", "--schema", f"file://{tmp_path}/s.json")[0] == 0
    code, _, err = call("create-schema", "--name", "users", "--schema", f"file://{tmp_path}/none")
    assert (code, err.endswith(f": file://{tmp_path}/none cannot be read: No such file or directory.\n")) == (2, True)


@pytest.mark.parametrize("option", [["--perform-hpo"], ["--perform-hpo", "true"]])
def test_a_boolean_is_a_flag(call: Call, option: list[str]) -> None:
    call("create-dataset-group", "--name", "shop")
    recipe = ["--recipe-arn", "arn:aws:personalize:::recipe/aws-sims"]
    create = ["create-solution", "--name", "home", "--dataset-group-arn", GROUP, *recipe]
    assert "performHPO is for recipes for users" in call(*create, *option)[2]
    assert call(*create, "--no-perform-hpo")[0] == 0


def test_times_are_printed_as_the_aws_cli_prints_them(call: Call) -> None:
    call("create-dataset-group", "--name", "shop")
    query = "datasetGroup.creationDateTime"
    out = call("describe-dataset-group", "--dataset-group-arn", GROUP, "--query", query)[1]
    assert dt.datetime.fromisoformat(json.loads(out)).tzinfo is not None
    assert json.loads(out)[-9:-6] == "000"


def test_numbers_and_queries_that_are_none_are_refused(call: Call) -> None:
    code, _, err = call("list-schemas", "--max-results", "many")
    assert (code, "Value 'many' at 'maxResults'" in err) == (2, True)
    assert err.startswith("An error occurred (InvalidInputException) when calling the ListSchemas operation: ")
    code, _, err = call("list-schemas", "--query", "schemas[")
    assert (code, "Bad value for --query" in err) == (2, True)


def test_a_bare_call_shows_the_commands(call: Call) -> None:
    code, out, _ = call()
    assert code == 0
    own, _, of_the_service = out.partition("as in the AWS CLI:\n")
    assert re.findall(r"^    ([a-z-]+)", own, re.MULTILINE)[:3] == ["run", "resume", "watch"]
    assert "create-" not in own
    assert re.findall(r"[a-z]+(?:-[a-z]+)+", of_the_service)[:3] == [
        "create-batch-inference-job",
        "describe-batch-inference-job",
        "list-batch-inference-jobs",
    ]
    assert all(len(line) < 80 for line in out.splitlines())


@pytest.mark.slow
def test_a_skeleton_has_every_parameter_and_needs_no_catalog(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PERSONALIZE_SPARK_CATALOG", raising=False)
    for operation in OPERATIONS:
        command = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", operation).lower()
        assert main([command, "--generate-cli-skeleton"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed.keys() == members(operation).keys()
    assert skeleton("CreateBatchInferenceJob")["jobInput"] == {"s3DataSource": {"path": "", "kmsKeyArn": ""}}
    assert skeleton("CreateSolution")["performHPO"] is True
    assert main(["create-schema", "--generate-cli-skeleton", "output"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schemaArn": ""}
    assert skeleton("CreateDatasetImportJob")["importMode"] == "FULL"
    assert skeleton("ListSchemas")["maxResults"] == 0


ANSWER: dict[str, Any] = {"name": "x", "on": True, "jobs": [{"id": 1, "at": "a"}, {"id": 2}], "keys": ["p", "q"]}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (None, "x\tTrue\nJOBS\ta\t1\nJOBS\t\t2\nKEYS\tp\nKEYS\tq\n"),
        ("keys", "p\tq\n"),
        ("[keys, [name]]", "p\tq\nx\n"),
        ("jobs[].id", "1\t2\n"),
        ("jobs[0]", "a\t1\n"),
        ("name", "x\n"),
        ("missing", "None\n"),
    ],
)
def test_text(query: str | None, text: str) -> None:
    assert spelled(ANSWER, "text", query) == text


def test_tables() -> None:
    assert spelled(ANSWER, "table", "jobs").splitlines() == [
        "+----+----+",
        "| id | at |",
        "+----+----+",
        "| 1  | a  |",
        "| 2  |    |",
        "+----+----+",
    ]
    assert spelled(ANSWER, "table", None).splitlines()[:3] == ["+------+------+", "| name | x    |", "| on   | True |"]
    assert spelled(ANSWER, "table", "jobs[].[id, at]").splitlines() == [
        "+---+------+",
        "| 1 | a    |",
        "| 2 | None |",
        "+---+------+",
    ]


def test_a_list_is_printed_whole_unless_a_page_is_asked_for(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalize_spark.service.pages._PAGE", 1)
    every = [f"g{number}" for number in range(3)]
    for name in every:
        call("create-dataset-group", "--name", name)
    names = ("--query", "datasetGroups[].name")
    assert sorted(json.loads(call("list-dataset-groups", *names)[1])) == every
    page = json.loads(call("list-dataset-groups", "--max-results", "2")[1])
    assert (len(page["datasetGroups"]), "nextToken" in page) == (2, True)


def test_what_a_batch_system_has_not_is_refused_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["create-campaign", "--name", "x"])
    assert ended.value.code == 2
    assert "CreateCampaign is not supported: personalize_spark makes" in capsys.readouterr().err


def test_a_query_that_is_none() -> None:
    with pytest.raises(InvalidInputException, match="Bad value for --query"):
        spelled(ANSWER, "json", "[")
