"""What only S3 knows: copies, keys, roles, permissions, pages, buckets; on a real S3 server."""

from __future__ import annotations

import io
import json
import os
import random
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import boto3
import pytest

from personalize_spark.errors import (
    AccessDenied,
    BucketNotFound,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageError,
)
from personalize_spark.storage import s3 as s3_module
from personalize_spark.storage import s3_requests
from personalize_spark.storage.location import open_store
from personalize_spark.storage.s3 import MIN_PART, forget_clients
from personalize_spark.storage.store import RETRIES, Access, Object, Store
from tests.servers import free_port, unreliable

Breaking = Callable[[Sequence[tuple[str, str]]], Store]


@pytest.fixture
def denied(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on a server that asks who may do what, for a caller who may do nothing."""
    iam = boto3.client("iam")
    iam.create_user(UserName="caller")
    key = iam.create_access_key(UserName="caller")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    forget_clients()
    before = _actions_without_asking("0")
    yield s3
    _actions_without_asking(before)
    monkeypatch.undo()
    forget_clients()
    iam.delete_access_key(UserName="caller", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="caller")


def _actions_without_asking(count: str) -> str:
    """Tell the server after how many actions it asks for permissions; returns what held before."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    order = urllib.request.Request(url, count.encode(), {"Content-Type": "text/plain"})  # noqa: S310
    with urllib.request.urlopen(order) as answer:  # noqa: S310
        return str(json.load(answer)["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"])


def test_s3_copies_what_is_large_and_sends_what_is_small(s3: str) -> None:
    store = open_store(s3)
    for number, size in enumerate([MIN_PART * 2, 10, 20, MIN_PART + 30]):
        store.write(f"p/{number}", b"x" * size)
    parts = list(s3_module._parts(list(store.list("p/"))))
    assert [s3_module._is_copy(part) for part in parts] == [True, False, False]
    assert [sum(end - start for _, start, end in part) for part in parts] == [MIN_PART * 2, MIN_PART, 60]
    huge = [Object("h", s3_module.MAX_COPY * 2 + 1, "e")]
    assert [[end - start for _, start, end in part] for part in s3_module._parts(huge)] == [
        [s3_module.MAX_COPY]
    ] * 2 + [[1]]


def test_large_pieces_never_pass_through_here(s3: str) -> None:
    store = open_store(s3)
    for number, size in enumerate([MIN_PART * 2, 10, 20, MIN_PART + 30]):
        store.write(f"p/{number}", b"x" * size)
    forget_clients()
    called: dict[str, list[dict[str, str]]] = {"GetObject": [], "UploadPart": [], "UploadPartCopy": []}
    for action, calls in called.items():
        s3_module._client(None).meta.events.register(
            f"before-call.s3.{action}", lambda params, calls=calls, **_: calls.append(dict(params["headers"]))
        )
    pieces = list(store.list("p/"))
    store.compose("whole", store, pieces)
    assert {action: len(calls) for action, calls in called.items()} == {
        "GetObject": 4,  # 10, 20, the beginning of the last piece, and its end
        "UploadPart": 2,
        "UploadPartCopy": 1,
    }
    [headers] = called["UploadPartCopy"]
    assert headers["x-amz-copy-source-range"] == f"bytes=0-{MIN_PART * 2 - 1}"
    assert headers["x-amz-copy-source-if-match"] == pieces[0].etag


@pytest.mark.parametrize("action", ["write", "upload", "create", "replace", "compose small", "compose large"])
def test_whatever_is_written_is_encrypted_with_the_key(s3: str, action: str) -> None:
    key = "arn:aws:kms:us-east-1:111122223333:key/0f0f"
    store, plain = open_store(s3, Access(kms_key_arn=key)), open_store(s3)
    plain.write("p", b"x" * (MIN_PART if action == "compose large" else 5))
    writes: dict[str, Callable[[], object]] = {
        "write": lambda: store.write("a", b"x"),
        "upload": lambda: store.upload("a", io.BytesIO(b"x")),
        "create": lambda: store.create("a", b"x"),
        "replace": lambda: store.replace("a", b"x", plain.create("a", b"before")),
        "compose small": lambda: store.compose("a", plain, list(plain.list("p"))),
        "compose large": lambda: store.compose("a", plain, list(plain.list("p"))),
    }
    writes[action]()
    head = boto3.client("s3").head_object(Bucket=s3.removeprefix("s3://"), Key="a")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_many_objects_are_listed_and_deleted_page_by_page(s3: str) -> None:
    store = open_store(s3)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.write(f"a/{number:04d}", b""), range(1_001)))
    assert [found.name for found in store.list("a/")] == [f"a/{number:04d}" for number in range(1_001)]
    store.delete("a/")
    assert list(store.list()) == []


