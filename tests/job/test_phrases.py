"""Jobs whose themes a language model phrases, against real servers that speak the APIs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import personalize_spark as ps
from personalize_spark import api
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.errors import InvalidInputException
from personalize_spark.job import phrases
from personalize_spark.job.executor import Executor
from personalize_spark.job.job import Job
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.plan import Plan
from personalize_spark.job.report import Report
from personalize_spark.job.run import run_job
from personalize_spark.job.splits import read_splits
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.themes.language_model import KEY_VARIABLE
from personalize_spark.themes.prompt import SYSTEM
from tests.job.test_themes import GOLDEN, SHOPS, themed, version_of
from tests.language_models import Asked, Reply, model_server

DEFAULT = [json.loads(line) for line in (GOLDEN / "themes-english.out").open()]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(f"file://{tmp_path}/catalog")


@pytest.fixture
def version(catalog: Catalog) -> Arn:
    return version_of(catalog, "english")


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id-of-nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-nobody")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def outputs(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out/themes-input.json.out").open()]


def numbered() -> Callable[[Asked], Reply]:
    """Another phrase each time."""
    words = iter(["breakfasts", "evenings", "walks", "gardens", "kitchens", "mornings", "winters", "travels"])
    return lambda _: f"Bright and friendly {next(words)}"


def run(
    executor: Executor, catalog: Catalog, version: Arn, folder: Path, spec: str, monkeypatch: pytest.MonkeyPatch
) -> Report:
    monkeypatch.setenv("PERSONALIZE_SPARK_THEME_MODEL", spec)
    job = create_batch_inference_job(catalog, themed(version, GOLDEN / "themes-input.json", folder / "out"))
    return run_job(executor, catalog, job, lambda _: None)


def check_a_job_that_a_model_phrases(
    executor: Executor, catalog: Catalog, version: Arn, folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model_server(numbered()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
        report = run(executor, catalog, version, folder, server.spec(kind), monkeypatch)
    found = outputs(folder)
    assert len(found) == len(DEFAULT)
    for mine, default in zip(found, DEFAULT, strict=True):
        assert (mine["input"], mine["error"]) == (default["input"], default["error"])
        output = mine["output"]
        assert {*output["recommendedItems"]} == {*default["output"]["recommendedItems"]}
        if mine["error"] is None:
            assert output["theme"].startswith("Bright and friendly ")
            assert output["itemsThemeRelevanceScores"] == sorted(output["itemsThemeRelevanceScores"], reverse=True)
    assert report.notes == []
    assert [each.theme for each in report.themes] == [each["output"]["theme"] for each in found if not each["error"]]
    assert {each.system for each in server.asked} == {SYSTEM}
    drafts = {json.loads(each.user)["draft"] for each in server.asked}
    assert drafts == {each["output"]["theme"] for each in DEFAULT if each["error"] is None}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["openai-compatible", "bedrock"])
def test_a_model_phrases_the_themes(
    kind: str, local: LocalExecutor, catalog: Catalog, version: Arn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_a_job_that_a_model_phrases(local, catalog, version, tmp_path, kind, monkeypatch)


@pytest.mark.spark
def test_a_model_phrases_the_themes_of_a_job_on_spark(
    spark: Any, catalog: Catalog, version: Arn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from personalize_spark.job.spark_executor import SparkExecutor

    check_a_job_that_a_model_phrases(SparkExecutor(spark), catalog, version, tmp_path, "openai-compatible", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("A title with a full stop.", "no phrase of 2 to 5 words, such as 'A title with a full stop.'"),
        ("Here it is:\nSlow Sundays", "more than one line"),
        (f"{SHOPS['english']['a']['names'][0]} 0", "the name of an item"),
        (400, "HTTP status 400"),
        (b"<html>", "no JSON"),
        ("Always lovely gifts", "the theme of another set"),
    ],
)
def test_what_is_no_theme_leaves_the_catalogues_own(
    reply: Reply,
    why: str,
    local: LocalExecutor,
    catalog: Catalog,
    version: Arn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with model_server(lambda _: reply) as server:
        report = run(local, catalog, version, tmp_path, server.spec(""), monkeypatch)
    [note] = report.notes
    assert why in note
    found = [each["output"].get("theme") for each in outputs(tmp_path)]
    default = [each["output"].get("theme") for each in DEFAULT]
    if reply == "Always lovely gifts":
        assert found.count("Always lovely gifts") >= 1
        assert len({*found}) == len({*default})
    else:
        assert (tmp_path / "out/themes-input.json.out").read_bytes() == (GOLDEN / "themes-english.out").read_bytes()


@pytest.mark.slow
def test_a_run_asks_once(
    local: LocalExecutor, catalog: Catalog, version: Arn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked is in the staging folder: a driver that resumes the job goes on with it."""
    with model_server(numbered()) as server:
        monkeypatch.setenv("PERSONALIZE_SPARK_THEME_MODEL", server.spec(""))
        asked = themed(version, GOLDEN / "themes-input.json", tmp_path / "out")
        record = create_batch_inference_job(catalog, asked)
        monkeypatch.delenv("PERSONALIZE_SPARK_THEME_MODEL")
        plan = Plan.of(Job.of(record), record.fields["run"])
        monkeypatch.setattr("personalize_spark.job.run.run_attempts", _killed)
        with pytest.raises(KeyboardInterrupt):
            run_job(local, catalog, record, lambda _: None)
        first = phrases.freeze_phrases(plan, plan.staging(), read_splits(plan.staging()))
        monkeypatch.undo()
        ps.resume(catalog, str(record.arn), engine="local")
    assert len(server.asked) == len(first.texts) > 1
    assert {*first.texts.values()} == {each["output"]["theme"] for each in outputs(tmp_path) if not each["error"]}


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_job_asks_about_so_many_sets_and_no_more(
    local: LocalExecutor, catalog: Catalog, version: Arn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phrases, "MAX_ASKED", 2)
    with model_server(numbered()) as server:
        report = run(local, catalog, version, tmp_path, server.spec(""), monkeypatch)
    assert len(server.asked) == 2
    assert report.notes == [
        "The theme model was asked about the first 2 sets; the others have the catalogue's own phrases."
    ]
    assert sum("Bright" in str(each["output"].get("theme")) for each in outputs(tmp_path)) >= 2


