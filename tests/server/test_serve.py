"""A server process, as users start it; its jobs run on the local engine."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import personalize_spark as ps
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.server.app import MAX_BODY_BYTES
from personalize_spark.testing.toy import golden_version, request
from tests.test_boto3_client import wait

pytestmark = pytest.mark.slow  # processes start and stop

KEYS = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = very secret\n"


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server on a free port and the catalog of a folder; its log goes to `log`."""
    command = [sys.executable, "-m", "personalize_spark", "serve", "--engine", "local", "--port", "0"]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [*command, "--catalog", str(folder / "catalog"), *options], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Listening at "), (folder / "log").read_text()
        yield line.removeprefix("Listening at ").strip(), process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def connect(
    url: str, key: str = "AKIAEXAMPLE", secret: str = "very secret", service: str = "personalize", **more: Any
) -> Any:
    new: Any = boto3.session.Session().client
    return new(
        service,
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
        **more,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    (folder / "keys").write_text(KEYS)
    (folder / "in.json").write_text('{"userId":"u1"}\nbroken\n')
    return folder


@pytest.fixture(scope="module")
def version(folder: Path) -> Any:
    return golden_version(Catalog(folder / "catalog"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """A server that asks for signatures."""
    with serving(folder, "--access-keys", str(folder / "keys")) as (url, _):
        yield url


def test_a_job_goes_from_its_creation_to_its_answers(server: str, version: Any, folder: Path) -> None:
    personalize = connect(server)
    asked = request(version, f"file://{folder}/in.json", f"file://{folder}/out/", numResults=3)
    job = wait(personalize, personalize.create_batch_inference_job(**asked)["batchInferenceJobArn"])
    assert job["status"] == "ACTIVE", job
    assert len((folder / "out" / "in.json.out").read_text().splitlines()) == 2
    with pytest.raises(personalize.exceptions.ResourceAlreadyExistsException):
        personalize.create_batch_inference_job(**asked)


def test_boto3_sends_what_its_model_has_not(server: str, version: Any, folder: Path) -> None:
    def beyond(params: dict[str, Any], **_: object) -> None:
        """As docs/extensions.md has it."""
        body = json.loads(params["body"])
        body.setdefault("batchInferenceJobConfig", {})["personalizeSpark"] = {"lineKeys": ["denyList"]}
        params["body"] = json.dumps(body).encode()

    (folder / "denied.json").write_text('{"userId":"u1","denyList":["a"]}\n')
    for client in (connect(server), ps.client(folder / "catalog", engine="local")):
        client.meta.events.register("before-call.personalize.CreateBatchInferenceJob", beyond)
        asked = request(version, f"file://{folder}/denied.json", f"file://{folder}/denied/", numResults=1)
        job = wait(client, client.create_batch_inference_job(**asked)["batchInferenceJobArn"])
        assert job["status"] == "ACTIVE", job
        answer = json.loads((folder / "denied" / "denied.json.out").read_bytes())
        assert answer["output"]["recommendedItems"] == ["b"]


def test_the_services_with_paths_are_served(server: str, version: Any, folder: Path) -> None:
    runtime = connect(server, service="personalize-runtime")
    answer = runtime.get_recommendations(campaignArn=str(version), userId="u1", numResults=1)
    assert [each["itemId"] for each in answer["itemList"]] == ["a"]
    with pytest.raises(runtime.exceptions.InvalidInputException, match="use GetRecommendations"):
        runtime.get_personalized_ranking(campaignArn=str(version), userId="u1", inputList=["a"])
    with pytest.raises(ClientError) as error:
        connect(server, "AKIAEXAMPLE", "wrong", "personalize-runtime").get_recommendations(campaignArn=str(version))
    assert error.value.response["Error"]["Code"] == "InvalidSignatureException"
    events = connect(server, service="personalize-events")
    asked = {"eventType": "click", "itemId": "a", "sentAt": 1_700_000_000}
    with pytest.raises(events.exceptions.InvalidInputException, match="no event tracker"):
        events.put_events(trackingId="none", userId="u1", sessionId="s", eventList=[asked])
    log = (folder / "log").read_text()
    assert '"operation": "GetRecommendations"' in log
    assert '"operation": "PutEvents"' in log


@pytest.mark.parametrize(
    ("key", "secret", "code"),
    [
        ("AKIAEXAMPLE", "wrong", "InvalidSignatureException"),
        ("NOBODY", "very secret", "UnrecognizedClientException"),
    ],
)
def test_a_wrong_key_is_refused(server: str, key: str, secret: str, code: str) -> None:
    with pytest.raises(ClientError) as error:
        connect(server, key, secret).list_schemas()
    assert error.value.response["Error"]["Code"] == code
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def ask(
    url: str, method: str = "POST", path: str = "/", body: bytes = b"", **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_health_needs_no_signature(server: str) -> None:
    assert ask(server, "GET", "/health") == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/", 403, "MissingAuthenticationTokenException"),
        ("GET", "/", 400, "UnknownOperationException"),
        ("OPTIONS", "/", 400, "UnknownOperationException"),
        ("POST", "/records/", 400, "UnknownOperationException"),
        ("POST", "/?a=b", 400, "UnknownOperationException"),
        ("GET", "/../etc/passwd", 400, "UnknownOperationException"),
    ],
)
def test_what_is_no_request_gets_the_services_body(server: str, method: str, path: str, status: int, code: str) -> None:
    got, answer = ask(server, method, path, X_Amz_Target="AmazonPersonalize.ListSchemas")
    assert (got, answer["__type"]) == (status, code)


def test_a_body_that_is_too_large_is_refused(server: str) -> None:
    assert ask(server, body=b"x" * (MAX_BODY_BYTES + 1))[1]["__type"] == "RequestEntityTooLargeException"


def test_many_connections_are_answered_or_throttled(server: str) -> None:
    host, _, port = server.removeprefix("http://").partition(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(200)]
    for each in idle[:100]:  # more than may ask at once; their bodies never come
        each.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(server)[1]["__type"], range(16)))
    assert set(answers) <= {"ThrottlingException", "MissingAuthenticationTokenException"}
    assert ask(server, "GET", "/health")[0] == 200
    for each in idle:
        each.close()