def test_a_missing_bucket_is_said(s3: str) -> None:
    store = open_store("s3://no-such-bucket-here")
    actions: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: list(store.list("a")),
        lambda: store.create("a", b""),
    ]
    for action in actions:
        with pytest.raises(BucketNotFound, match="The bucket of s3://no-such-bucket-here/a does not exist"):
            action()


def test_who_may_not_is_told_what_to_allow(denied: str) -> None:
    store = open_store(denied)
    actions: list[tuple[str, Callable[[], object]]] = [
        ("s3:GetObject", lambda: store.read("a")),
        ("s3:GetObject", lambda: store.load("a")),
        ("s3:ListBucket", lambda: list(store.list("a"))),
        ("s3:PutObject", lambda: store.write("a", b"")),
        ("s3:PutObject", lambda: store.upload("a", io.BytesIO(b"x"))),
        ("s3:PutObject", lambda: store.create("a", b"")),
        ("s3:PutObject", lambda: store.replace("a", b"", '"version"')),
    ]
    for permission, action in actions:
        with pytest.raises(AccessDenied, match=f"The identity in use lacks the permission {permission} on {denied}/a "):
            action()


def test_a_role_that_may_not_be_assumed_is_said_with_the_remedy(denied: str) -> None:
    access = Access(role_arn="arn:aws:iam::111122223333:role/PersonalizeBatch")
    with pytest.raises(AccessDenied, match=r"role/PersonalizeBatch could not be assumed \(AccessDenied\)\. Its trust"):
        open_store(denied, access).read("a")


def test_a_role_needs_somebody_to_assume_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    forget_clients()
    with pytest.raises(AccessDenied, match="this host has no AWS credentials of its own"):
        open_store("s3://bucket", Access(role_arn="arn:aws:iam::111122223333:role/PersonalizeBatch")).read("a")
    with pytest.raises(StorageError, match="s3://bucket/a: Unable to locate credentials"):
        open_store("s3://bucket").read("a")
    forget_clients()


def test_a_role_is_assumed_and_may_write(s3: str) -> None:
    access = Access(role_arn="arn:aws:iam::111122223333:role/PersonalizeBatch")
    open_store(s3, access).write("a", b"by the role")
    assert open_store(s3).read("a") == b"by the role"
    assert s3_module._client(access.role_arn).meta is not s3_module._client(None).meta


def test_a_folder_marker_is_no_object(s3: str) -> None:
    boto3.client("s3").put_object(Bucket=s3.removeprefix("s3://"), Key="in/")
    open_store(s3).write("in/a", b"")
    assert [found.name for found in open_store(s3).list()] == ["in/a"]


def test_clients_are_made_once() -> None:
    forget_clients()
    with ThreadPoolExecutor(4) as pool:
        assert len({id(client) for client in pool.map(lambda _: s3_module._client(None), range(8))}) == 1


