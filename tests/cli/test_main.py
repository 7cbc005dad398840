from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from personalize_spark import __version__
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli import config
from personalize_spark.cli.main import main
from personalize_spark.errors import DataError
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.storage.location import open_store, write_to
from personalize_spark.testing.toy import golden_version, request

Refuse = Callable[..., tuple[int, str]]


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.setenv("PERSONALIZE_SPARK_CATALOG", str(tmp_path / "catalog"))
    return Catalog(f"file://{tmp_path}/catalog")


@pytest.fixture
def job(catalog: Catalog, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "users.json").write_text('{"userId":"u1"}\n')
    return request(golden_version(catalog), f"file://{tmp_path}/in/", f"file://{tmp_path}/out/", numResults=3)


@pytest.mark.slow
def test_the_version_says_what_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONALIZE_SPARK_KERNEL", "numpy")
    program = [sys.executable, "-m", "personalize_spark", "--version"]
    assert (
        subprocess.run(program, check=True, capture_output=True, text=True).stdout
        == f"personalize-spark {__version__} (numpy)\n"
    )


def write(folder: Path, params: dict[str, Any]) -> str:
    (folder / "request.json").write_text(json.dumps(params))
    return str(folder / "request.json")


def test_validate_says_what_would_run(job: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job["batchInferenceJobConfig"] = {"rankingInfluence": {"FRESHNESS": 0.5}}
    assert main(["validate", "--request", write(tmp_path, job)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["valid"], said["input_files"], said["input_bytes"]) == (True, 1, 16)
    assert said["notes"] == ["rankingInfluence has no effect: the recipe aws-user-personalization does not use it."]
    assert not (tmp_path / "out").exists()


def test_validate_proves_that_the_output_can_be_written(
    job: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    output = {"s3DataDestination": {"path": f"file://{tmp_path}/file/out/"}}
    assert main(["validate", "--request", write(tmp_path, {**job, "jobOutput": output})]) == 1
    assert (
        f"Invalid S3 output path: file://{tmp_path}/file/out/ cannot be written: {tmp_path}/file: "
        in capsys.readouterr().err
    )


def test_validate_says_that_the_output_folder_holds_the_input(
    job: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = {"s3DataDestination": {"path": f"file://{tmp_path}/"}}
    assert main(["validate", "--request", write(tmp_path, {**job, "jobOutput": output})]) == 0
    [note] = json.loads(capsys.readouterr().out)["notes"]
    assert note.startswith(
        f"The input lies in the output folder file://{tmp_path}/. The service asks for another one; here no input is overwritten"
    )


@pytest.mark.s3
def test_validate_leaves_nothing_on_s3(
    s3: str, job: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job["jobOutput"] = {"s3DataDestination": {"path": f"{s3}/out/"}}
    assert main(["validate", "--request", write(tmp_path, job)]) == 0
    assert list(open_store(s3).list("out/")) == []
    job["jobOutput"] = {"s3DataDestination": {"path": "s3://there-is-no-such-bucket/out/"}}
    assert main(["validate", "--request", write(tmp_path, job)]) == 1
    assert "Invalid S3 output path: s3://there-is-no-such-bucket/out/ cannot be written" in capsys.readouterr().err


def test_a_request_is_read_from_stdin(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(job)))
    assert main(["validate", "--request", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"]


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_refusal_names_the_error_and_exits_with_2(
    command: str, job: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--request", write(tmp_path, {**job, "numResults": 0})]) == 2
    assert capsys.readouterr().err.startswith(
        "An error occurred (InvalidInputException): 1 validation error detected: "
    )
    version = str(job["solutionVersionArn"])[:-8] + "ffffffff"
    assert main([command, "--request", write(tmp_path, {**job, "solutionVersionArn": version})]) == 2
    assert capsys.readouterr().err.startswith("An error occurred (ResourceNotFoundException): ")


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "No such file"), ("{", "cannot be read as JSON"), ("[]", "does not contain a JSON object")],
)
def test_a_request_that_is_none_is_refused(
    text: str | None, said: str, catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "request.json"
    if text is not None:
        path.write_text(text)
    assert main(["run", "--request", str(path), "--catalog", catalog.uri]) == 2
    assert said in capsys.readouterr().err


def test_a_request_of_stdin_is_called_so(
    catalog: Catalog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("[]"))
    assert main(["run", "--request", "-", "--catalog", catalog.uri]) == 2
    assert "stdin does not contain a JSON object" in capsys.readouterr().err


def test_messages_show_paths_without_their_detours(
    job: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    detour = f"{tmp_path}/in/.."
    moved = {
        "jobInput": {"s3DataSource": {"path": f"file://{detour}/none"}},
        "jobOutput": {"s3DataDestination": {"path": f"file://{detour}/file/out/"}},
    }
    write(tmp_path, {**job, **moved})
    assert main(["validate", "--request", f"{detour}/request.json"]) == 1
    assert f"no object's name starts with file://{tmp_path}/none." in capsys.readouterr().err
    write(tmp_path, {**job, "jobOutput": moved["jobOutput"]})
    assert main(["validate", "--request", f"file://{detour}/request.json"]) == 1
    assert f"file://{tmp_path}/file/out/ cannot be written" in capsys.readouterr().err
    for command in ("validate", "--request"), ("create-batch-inference-job", "--cli-input-json"):
        assert main([*command, f"{detour}/none.json"]) == 2
        said = f"file://{tmp_path}/none.json cannot be read as JSON: No such file or directory\n"
        assert capsys.readouterr().err.endswith(said)


def test_a_request_may_lie_on_s3(
    s3: str, job: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_to(f"{s3}/requests/job.json", b"\xef\xbb\xbf" + json.dumps(job).encode())  # with a mark of its encoding
    assert main(["validate", "--request", f"{s3}/requests/job.json"]) == 0
    assert main(["validate", "--request", f"{s3.replace('s3:', 's3a:')}/requests/job.json"]) == 0
    capsys.readouterr()
    assert main(["validate", "--request", f"{s3}/requests/none.json"]) == 1
    assert "requests/none.json" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["run"], ["train"]])
def test_the_help_gives_the_exit_codes(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    assert "Exit codes: 0 done, 1 failed, 2 refused, 130 interrupted." in capsys.readouterr().out


def test_without_a_catalog_the_user_is_told_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PERSONALIZE_SPARK_CATALOG", raising=False)
    assert main(["list-batch-inference-jobs"]) == 2
    assert (
        "use --catalog URI, set PERSONALIZE_SPARK_CATALOG, or write it into personalize-spark.toml."
        in capsys.readouterr().err
    )


def test_operations_take_the_aws_clis_arguments(
    catalog: Catalog, job: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = str(create_batch_inference_job(catalog, job).arn)
    assert main(["describe-batch-inference-job", "--batch-inference-job-arn", arn]) == 0
    described = json.loads(capsys.readouterr().out)["batchInferenceJob"]
    assert described["status"] == "CREATE PENDING"
    (tmp_path / "describe.json").write_text(json.dumps({"batchInferenceJobArn": arn}))
    assert main(["describe-batch-inference-job", "--cli-input-json", f"file://{tmp_path}/describe.json"]) == 0
    assert json.loads(capsys.readouterr().out)["batchInferenceJob"] == described
    assert (
        main(
            [
                "list-batch-inference-jobs",
                "--max-results",
                "1",
                "--solution-version-arn",
                described["solutionVersionArn"],
            ]
        )
        == 0
    )
    [listed] = json.loads(capsys.readouterr().out)["batchInferenceJobs"]
    assert listed["batchInferenceJobArn"] == arn


def test_an_import_of_nothing_is_refused(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "--group", "g"]) == 2
    assert "Nothing to import" in capsys.readouterr().err


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "personalize_spark", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.spark
def test_a_run_prints_its_result_and_says_the_rest_aside(job: dict[str, Any], catalog: Catalog, tmp_path: Path) -> None:
    of_spark = ["--conf", f"spark.local.dir={tmp_path}"]  # Spark warns of it
    done = run("run", "--request", write(tmp_path, job), "--catalog", catalog.uri, *of_spark)
    assert done.returncode == 0, done.stderr
    assert " WARN " not in done.stderr
    assert json.loads(done.stdout)["batchInferenceJobArn"].endswith(f"batch-inference-job/{job['jobName']}")
    assert "1 line of 1 file answered" in done.stderr
    assert f"output: file://{tmp_path}/out/" in done.stderr
    failed = run(
        "run",
        "--request",
        write(tmp_path, {**job, "jobName": "other", "jobInput": {"s3DataSource": {"path": f"file://{tmp_path}/none"}}}),
        *of_spark,
        "-v",
    )
    assert failed.returncode == 1
    assert " WARN SparkConf: Note that spark.local.dir" in failed.stderr
    assert "Invalid S3 input path" in failed.stderr


@pytest.mark.slow
def test_a_recipe_that_is_misspelled_is_refused_with_the_one_that_was_meant(catalog: Catalog) -> None:
    train = ("train", "--group", "g", "--recipe", "aws-popular-count", "--solution", "popular")
    refused = run(*train, "--catalog", catalog.uri)
    assert refused.returncode == 2
    assert "aws-popularity-count" in refused.stderr


@pytest.mark.spark
def test_without_java_nothing_is_created_and_the_user_is_told(
    job: dict[str, Any], catalog: Catalog, tmp_path: Path
) -> None:
    done = run("run", "--request", write(tmp_path, job), "--catalog", catalog.uri, JAVA_HOME=str(tmp_path / "none"))
    assert done.returncode == 1
    assert "install Java 17 or 21" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(catalog.list("batch-inference-job")) == []


@pytest.mark.spark
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_in_its_record(
    number: int, job: dict[str, Any], catalog: Catalog, tmp_path: Path
) -> None:
    lines = "".join(f'{{"userId":"u{n}"}}\n' for n in range(400_000))
    (tmp_path / "in" / "more.json").write_text(lines)
    command = [sys.executable, "-m", "personalize_spark", "run", "--request", write(tmp_path, job)]
    process = subprocess.Popen([*command, "--catalog", catalog.uri], stderr=subprocess.PIPE, text=True)
    while not any(each.fields["status"] == "CREATE IN_PROGRESS" for each in catalog.list("batch-inference-job")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "Interrupted." in said
    assert "Traceback" not in said
    [record] = catalog.list("batch-inference-job")
    assert record.fields["status"] == "CREATE FAILED"
    assert record.fields["failureReason"].startswith(
        "The driver was stopped. Continue it with: personalize-spark resume"
    )
    assert not list((tmp_path / "out").glob("*.out"))


@pytest.mark.parametrize("error", [None, DataError("no")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_call_from_python_leaves_its_callers_signal_handlers(
    number: int, error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> None:
        during.append(signal.getsignal(signal.SIGTERM))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as a session that begins does
        if error is not None:
            raise error

    def callers(*_: object) -> None: ...

    during: list[object] = []
    monkeypatch.setattr(config, "_config", work)
    before = signal.signal(number, callers)
    try:
        assert main(["config"]) == (0 if error is None else 1)
        assert signal.getsignal(number) is callers
    finally:
        signal.signal(number, before)
    assert during == [signal.default_int_handler]


def test_validate_checks_what_run_would(job: dict[str, Any], catalog: Catalog, tmp_path: Path) -> None:
    create_batch_inference_job(catalog, job)
    assert main(["validate", "--request", write(tmp_path, job)]) == 2
    assert main(["validate", "--request", write(tmp_path, {**job, "jobName": "other"}), "--limits", "service"]) == 0


def test_arrays_that_nest_without_end_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = '{"jobName":' + "[" * 100_000
    assert main(["validate", "--catalog", str(tmp_path), "--request", asked]) == 2
    said = capsys.readouterr().err
    assert "cannot be read as JSON: maximum recursion depth exceeded" in said
    assert len(said) < 500


@pytest.mark.slow
def test_who_stops_reading_gets_no_traceback() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "personalize_spark", "config"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdout is not None
    program.stdout.close()
    assert program.stderr is not None
    assert (program.stderr.read(), program.wait()) == (b"", 0)
