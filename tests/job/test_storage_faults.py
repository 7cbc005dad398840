"""Whole jobs on a storage that refuses, expires or is away: each ends, and says in one sentence what, where and what to do."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from personalize_spark import api
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.job.job import KIND
from personalize_spark.storage.location import open_store
from personalize_spark.storage.s3 import forget_clients
from personalize_spark.testing.toy import golden_version, request
from tests.servers import Asked, harmful, short_lived

pytestmark = pytest.mark.s3

LINES = 3_000
ROLE_SECONDS = float(os.environ.get("ROLE_SECONDS", "60"))
"""As long live the keys of a role: so short that boto3 renews them before each request."""
Choose = Callable[[Asked], str | None]


@contextmanager
def through(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let all requests go to this server."""
    with monkeypatch.context() as other:
        other.setenv("AWS_ENDPOINT_URL", url)
        forget_clients()
        yield
    forget_clients()


def ask(catalog: Catalog, root: str, source: str | None = None) -> dict[str, Any]:
    open_store(root).write("in/users.json", b'{"userId":"u1"}\n' * LINES)
    return request(golden_version(catalog), source or f"{root}/in/", f"{root}/out/", numResults=3, jobName="job")


def is_list(asked: Asked) -> bool:
    return asked.method == "GET" and "list-type=2" in asked.path


def is_get(asked: Asked) -> bool:
    return asked.method == "GET" and "/in/users.json" in asked.path


def is_put(asked: Asked) -> bool:
    return asked.method == "PUT"


def always(_: Asked) -> bool:
    return True


