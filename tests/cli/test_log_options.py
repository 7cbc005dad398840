from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.testing.toy import golden_version, request


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERSONALIZE_SPARK_CATALOG", str(tmp_path / "catalog"))
    Path("in").mkdir()
    Path("in", "users.json").write_text('{"userId":"u1"}\nbroken\n{"userId":"u2"}\n')
    made = request(golden_version(Catalog("catalog")), f"file://{tmp_path}/in/", f"file://{tmp_path}/out/")
    Path("request.json").write_text(json.dumps(made))
    return made


def run(*options: str) -> int:
    return main(["run", "--request", "request.json", "--engine", "local", *options])


@pytest.mark.slow
def test_driver_and_workers_log_json_about_the_job(job: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--log-format", "json", "--emf", "metrics.log") == 0
    out, err = capfd.readouterr()
    said = [json.loads(line) for line in err.splitlines()]  # nothing else stands there
    arn = json.loads(out)["batchInferenceJobArn"]
    assert {each["job"] for each in said} == {arn}
    assert {each["logger"].removeprefix("personalize_spark.") for each in said} >= {"job.run", "job.task", "cli"}
    [metrics] = Path("metrics.log").read_text().splitlines()
    metric = json.loads(metrics)
    assert (metric["Job"], metric["Recipe"]) == (arn, "aws-user-personalization")
    assert [metric[name] for name in ("Failed", "Lines", "ErrorLines")] == [0, 3, 1]
    [told] = metric["_aws"]["CloudWatchMetrics"]
    assert told["Namespace"] == "PersonalizeSpark"
    assert {each["Name"] for each in told["Metrics"]} == metric.keys() - {"_aws", "Recipe", "Job"}


def test_a_failed_job_leaves_its_metrics_too(job: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    Path("in", "users.json").unlink()
    assert run("--log-format", "json", "--emf", "-") == 1
    out, err = capfd.readouterr()
    metric = json.loads(out.splitlines()[-1])
    assert metric["Failed"] == 1
    assert "Lines" not in metric
    last = json.loads(err.splitlines()[-1])
    assert (last["level"], last["exitCode"], last["job"]) == ("ERROR", 1, metric["Job"])


def test_metrics_that_cannot_be_written_are_told_before_there_is_a_job(
    job: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--emf", "none/metrics.log") == 1
    assert capsys.readouterr() == ("", "--emf none/metrics.log cannot be written: No such file or directory.\n")


@pytest.mark.parametrize(("option", "value"), [("--log-format", "xml"), ("--log-level", "loud")])
def test_a_wrong_option_is_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list-filters", "--catalog", "none", option, value]) == 2
    assert f"{option}: '{value}' is not " in capsys.readouterr().err
