"""boto3's own client, answered in process; most jobs run on the local engine."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError

import personalize_spark as ps
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.status import Status
from personalize_spark.errors import TaskFailed
from personalize_spark.service import work
from personalize_spark.service.work import Background, Compute, Foreground
from personalize_spark.testing.toy import golden_version, request

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def wait(personalize: Any, arn: str) -> dict[str, Any]:
    """The description of a job that has ended, as boto3 code waits for it."""
    deadline = time.monotonic() + 120
    while True:
        job: dict[str, Any] = personalize.describe_batch_inference_job(batchInferenceJobArn=arn)["batchInferenceJob"]
        if job["status"] in {"ACTIVE", "CREATE FAILED"}:
            return job
        assert job["status"] in {"CREATE PENDING", "CREATE IN_PROGRESS"}
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "in.json").write_text('{"userId":"u1"}\nbroken\n')
    version = golden_version(Catalog(tmp_path / "catalog"))
    return request(version, f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/", numResults=3)


@pytest.fixture
def personalize(tmp_path: Path) -> Any:
    return ps.client(tmp_path / "catalog", engine="local")


@pytest.mark.slow
def test_a_job_goes_from_its_creation_to_its_answers(personalize: Any, asked: dict[str, Any], tmp_path: Path) -> None:
    tags = [{"tagKey": "team", "tagValue": "home"}]
    arn = personalize.create_batch_inference_job(**asked, tags=tags)["batchInferenceJobArn"]
    job = wait(personalize, arn)
    assert job["status"] == "ACTIVE", job
    assert isinstance(job["creationDateTime"], dt.datetime)
    assert {name: job[name] for name in asked} == asked
    assert personalize.list_tags_for_resource(resourceArn=arn)["tags"] == tags
    answers = (tmp_path / "out" / "in.json.out").read_bytes()
    (tmp_path / "out" / "in.json.out").unlink()
    ps.run_batch_inference(ps.Catalog(tmp_path / "catalog"), {**asked, "jobName": "again"}, engine="local")
    assert (tmp_path / "out" / "in.json.out").read_bytes() == answers


@pytest.mark.slow
def test_several_jobs_run_at_once_and_a_failure_says_why(
    personalize: Any, asked: dict[str, Any], tmp_path: Path
) -> None:
    arns = []
    for number in range(3):
        out = {"s3DataDestination": {"path": f"file://{tmp_path}/out{number}/"}}
        params = {**asked, "jobName": f"job-{number}", "jobOutput": out}
        arns.append(personalize.create_batch_inference_job(**params)["batchInferenceJobArn"])
    nothing = {"s3DataSource": {"path": f"file://{tmp_path}/nothing"}}
    arns.append(personalize.create_batch_inference_job(**{**asked, "jobInput": nothing})["batchInferenceJobArn"])
    jobs = [wait(personalize, arn) for arn in arns]
    assert [job["status"] for job in jobs] == ["ACTIVE"] * 3 + ["CREATE FAILED"]
    assert "Invalid S3 input path" in jobs[3]["failureReason"]


def test_errors_are_the_clients_exceptions(personalize: Any, asked: dict[str, Any]) -> None:
    known = personalize.exceptions
    with pytest.raises(known.InvalidInputException, match="numResults"):
        personalize.create_batch_inference_job(**{**asked, "numResults": 0})
    missing = str(asked["solutionVersionArn"])[:-8] + "ffffffff"
    with pytest.raises(known.ResourceNotFoundException) as caught:
        personalize.describe_solution_version(solutionVersionArn=missing)
    assert "reached max retries" not in str(caught.value)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert caught.value.response["ResponseMetadata"]["RequestId"]
    with pytest.raises(ParamValidationError):
        personalize.describe_filter(filter="x")
    with pytest.raises(known.InvalidInputException, match="CreateCampaign is not supported"):
        personalize.create_campaign(name="x", solutionVersionArn=missing)


def test_every_exception_of_the_client_is_raised(
    personalize: Any, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, group = personalize.exceptions, personalize.create_dataset_group(name="shop")["datasetGroupArn"]
    columns = [{"name": name, "type": "string"} for name in ("USER_ID", "ITEM_ID")]
    columns.append({"name": "TIMESTAMP", "type": "long"})
    avro = json.dumps({"type": "record", "name": "Interactions", "fields": columns})
    schema = personalize.create_schema(name="clicks", schema=avro)["schemaArn"]
    personalize.create_dataset(name="c", schemaArn=schema, datasetGroupArn=group, datasetType="Interactions")
    tags = [{"tagKey": f"k{number}", "tagValue": "v"} for number in range(51)]
    monkeypatch.setattr(work, "MAX_UNFINISHED", 0)
    refused: dict[Any, Any] = {
        known.InvalidInputException: lambda: personalize.describe_schema(schemaArn=group),
        known.InvalidNextTokenException: lambda: personalize.list_schemas(nextToken="x"),
        known.LimitExceededException: lambda: personalize.create_batch_inference_job(**asked),
        known.ResourceAlreadyExistsException: lambda: personalize.create_schema(name="clicks", schema=avro),
        known.ResourceInUseException: lambda: personalize.delete_schema(schemaArn=schema),
        known.ResourceNotFoundException: lambda: personalize.describe_schema(schemaArn=f"{schema}s"),
        known.TooManyTagKeysException: lambda: personalize.untag_resource(
            resourceArn=group, tagKeys=[each["tagKey"] for each in tags]
        ),
        known.TooManyTagsException: lambda: personalize.tag_resource(resourceArn=group, tags=tags),
    }
    of_the_service = [name for name in personalize.meta.service_model.shape_names if name.endswith("Exception")]
    assert sorted(each.__name__ for each in refused) == sorted(of_the_service)
    for exception, call in refused.items():
        with pytest.raises(exception):
            call()


def test_paginators_go_through_all_pages(personalize: Any) -> None:
    for number in range(5):
        personalize.create_dataset_group(name=f"group-{number}")
    pages = list(personalize.get_paginator("list_dataset_groups").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["datasetGroups"]) for page in pages] == [2, 2, 1]
    names = [each["name"] for page in pages for each in page["datasetGroups"]]
    assert names == [f"group-{number}" for number in reversed(range(5))]


def test_new_arns_have_the_region_of_the_client(tmp_path: Path) -> None:
    personalize = ps.client(tmp_path, engine="local", region_name="eu-west-1")
    assert personalize.meta.region_name == "eu-west-1"
    arn = personalize.create_dataset_group(name="shop")["datasetGroupArn"]
    assert arn == "arn:aws:personalize:eu-west-1:000000000000:dataset-group/shop"


def test_the_environment_and_other_clients_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "there-is-none")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    personalize = ps.client(tmp_path, engine="local")
    assert personalize.list_schemas()["schemas"] == []
    monkeypatch.delenv("AWS_PROFILE")
    other = boto3.session.Session(region_name="us-east-1").client("personalize")
    assert other.meta.endpoint_url == "http://127.0.0.1:9"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


def pending(catalog: Catalog, name: str = "job") -> Record:
    return catalog.create(catalog.new_arn("batch-inference-job", name), {"status": Status.PENDING})


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Lets the work of a test go on."""
    event = threading.Event()
    yield event
    event.set()