NO_KEY = "AccessDenied=not_authorized_to_perform:_kms:GenerateDataKey_on_resource:_arn:aws:kms:us-east-1:1:key/k"
ELSEWHERE = "AuthorizationHeaderMalformed=the_region_'us-east-1'_is_wrong;_expecting_'eu-west-1'"
REFUSED = {
    "list": (is_list, "403 AccessDenied", r"lacks the permission s3:ListBucket on s3://BUCKET/in/.* Add it to the pol"),
    "get": (
        is_get,
        "403 AccessDenied",
        r"lacks the permission s3:GetObject on s3://BUCKET/in/users\.json .* Add it to",
    ),
    "put": (is_put, "403 AccessDenied", r"Invalid S3 output path: .* lacks the permission s3:PutObject on s3://BUCKET"),
    "key": (
        is_put,
        f"403 {NO_KEY}",
        r"may not use the key arn:aws:kms:us-east-1:1:key/k for s3://BUCKET/.*grant kms:Gen",
    ),
    "region": (
        always,
        f"400 {ELSEWHERE}",
        r"The bucket of s3://BUCKET/.* lies in another region .*: set AWS_REGION to eu-west-1",
    ),
    "expired": (
        always,
        "400 ExpiredToken",
        r"The credentials for s3://BUCKET/.* have expired .*: renew them, then run",
    ),
    "unknown": (
        always,
        "403 InvalidAccessKeyId",
        r"The access key is not accepted for s3://BUCKET/.*check AWS_ACCESS_KEY",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_fails_the_job_with_bucket_action_and_remedy(
    case: str, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    concerned, harm, said = REFUSED[case]
    catalog = Catalog(tmp_path / "catalog")
    asked = ask(catalog, s3)
    url = harmful(os.environ["AWS_ENDPOINT_URL"], lambda each: harm if concerned(each) else None)
    with url as place, through(place, monkeypatch):
        failed(catalog, asked, said.replace("BUCKET", s3.removeprefix("s3://")), capfd)


def failed(catalog: Catalog, asked: dict[str, Any], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Run a job that ends as CREATE FAILED for this reason, without a traceback."""
    code = main(["run", "--engine", "local", "--catalog", catalog.uri, "--request", json.dumps(asked)])
    out = capfd.readouterr()
    assert code == 1, out.err
    assert "Traceback" not in out.err
    [record] = catalog.list(KIND)
    assert record.fields["status"] == "CREATE FAILED"
    assert re.search(said, record.fields["failureReason"]), record.fields["failureReason"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("s3://there-is-no-such-bucket/in/", r"The bucket of s3://there-is-no-such-bucket/in/ does not exist\."),
        ("BUCKET/nothing/", r"Invalid S3 input path: no object's name starts with .*nothing/"),
    ],
)
def test_what_is_not_there_is_named(
    source: str, said: str, s3: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    catalog = Catalog(tmp_path / "catalog")
    failed(catalog, ask(catalog, s3, source.replace("BUCKET", s3)), said, capfd)


def test_credentials_that_expire_in_the_middle_are_told(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    catalog, begun = Catalog(tmp_path / "catalog"), list[str]()
    asked = ask(catalog, s3)

    def expire(each: Asked) -> str | None:
        if "/pieces/" in each.path and each.method == "PUT":
            begun.append(each.path)
        return "400 ExpiredToken" if begun else None

    with harmful(os.environ["AWS_ENDPOINT_URL"], expire) as url, through(url, monkeypatch):
        failed(catalog, asked, "The credentials for s3://.* have expired .*: renew them", capfd)
    assert begun


def test_a_role_that_may_not_delete_is_a_note(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(tmp_path / "catalog")
    asked = ask(catalog, s3)

    def refuse(each: Asked) -> str | None:
        return "403 AccessDenied" if each.method == "POST" and "delete" in each.path else None

    with harmful(os.environ["AWS_ENDPOINT_URL"], refuse) as url, through(url, monkeypatch):
        told = api.run_batch_inference(catalog, asked, engine="local")
    assert told.lines == LINES
    [note] = [each for each in told.notes if "could not be removed" in each]
    assert "lacks the permission s3:DeleteObject on s3://" in note


def test_an_output_whose_last_answer_is_always_lost_is_there(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def lose(each: Asked) -> str | None:
        completes = each.method == "POST" and "uploadId=" in each.path
        lost.extend([each.path] * completes)
        return "lost" if completes else None

    store = open_store(s3)
    asked = ask(Catalog(tmp_path / "catalog"), s3)
    store.write("in/users.json", b'{"userId":"u1"}\n' * 60_000)  # an output of more than one part
    with harmful(os.environ["AWS_ENDPOINT_URL"], lose) as url, through(url, monkeypatch):
        told = api.run_batch_inference(tmp_path / "catalog", asked, engine="local")
    assert (told.lines, told.storage_retries) == (60_000, 0)
    assert len(lost) == 1
    assert store.read("out/users.json.out").count(b"\n") == 60_000


def test_every_worker_renews_the_keys_of_a_role(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(tmp_path / "catalog")
    asked = ask(catalog, s3)
    with short_lived(os.environ["AWS_ENDPOINT_URL"], ROLE_SECONDS) as (url, tokens), through(url, monkeypatch):
        told = api.run_batch_inference(catalog, asked, engine="local", assume_role=True)
    assert (told.lines, told.errors) == (LINES, {})
    assert len(tokens) == len(set(tokens)) > 3  # the driver's, and more than one of a worker's


def test_a_storage_that_does_not_answer_is_asked_again_at_every_stage(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(tmp_path / "catalog")
    asked = ask(catalog, s3)
    waiting = ["/in/", "/plan.json", "/_CHECK", "/splits.json", "/pieces/", "/manifests/", "/out/users.json.out"]

    def choose(each: Asked) -> str | None:
        met = next((stage for stage in waiting if stage in each.path), None)
        if met is None:
            return None
        waiting.remove(met)
        return "silent" if len(waiting) % 2 else "drip"

    monkeypatch.setenv("PERSONALIZE_SPARK_REQUEST_DEADLINE", "1")
    with harmful(os.environ["AWS_ENDPOINT_URL"], choose) as url, through(url, monkeypatch):
        told = api.run_batch_inference(catalog, asked, engine="local")
    assert waiting == []
    assert (told.lines, told.errors) == (LINES, {})
    assert open_store(s3).read("out/users.json.out").count(b"\n") == LINES
    assert told.storage_retries >= 6


def test_a_list_that_is_late_costs_only_time(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was just written is not shown for a while."""
    catalog, late = Catalog(tmp_path / "catalog"), list[str]()
    asked = ask(catalog, s3)

    def choose(each: Asked) -> str | None:
        if "manifests" in each.path and is_list(each):
            late.append("stale")
            return "stale" if 1 < len(late) < 5 else None
        return None

    with harmful(os.environ["AWS_ENDPOINT_URL"], choose) as url, through(url, monkeypatch):
        told = api.run_batch_inference(catalog, asked, engine="local")
    assert len(late) >= 5
    assert (told.lines, told.errors, told.retried) == (LINES, {}, 0)


def test_a_list_that_shows_what_is_deleted_fails_by_its_name(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    catalog, store, deleted = Catalog(tmp_path / "catalog"), open_store(s3), list[str]()
    asked = ask(catalog, s3)
    store.write("in/gone.json", b'{"userId":"u1"}\n')

    def choose(each: Asked) -> str | None:
        return "stale" if deleted and is_list(each) and "prefix=in%2F" in each.path else None

    with harmful(os.environ["AWS_ENDPOINT_URL"], choose) as url, through(url, monkeypatch):
        deleted += [each.name for each in store.list("in/")]
        store.delete("in/gone.json")
        failed(catalog, asked, r"s3://.*/in/gone\.json does not exist", capfd)
    assert open_store(s3).read("out/users.json.out").count(b"\n") == LINES


def outage(seconds: float) -> tuple[Choose, list[float]]:
    """From the first piece on nothing gets through for so long; when that began."""
    began = list[float]()

    def harm(each: Asked) -> str | None:
        if not began and "/pieces/" in each.path:
            began.append(time.monotonic())
        return "reset" if began and time.monotonic() < began[0] + seconds else None

    return harm, began


@pytest.mark.parametrize("seconds", [float(os.environ.get("OUTAGE_SECONDS", "1.5"))])
def test_an_outage_costs_only_time(seconds: float, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(tmp_path / "catalog")
    asked = ask(catalog, s3)
    whole = api.run_batch_inference(catalog, {**asked, "jobName": "whole"}, engine="local")
    answers = open_store(s3).read("out/users.json.out")
    open_store(s3).delete("out/")
    harm, began = outage(seconds)
    with harmful(os.environ["AWS_ENDPOINT_URL"], harm) as url, through(url, monkeypatch):
        told = api.run_batch_inference(catalog, asked, engine="local")
    assert began
    assert open_store(s3).read("out/users.json.out") == answers
    assert told.lines == whole.lines == LINES
    assert told.storage_retries > 0
    print(f"{told.storage_retries} requests made again, {told.seconds:.1f} s instead of {whole.seconds:.1f} s")