@pytest.fixture
def breaking(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Breaking]:
    """The store of a bucket behind a server that breaks answers."""
    with ExitStack() as stack:

        def store(harms: Sequence[tuple[str, str]]) -> Store:
            url = stack.enter_context(unreliable(os.environ["AWS_ENDPOINT_URL"], harms))
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            forget_clients()
            return open_store(s3)

        yield store
        monkeypatch.undo()
        forget_clients()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between tries, and not many of them."""
    monkeypatch.setattr(s3_requests, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(s3_requests, "_FIRST_PAUSE", 0.01)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "harm", ["cut", "short", "lost", "reset", "503 SlowDown", "500 InternalError", "409 OperationAborted"]
)
def test_what_passes_is_asked_for_again(breaking: Breaking, s3: str, harm: str) -> None:
    etag = open_store(s3).write("a", b"0123456789")
    store = breaking([("GET", harm)] * 5)
    assert store.read("a", 1, 9, etag) == b"12345678"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("harm", ["silent", "drip"])
def test_an_answer_that_does_not_come_in_time_is_asked_for_again(
    breaking: Breaking, s3: str, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    etag = open_store(s3).write("a", b"0123456789")
    store = breaking([("GET", harm), ("PUT", harm), ("GET", harm)])
    monkeypatch.setenv("PERSONALIZE_SPARK_REQUEST_DEADLINE", "1")
    before = RETRIES.count
    assert store.read("a", 1, 9, etag) == b"12345678"
    assert store.create("b", b"ours")
    assert [found.name for found in store.list()] == ["a", "b"]
    assert RETRIES.count >= before + 3


@pytest.mark.usefixtures("hasty")
def test_a_storage_that_never_answers_is_an_error_in_the_end(
    breaking: Breaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = breaking([("GET", "drip")])
    monkeypatch.setattr(s3_requests, "PATIENCE", 0)
    monkeypatch.setenv("PERSONALIZE_SPARK_REQUEST_DEADLINE", "1")
    with pytest.raises(StorageError, match=r"/a within 1 s \(PERSONALIZE_SPARK_REQUEST_DEADLINE\)"):
        store.read("a")


def test_requests_are_made_while_a_process_ends(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(s3)
    store.write("a", b"ours")

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")  # as Python 3.12 says

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert store.read("a") == b"ours"
    with pytest.raises(ObjectNotFound):
        store.read("b")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("harm", ["cut", "503 SlowDown"])
def test_what_does_not_pass_is_an_error_in_the_end(
    breaking: Breaking, s3: str, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_requests, "PATIENCE", 0)
    open_store(s3).write("a", b"0123456789")
    store = breaking([("GET", harm)])
    with pytest.raises(StorageError, match="/a: "):
        store.read("a")


@pytest.mark.usefixtures("hasty")
def test_an_outage_is_said(
    breaking: Breaking, s3: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(s3_requests, "_SAID_AFTER", 0)
    open_store(s3).write("a", b"0123456789")
    assert breaking([("GET", "reset")] * 3).read("a") == b"0123456789"
    [said] = [record.getMessage() for record in caplog.records if record.name == s3_requests.__name__]
    assert said.startswith(f"{s3}/a: ")
    assert said.endswith(" It is tried again for 180 seconds.")


SAID = {
    "400 ExpiredToken": r"The credentials for s3://.*/a have expired \(ExpiredToken\): renew them",
    "403 RequestTimeTooSkewed": "the clock of this host differs from that of AWS by more than 15 minutes",
    "403 SignatureDoesNotMatch": r"access key is not accepted for s3://.*/a \(SignatureDoesNotMatch\): check AWS_ACCESS_KEY_ID",
    "400 AuthorizationHeaderMalformed=the_region_'us-east-1'_is_wrong;_expecting_'eu-west-3'": "set AWS_REGION to eu-west-3",
    "403 AccessDenied=not_authorized_to_perform:_kms:GenerateDataKey_on_resource:_arn:aws:kms:eu-west-3:111122223333:key/0f0f": (
        r"may not use the key arn:aws:kms:eu-west-3:111122223333:key/0f0f for s3://.*/a \(AccessDenied\): grant kms:GenerateDataKey"
    ),
    "400 KMS.DisabledException": "may not use the key of the bucket for .*The key must be enabled",
    "403 AccessDenied": "lacks the permission s3:GetObject on s3://.*/a ",
}


class Incapable(BaseHTTPRequestHandler):
    """Knows nothing, and counts what it is asked."""

    asked = 0

    def do_GET(self) -> None:
        Incapable.asked += 1
        self.send_error(501)


def test_what_a_server_cannot_do_is_told_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", free_port()), Incapable) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        forget_clients()
        with pytest.raises(
            StorageError, match=r"s3:GetObject asks for .*AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
        ):
            open_store("s3://bucket").read("a")
        server.shutdown()
    forget_clients()
    assert Incapable.asked == 1


@pytest.mark.parametrize("harm", SAID)
def test_a_refusal_is_told_with_its_remedy(breaking: Breaking, harm: str) -> None:
    with pytest.raises(AccessDenied, match=SAID[harm]):
        breaking([("GET", harm)]).read("a")


def large(store: Store) -> list[Object]:
    """Pieces that S3 copies."""
    for number in range(2):
        store.write(f"p/{number}", b"x" * MIN_PART)
    return list(store.list("p/"))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("harm", ["lost", "503 SlowDown after", "200 InternalError after"])
@pytest.mark.parametrize("action", ["compose", "upload"])
def test_a_lost_answer_to_the_last_request_of_an_upload_is_no_failure(
    breaking: Breaking, s3: str, harm: str, action: str
) -> None:
    pieces, data = large(open_store(s3)), random.Random(0).randbytes(9 << 20)
    store = breaking([("POST", "none"), ("POST", harm)])  # to create, to complete
    if action == "upload":
        etag = store.upload("a", io.BytesIO(data))
        assert store.read("a", etag=etag) == data
    else:
        store.compose("a", store, pieces)
        assert store.read("a") == b"x" * (2 * MIN_PART)
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket=s3.removeprefix("s3://"))


@pytest.mark.usefixtures("hasty")
def test_an_upload_that_fails_and_stays_is_said(breaking: Breaking, s3: str) -> None:
    pieces = large(open_store(s3))
    store = breaking([("POST", "none"), ("POST", "403 AccessDenied"), ("DELETE", "403 AccessDenied")])
    with pytest.raises(
        AccessDenied,
        match=r"s3:PutObject on .*/a .* Its unfinished upload \S+ could not be removed.*s3:AbortMultipartUpload",
    ):
        store.compose("a", store, pieces)


@pytest.mark.usefixtures("hasty")
def test_a_part_that_is_refused_for_a_while_is_sent_again(breaking: Breaking, s3: str) -> None:
    data = random.Random(0).randbytes(9 << 20)
    store = breaking([("PUT", "503 SlowDown"), ("PUT", "lost"), ("PUT", "500 InternalError after")])
    store.upload("a", io.BytesIO(data))
    assert store.read("a") == data


@pytest.mark.usefixtures("hasty")
def test_a_deletion_or_a_listing_that_fails_for_a_while_is_made_again(breaking: Breaking, s3: str) -> None:
    open_store(s3).write("a", b"")
    store = breaking([("GET", "503 SlowDown"), ("GET", "short"), ("POST", "500 InternalError"), ("POST", "lost")])
    store.delete("a")
    assert list(store.list()) == []


@pytest.mark.usefixtures("hasty")
def test_a_lost_answer_is_not_taken_for_somebody_else(breaking: Breaking) -> None:
    store = breaking([("PUT", "lost"), ("PUT", "lost")])
    first = store.create("a", b"one")
    second = store.replace("a", b"two", first)
    assert store.load("a") == (b"two", second)


@pytest.mark.usefixtures("hasty")
def test_somebody_else_behind_a_lost_answer_is_seen(breaking: Breaking, s3: str) -> None:
    open_store(s3).write("a", b"another one's")
    store = breaking([("PUT", "lost"), ("PUT", "lost")])
    with pytest.raises(ObjectExists):
        store.create("a", b"ours")
    with pytest.raises(ObjectChanged):
        store.replace("a", b"ours", '"0"')
    assert store.read("a") == b"another one's"