def test_the_log_has_a_line_of_json_for_each_request_and_no_secret(server: str, folder: Path) -> None:
    connect(server).list_recipes()
    text = (folder / "log").read_text()
    entries = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    [entry] = [each for each in entries if each["operation"] == "ListRecipes"]
    assert (entry["status"], entry["accessKeyId"], entry["client"]) == (200, "AKIAEXAMPLE", "127.0.0.1")
    assert "very secret" not in text
    assert "Signature=" not in text
    assert "Traceback" not in text


def test_on_this_machine_no_signature_is_needed_but_by_its_name(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, process):
        assert connect(url, "any", "key").list_schemas()["schemas"] == []
        status, answer = ask(url, body=b"{}", Host="rebound.example", X_Amz_Target="AmazonPersonalize.ListSchemas")
        assert (status, answer["__type"]) == (403, "AccessDeniedException")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_other_machines_need_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "0.0.0.0", "--catalog", str(tmp_path)]) == 2  # noqa: S104
    assert "give --access-keys FILE" in capsys.readouterr().err


def test_clients_of_other_machines_learn_and_name_no_files(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEYS)
    asked = request(golden_version(Catalog(tmp_path / "catalog")), "file:///etc/passwd", "s3://acme/out/")
    with serving(tmp_path, "--host", "0.0.0.0", "--access-keys", str(tmp_path / "keys")) as (url, _):  # noqa: S104
        personalize = connect(url.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
        with pytest.raises(personalize.exceptions.InvalidInputException, match="file:/// paths are for clients"):
            personalize.create_batch_inference_job(**asked)
        with pytest.raises(personalize.exceptions.ResourceNotFoundException) as error:
            personalize.describe_schema(schemaArn="arn:aws:personalize:us-east-1:000000000000:schema/x")
        assert str(tmp_path) not in str(error.value)


def test_a_server_that_stops_tells_what_it_did_not_finish(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"userId":"u1"}\n' * 400_000)
    catalog = Catalog(tmp_path / "catalog")
    asked = request(golden_version(catalog), f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/")
    with serving(tmp_path, "--grace", "0") as (url, process):
        connect(url).create_batch_inference_job(**asked)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    [job] = catalog.list("batch-inference-job")
    assert job.status == "CREATE FAILED"
    assert job.fields["failureReason"].startswith("The driver was stopped. Continue it with: ")


def test_tls_by_given_files(tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([*made, *names], check=True, capture_output=True)
    with serving(tmp_path, "--certfile", certificate, "--keyfile", key) as (url, _):
        assert url.startswith("https://")
        assert connect(url, verify=certificate).list_schemas()["schemas"] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--keyfile", "key.pem"], "needs the certificate of the key"),
        (["--certfile", "none.pem"], "none.pem: no certificate of TLS with its private key"),
        (["--certfile", "key.pem", "--keyfile", "key.pem"], "key.pem and key.pem: no certificate"),
        (["--port", "65536"], "65536 is no port"),
    ],
)
def test_what_cannot_be_served_with_is_said(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("key.pem").write_text("no key")
    assert main(["serve", "--engine", "local", "--catalog", str(tmp_path), *options]) in {1, 2}
    assert said in capsys.readouterr().err


def test_an_address_is_tried_before_a_session_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("personalize_spark.service.work.Compute.session", lambda _: pytest.fail("it starts a session"))
    assert main(["serve", "--engine", "spark", "--catalog", str(tmp_path), "--port", "65536"]) == 2
    assert "65536 is no port" in capsys.readouterr().err


def test_an_address_that_is_taken_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--engine", "local", "--port", port, "--catalog", str(tmp_path)]) == 1
    assert re.search(rf"127.0.0.1:{port} cannot be listened at: Address already in use", capsys.readouterr().err)


def test_two_servers_never_run_a_job_twice(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"userId":"u1"}\n' * 3)
    asked = request(golden_version(Catalog(tmp_path / "catalog")), f"file://{tmp_path}/in.json", "")
    names = ["one", "two"]

    def create(url: str, name: str) -> str | None:
        personalize = connect(url)
        place = {"s3DataDestination": {"path": f"file://{tmp_path}/out/{name}/"}}
        try:
            job = personalize.create_batch_inference_job(**asked | {"jobName": name, "jobOutput": place})
        except personalize.exceptions.ResourceAlreadyExistsException:
            return None
        return str(job["batchInferenceJobArn"])

    with serving(tmp_path) as (one, _), serving(tmp_path) as (other, _), ThreadPoolExecutor(4) as pool:
        created = [arn for arn in pool.map(create, [one, other] * 2, sorted(names * 2)) if arn]
        assert sorted(arn.rpartition("/")[2] for arn in created) == names
        # each server tells of the other's jobs
        assert {wait(connect(url), arn)["status"] for url in (one, other) for arn in created} == {"ACTIVE"}
    assert [len((tmp_path / "out" / name / "in.json.out").read_text().splitlines()) for name in names] == [3] * 2
    finished = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    codes = [each["error"] for each in finished if each["operation"] == "CreateBatchInferenceJob"]
    assert sorted(codes, key=str) == [None] * 2 + ["ResourceAlreadyExistsException"] * 2