def test_what_waits_for_its_turn_shows_that_it_lives(
    catalog: Catalog, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MAX_RUNNING", 1)
    monkeypatch.setattr("personalize_spark.catalog.lease.BEAT_SECONDS", 0.02)
    background, begun = Background(catalog, Compute("local")), threading.Event()

    def hold(_: Compute) -> None:
        begun.set()
        held.wait()

    background.begin(pending(catalog, "first"), hold)
    assert begun.wait(10)
    second = pending(catalog, "second")
    background.begin(second, lambda _: None)
    first = catalog.read(second.arn).fields["heartbeat"]
    deadline = time.monotonic() + 10
    while (now := catalog.read(second.arn)).fields["heartbeat"] == first:
        assert time.monotonic() < deadline
    assert now.status is Status.PENDING
    held.set()
    background.close(10)


def test_more_work_than_can_wait_is_refused(
    catalog: Catalog, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MAX_UNFINISHED", 1)
    background = Background(catalog, Compute("local"))
    background.check_room()
    background.begin(pending(catalog), lambda _: held.wait())
    with pytest.raises(ps.ServiceError, match="More than 1 resources with PENDING"):
        background.check_room()
    background.close()
    with pytest.raises(ps.ServiceError, match="shutting down"):
        background.check_room()
    held.set()
    background.close(10)


def test_work_that_dies_is_told(catalog: Catalog, caplog: pytest.LogCaptureFixture) -> None:
    background = Background(catalog, Compute("local"))
    record = pending(catalog)
    background.begin(record, lambda _: os.environ["NOTHING"])
    background.close(10)
    now = catalog.read(record.arn)
    assert (now.status, now.fields["failureReason"]) == (Status.FAILED, "KeyError: 'NOTHING'")
    assert "failed" in caplog.text


def test_the_reason_of_what_fails_without_spark_is_a_sentence(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    def train(_: Compute) -> None:
        raise ModuleNotFoundError(name="pyspark")

    background, foreground = Background(catalog, Compute("local")), Foreground(catalog, Compute("local"))
    records = pending(catalog, "behind"), pending(catalog, "before")
    background.begin(records[0], train)
    background.close(10)
    foreground.begin(records[1], train)
    with pytest.raises(ps.PersonalizeSparkError):
        foreground.finish()
    said = "This needs pyspark, which is not installed: pip install 'personalize-spark[spark]'."
    assert [catalog.read(each.arn).fields["failureReason"] for each in records] == [said] * 2
    assert caplog.text == ""


@pytest.mark.slow
def test_at_the_end_of_the_process_what_runs_is_stopped_and_told(asked: dict[str, Any], tmp_path: Path) -> None:
    program = """
import atexit, gc, json, os, pathlib, signal, sys, time
import personalize_spark as ps
from personalize_spark.job.local_executor import LocalExecutor
personalize = ps.client(sys.argv[1], engine="local")
answer = personalize.create_batch_inference_job(**json.loads(sys.argv[2]))
job = {"batchInferenceJobArn": answer["batchInferenceJobArn"]}
print(*job.values())
while not any(pathlib.Path(sys.argv[3]).rglob("tasks/0/*.json")):
    time.sleep(0.01)
[executor] = [each for each in gc.get_objects() if isinstance(each, LocalExecutor)]
os.killpg(executor._foreman.pid, signal.SIGSTOP)  # the tasks never end by themselves
atexit.register(lambda: print(personalize.describe_batch_inference_job(**job)["batchInferenceJob"]["status"]))
"""
    arguments = [sys.executable, "-c", program, str(tmp_path / "catalog"), json.dumps(asked), str(tmp_path / "out")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=300)
    assert done.stderr == ""
    arn, at_the_end = done.stdout.splitlines()
    assert at_the_end == "CREATE FAILED", "Spark's own end, and that of pools, come behind"
    personalize = ps.client(tmp_path / "catalog", engine="local")
    job = personalize.describe_batch_inference_job(batchInferenceJobArn=arn)["batchInferenceJob"]
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"].startswith("The driver was stopped. Continue it with: personalize-spark resume")


def test_jobs_of_one_session_run_at_once_and_leave_it_as_it_is(
    spark: SparkSession, asked: dict[str, Any], tmp_path: Path
) -> None:
    def state() -> dict[str, object]:
        tags = spark.sparkContext.getLocalProperty("spark.job.tags")
        return {**spark.conf.getAll, "tags": tags, "handler": signal.getsignal(signal.SIGINT)}

    spark.range(1).collect()  # the first query of a session completes its settings
    before = state()
    personalize = ps.client(tmp_path / "catalog", engine="spark", spark=spark)
    arns = []
    for number in range(3):
        out = {"s3DataDestination": {"path": f"file://{tmp_path}/out{number}/"}}
        params = {**asked, "jobName": f"job-{number}", "jobOutput": out}
        arns.append(personalize.create_batch_inference_job(**params)["batchInferenceJobArn"])
    assert [wait(personalize, arn)["status"] for arn in arns] == ["ACTIVE"] * 3
    assert len({(tmp_path / f"out{number}" / "in.json.out").read_bytes() for number in range(3)}) == 1
    assert dict(state().items() ^ before.items()) == {}


def test_each_job_of_a_session_has_tasks_of_its_own(
    spark: SparkSession, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personalize_spark.spark._TO_END_SECONDS", 0.1)
    background, other = (Background(catalog, Compute("spark", spark)) for _ in range(2))
    ended: dict[str, object] = {}

    def begin(driver: Background, name: str) -> Record:
        """A job that two of these fill the session with; it ends when there is a file of its name."""
        record, folder = pending(catalog, name), str(tmp_path)

        def held(batches: Any) -> Any:
            Path(folder, f"{name} began").touch()
            while not Path(folder, name).exists():
                time.sleep(0.01)
            yield from batches

        def work(compute: Compute) -> None:
            from personalize_spark.spark import running_tasks

            try:
                with running_tasks(compute.session()):
                    ended[name] = compute.session().range(1).repartition(1).mapInArrow(held, "id long").count()
            except ps.PersonalizeSparkError as error:
                ended[name] = type(error)
                raise

        driver.begin(record, work)
        return record

    def until(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    first, second = begin(background, "first"), begin(other, "second")
    until(lambda: all((tmp_path / f"{name} began").exists() for name in ("first", "second")))  # both at once
    background.close()  # as at the end of the process
    until(lambda: "first" in ended)
    now = catalog.read(first.arn)
    assert (now.status, now.fields["failureReason"][:22]) == (Status.FAILED, "The driver was stopped")
    assert ended == {"first": TaskFailed}
    assert catalog.read(second.arn).status.unfinished
    (tmp_path / "second").touch()
    other.close(120)
    assert ended == {"first": TaskFailed, "second": 1}


def test_an_unknown_error_is_still_a_client_error(personalize: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalize_spark.service.handler.perform", lambda *_: {"a": 1}["unknown"])
    with pytest.raises(ClientError, match="InternalFailure"):
        personalize.list_schemas()