@pytest.mark.slow
def test_the_command_takes_the_model_and_keeps_the_key_to_itself(
    catalog: Catalog,
    version: Arn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a-secret")
    request = tmp_path / "request.json"
    request.write_text(json.dumps(themed(version, GOLDEN / "themes-input.json", tmp_path / "out")))

    def reply(asked: Asked) -> Reply:
        return "Slow and friendly mornings" if asked.key == "Bearer a-secret" else 401

    with model_server(reply) as server:
        options = ["--engine", "local", "--theme-model", server.spec(""), "--report-files", "--catalog", catalog.uri]
        assert main(["run", "--request", str(request), *options]) == 0
    said = capfd.readouterr()
    assert "Slow and friendly mornings" in said.err
    kept = [each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()]
    assert not any(b"a-secret" in each for each in [*kept, said.err.encode(), said.out.encode()])


def test_a_model_for_a_job_without_themes_is_refused(catalog: Catalog, version: Arn, tmp_path: Path) -> None:
    plain = themed(version, GOLDEN / "themes-input.json", tmp_path / "out")
    plain = {**plain, "batchInferenceJobMode": "BATCH_INFERENCE"}
    del plain["themeGenerationConfig"]
    with pytest.raises(InvalidInputException, match="needs the batchInferenceJobMode THEME_GENERATION"):
        api.run_batch_inference(catalog, plain, engine="local", theme_model="openai-compatible:http://localhost:1/v1")


def test_a_name_of_no_model_is_refused_before_there_is_a_job(
    catalog: Catalog, version: Arn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = themed(version, GOLDEN / "themes-input.json", tmp_path / "out")
    with pytest.raises(InvalidInputException, match="The theme model is 'gpt'"):
        api.run_batch_inference(catalog, params, engine="local", theme_model="gpt")
    monkeypatch.setenv("PERSONALIZE_SPARK_THEME_MODEL", "gpt")
    with pytest.raises(InvalidInputException, match="The theme model is 'gpt'"):
        create_batch_inference_job(catalog, params)
    assert list(catalog.list("batch-inference-job")) == []


@pytest.mark.slow
def test_a_client_takes_the_model_of_the_environment(
    catalog: Catalog, version: Arn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model_server(numbered()) as server:
        monkeypatch.setenv("PERSONALIZE_SPARK_THEME_MODEL", server.spec(""))
        client = ps.client(catalog, engine="local")
        params = themed(version, GOLDEN / "themes-input.json", tmp_path / "out")
        arn = client.create_batch_inference_job(**params)["batchInferenceJobArn"]
        assert _ended(catalog, arn) == "ACTIVE"
    assert all(each["output"]["theme"].startswith("Bright") for each in outputs(tmp_path) if not each["error"])


def _ended(catalog: Catalog, arn: str) -> str:
    from personalize_spark.job.watch import watch_job

    watch_job(catalog, arn, progress=lambda _: None)
    return str(catalog.read(Arn.parse(arn)).status)
