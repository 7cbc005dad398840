"""Jobs as a user runs them, on files and on a real S3 server."""

from __future__ import annotations

import gzip
import json
import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import JobFailed
from personalize_spark.job import inflate, publish, splits
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.report import Report
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job, describe_batch_inference_job
from personalize_spark.storage.location import open_store
from personalize_spark.storage.s3 import forget_clients
from personalize_spark.testing.toy import golden_version, request
from tests.servers import unreliable_at_random

GOOD = b'{"input":{"userId":"u1"},"output":{"recommendedItems":["a","b","c"],"scores":[0.8449224,0.1458153,0.008885]},"error":null}\n'
MISSING = (
    b'{"input":{"itemId":"a"},"output":{"recommendedItems":[]},'
    b'"error":"User error: Required fields for the provided recipe are userId"}\n'
)
KEY = "arn:aws:kms:us-east-1:111122223333:key/0f0f"

Run = Callable[..., tuple[dict[str, Any], Report]]


@pytest.fixture(params=["files", pytest.param("s3", marks=pytest.mark.s3)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of an empty place, with a slash at its end."""
    return f"{request.getfixturevalue('s3')}/" if request.param == "s3" else f"file://{tmp_path}/"


@pytest.fixture
def run(local: LocalExecutor, root: str) -> Run:
    """Create a job and run it to its end; gives the job's description and report."""
    catalog = Catalog(f"{root}catalog")

    def run(
        source: str, target: str, recipe: str = "aws-user-personalization", **more: Any
    ) -> tuple[dict[str, Any], Report]:
        limits = more.pop("service_limits", False)
        params = request(golden_version(catalog, recipe), root + source, root + target, numResults=3, **more)
        job = create_batch_inference_job(catalog, params, service_limits=limits)
        try:
            report = run_job(local, catalog, job, lambda _: None)
        except JobFailed as error:
            error.add_note(str(job.arn))
            raise
        return describe_batch_inference_job(catalog, {"batchInferenceJobArn": str(job.arn)})[
            "batchInferenceJob"
        ], report

    return run


def names(root: str) -> list[str]:
    return [found.name for found in open_store(root).list() if not found.name.startswith("catalog/")]


def test_every_line_is_answered_in_its_place(run: Run, root: str) -> None:
    lines = [b'{"userId": "u1"}', b"", b"broken", b'{"itemId":"a"}', b"\xff", b'{"userId":"u1"}\r', b'{"userId":"?"}']
    open_store(root).write("in/users.json", b"\n".join(lines))
    job, report = run("in/", "out/")
    answered = open_store(root).read("out/users.json.out")
    assert answered.splitlines(keepends=True) == [
        GOOD,
        b'{"input":"broken","output":{"recommendedItems":[]},"error":"User error: The line is not valid JSON at character 1"}\n',
        MISSING,
        '{"input":"\ufffd","output":{"recommendedItems":[]},"error":"User error: The line is not valid UTF-8 at byte 1"}\n'.encode(),
        GOOD,
        b'{"input":{"userId":"?"},"output":{"recommendedItems":["a","b","c"],"scores":[0.4,0.3,0.2]},"error":null}\n',
    ]
    assert job["status"] == "ACTIVE"
    assert (report.files, report.lines, report.bytes) == (1, 6, len(answered))
    assert report.errors == {"MalformedJson": 1, "MissingField": 1, "InvalidUtf8": 1}
    assert names(root) == ["in/users.json", "out/_CHECK", "out/users.json.out"]


def test_popularity_count_has_no_scores(run: Run, root: str) -> None:
    open_store(root).write("in/users.json", b'{"userId":"u1"}\n{"userId":"?"}\n')
    run("in/", "out/", "aws-popularity-count")
    answer = b'"output":{"recommendedItems":["a","b","c"]},"error":null}\n'
    expected = b'{"input":{"userId":"u1"},' + answer + b'{"input":{"userId":"?"},' + answer
    assert open_store(root).read("out/users.json.out") == expected


def test_files_folders_empty_and_packed_inputs_each_have_an_output(run: Run, root: str) -> None:
    store = open_store(root)
    line = b'{"userId":"u1"}\n'
    store.write("in/a.json", line * 2)
    store.write("in/sub/b c%20é.json", line * 3)
    store.write("in/empty.json", b"")
    store.write("in/blank.json", b"\n \r\n\n")
    store.write("in/two.json.gz", gzip.compress(line * 2) + gzip.compress(line * 3))
    _, report = run("in/", "out")
    expected = {"a.json": 2, "sub/b c%20é.json": 3, "empty.json": 0, "blank.json": 0, "two.json.gz": 5}
    for name, lines in expected.items():
        assert store.read(f"out/{name}.out") == GOOD * lines, name
    assert (report.files, report.lines) == (5, 10)


def test_a_job_beside_its_input_may_be_run_again(run: Run, root: str) -> None:
    open_store(root).write("json_input.json", b'{"userId":"u1"}\n')
    for _ in range(2):
        run("json_input.json", "")
        assert names(root) == ["_CHECK", "json_input.json", "json_input.json.out"]


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_splits(run: Run, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(root)
    store.write("in/users.json", b"".join(b'{"userId":"u%d","n":%d}\n' % (n % 3, n) for n in range(5_000)))
    monkeypatch.setattr(splits, "MAX_LINES", 1 << 40)
    monkeypatch.setattr(splits, "_MIN_LINES", 1 << 30)
    run("in/", "whole/")
    monkeypatch.setattr(splits, "_MIN_LINES", 1)
    monkeypatch.setattr(splits, "MAX_LINES", 17)
    run("in/", "cut/")
    whole = store.read("whole/users.json.out")
    assert whole.count(b"\n") == 5_000
    assert store.read("cut/users.json.out") == whole


def test_large_packed_inputs_are_inflated_first(run: Run, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate, "INFLATE_ABOVE", 100)
    monkeypatch.setattr(splits, "_MIN_LINES", 1)
    store = open_store(root)
    store.write("in/users.json.gz", gzip.compress(b"".join(b'{"userId":"u1","n":%d}\n' % n for n in range(3_000))))
    run("in/", "out/")
    lines = store.read("out/users.json.gz.out").splitlines()
    assert [json.loads(line)["input"]["n"] for line in lines] == list(range(3_000))


def test_a_line_that_is_far_too_long_costs_no_memory_and_no_other_line(run: Run, root: str) -> None:
    good = b'{"userId":"u1"}\n'
    open_store(root).write("in/users.json", good * 2 + b'{"userId":"' + b"x" * 30_000_000 + b'"}\n' + good)
    _, report = run("in/", "out/")
    lines = open_store(root).read("out/users.json.out").splitlines(keepends=True)
    assert [lines[0], lines[1], lines[3]] == [GOOD] * 3
    assert len(lines[2]) < 1_200
    assert b'"error":"User error: The line has more than 1048576 bytes"' in lines[2]
    assert report.errors == {"TooLong": 1}


def test_many_outputs_are_composed_by_tasks(run: Run, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_WRITERS", 3)
    store = open_store(root)
    for number in range(20):
        store.write(f"in/{number}.json", b'{"userId":"u1"}\n' * number)
    run("in/", "out/")
    for number in range(20):
        assert store.read(f"out/{number}.json.out") == GOOD * number


def test_no_input_fails_the_job_with_the_services_words(run: Run, root: str) -> None:
    with pytest.raises(JobFailed, match="^Invalid S3 input path") as raised:
        run("nothing/", "out/")
    described = describe_batch_inference_job(
        Catalog(f"{root}catalog"), {"batchInferenceJobArn": raised.value.__notes__[0]}
    )
    assert described["batchInferenceJob"]["status"] == "CREATE FAILED"
    assert described["batchInferenceJob"]["failureReason"] == raised.value.message


def test_a_broken_packed_input_fails_the_job_and_leaves_no_staging(run: Run, root: str) -> None:
    open_store(root).write("in/users.json.gz", gzip.compress(b'{"userId":"u1"}\n' * 1_000)[:-20])
    with pytest.raises(JobFailed, match="not a complete gzip file"):
        run("in/", "out/")
    assert names(root) == ["in/users.json.gz", "out/_CHECK"]


def test_a_broken_input_does_not_cost_the_others_their_output(run: Run, root: str) -> None:
    store = open_store(root)
    store.write("in/good.json", b'{"userId":"u1"}\n')
    store.write("in/bad.json.gz", b"no gzip at all")
    with pytest.raises(
        JobFailed, match=r"1 of 2 input files could not be answered.*bad\.json\.gz is not a complete gzip file"
    ):
        run("in/", "out/")
    assert names(root) == ["in/bad.json.gz", "in/good.json", "out/_CHECK", "out/good.json.out"]


def test_every_input_that_could_not_be_answered_is_named(run: Run, root: str) -> None:
    for name in ("one", "two"):
        open_store(root).write(f"in/{name}.json.gz", b"no gzip at all")
    with pytest.raises(
        JobFailed, match=r"2 of 2 input files.*(one\.json\.gz.*two|two\.json\.gz.*one)\.json\.gz is not"
    ):
        run("in/", "out/")


def test_a_damaged_model_fails_the_job_before_any_work(run: Run, root: str, local: LocalExecutor) -> None:
    store = open_store(root)
    store.write("in/users.json", b'{"userId":"u1"}\n')
    catalog = Catalog(f"{root}catalog")
    version = golden_version(catalog)
    job = create_batch_inference_job(catalog, request(version, f"{root}in/", f"{root}out/"))
    catalog.store.write(f"models/toy/{version.version}/manifest.json", b'{"format":1,"properties":{},"files":[]}')
    with pytest.raises(JobFailed, match=r"has changed since the job was planned"):
        run_job(local, catalog, job, lambda _: None)
    assert names(root) == ["in/users.json", "out/_CHECK"]


@pytest.mark.parametrize("name", ["factors.npy", "users/00000.arrow"])
def test_one_flipped_bit_of_a_model_fails_the_job(name: str, local: LocalExecutor, tmp_path: Path) -> None:
    root = f"file://{tmp_path}/"  # on S3 the host's cache may still have the right bytes
    store, catalog = open_store(root), Catalog(f"{root}catalog")
    store.write("in/users.json", b'{"userId":"u1"}\n')
    version = golden_version(catalog)
    job = create_batch_inference_job(catalog, request(version, f"{root}in/", f"{root}out/"))
    model = catalog.store.at(f"models/toy/{version.version}")
    data = bytearray(model.read(name))
    data[-1] ^= 1
    model.write(name, bytes(data))
    with pytest.raises(JobFailed, match=f"/{name} is damaged: its SHA-256 is not the manifest's; restore or retrain"):
        run_job(local, catalog, job, lambda _: None)
    assert names(root) == ["in/users.json", "out/_CHECK"]


def test_odd_files_do_not_cost_the_others_their_answers(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.json").write_bytes(b"a secret")
    odd = b"new\nline %2e%2e \xe2\x98\x83 e\xcc\x81.json"
    for name in (b"good.json", odd, b"caf\xe9.json", b"n" * 248 + b".json"):
        (folder / os.fsdecode(name)).write_bytes(b'{"userId":"u1"}\n')
    os.mkfifo(folder / "pipe")
    (folder / "sub/link.json").symlink_to(tmp_path / "secret.json")
    (folder / "sub/inside.json").symlink_to(folder / "good.json")
    params = request(golden_version(catalog), f"file://{folder}/", f"file://{tmp_path}/out/", numResults=3)
    with pytest.raises(JobFailed) as failed:
        run_job(local, catalog, create_batch_inference_job(catalog, params), lambda _: None)
    answered = {os.fsencode(found.name) for found in open_store(f"file://{tmp_path}/out/").list()}
    assert answered == {b"good.json.out", odd + b".out", b"sub/inside.json.out", b"_CHECK"}
    assert (tmp_path / "out/good.json.out").read_bytes() == GOOD
    said = failed.value.message
    assert "nnn.json.out: File name too long." in said

    (folder / ("n" * 248 + ".json")).unlink()
    with pytest.raises(JobFailed) as failed:
        run_job(local, catalog, create_batch_inference_job(catalog, {**params, "jobName": "again"}), lambda _: None)
    said = failed.value.message
    assert said.startswith("2 of 5 input files could not be answered; the others have their output: ")
    assert f"The name of file://{folder}/caf\\xe9.json is not UTF-8: rename the file." in said
    assert "/sub/link.json is behind a link that leads out of the input folder: copy it there" in said


def test_an_input_that_is_named_may_be_a_link(local: LocalExecutor, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/users.json").write_bytes(b'{"userId":"u1"}\n')
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "one.json").symlink_to(tmp_path / "elsewhere/users.json")
    catalog = Catalog(f"file://{tmp_path}/catalog")
    for source, name in (("link/", "users"), ("link", "users"), ("one.json", "one")):
        params = request(
            golden_version(catalog), f"file://{tmp_path}/{source}", f"file://{tmp_path}/out/", numResults=3
        )
        run_job(local, catalog, create_batch_inference_job(catalog, params), lambda _: None)
        answers = tmp_path / f"out/{name}.json.out"
        assert answers.read_bytes() == GOOD
        answers.unlink()


@pytest.mark.s3
def test_keys_of_s3_are_taken_as_they_are(local: LocalExecutor, s3: str) -> None:
    keys = ["in//users.json", "in/a..b", "in/../x", "in/./x", "in/%2e%2e/x", "in/e\u0301", "in/\u00e9", "in/slash/"]
    keys += [f"in/{'k' * 1_016}"]  # its output's key has the 1,024 bytes that S3 allows
    store, catalog = open_store(s3), Catalog(f"{s3}/catalog")
    for key in [*keys, "x"]:
        store.write(key, b'{"userId":"u1"}\n')
    boto3.client("s3").put_object(Bucket=s3.removeprefix("s3://"), Key="in/marker/")
    params = request(golden_version(catalog), f"{s3}/in/", f"{s3}/out/", numResults=3)
    run_job(local, catalog, create_batch_inference_job(catalog, params), lambda _: None)
    answers = {found.name: store.read(found.name) for found in store.list("out/")}
    assert answers == {f"out/{key[3:]}.out": GOOD for key in keys} | {"out/_CHECK": b""}


@pytest.mark.s3
def test_a_key_that_no_file_can_be_named_like_fails_for_itself(local: LocalExecutor, s3: str, tmp_path: Path) -> None:
    store, catalog = open_store(s3), Catalog(tmp_path / "catalog")
    for key in ("in/a/x", "in/a//x", "in/a/./x", "in/../../x"):
        store.write(key, b'{"userId":"u1"}\n')
    params = request(golden_version(catalog), f"{s3}/in/", f"file://{tmp_path}/deep/out/", numResults=3)
    with pytest.raises(JobFailed) as failed:
        run_job(local, catalog, create_batch_inference_job(catalog, params), lambda _: None)
    assert failed.value.message.startswith("3 of 4 input files could not be answered; the others have their output: ")
    assert "/in/../../x, with an empty folder, '.' or '..' in it: write to s3://" in failed.value.message
    assert names(f"file://{tmp_path}/deep") == ["out/_CHECK", "out/a/x.out"]


@pytest.mark.s3
def test_a_job_outlives_what_passes(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, catalog = open_store(s3), Catalog(f"{s3}/catalog")
    for number in range(4):
        store.write(f"in/{number}.json", b'{"userId":"u1"}\n' * 2_000)
    params = request(golden_version(catalog), f"{s3}/in/", f"{s3}/out/", numResults=3)
    job = create_batch_inference_job(catalog, params)
    harms = ("503 SlowDown", "500 InternalError after", "409 OperationAborted", "reset", "lost", "cut")
    with unreliable_at_random(os.environ["AWS_ENDPOINT_URL"], dict.fromkeys(harms, 0.03), seed=7) as (url, done):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        forget_clients()
        with LocalExecutor(2) as executor:
            report = run_job(executor, catalog, job, lambda _: None)
    monkeypatch.undo()
    forget_clients()
    assert done.total()
    assert report.storage_retries > 0
    assert {found.name for found in store.list("out/")} == {"out/_CHECK", *(f"out/{n}.json.out" for n in range(4))}
    assert {store.read(f"out/{number}.json.out") for number in range(4)} == {GOOD * 2_000}


def test_the_services_limits_are_kept_on_demand(run: Run, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalize_spark.job.run.MAX_BYTES", 10)
    open_store(root).write("in/users.json", b'{"userId":"u1"}\n')
    with pytest.raises(JobFailed, match="exceed the service's limit of 1000 files and 10 bytes"):
        run("in/", "out/", service_limits=True)
    run("in/", "out/")


@pytest.mark.s3
def test_what_is_written_carries_the_key(local: LocalExecutor, s3: str) -> None:
    catalog = Catalog(f"{s3}/catalog")
    open_store(s3).write("in/users.json", b'{"userId":"u1"}\n' * 200_000)
    params = request(golden_version(catalog), f"{s3}/in/", f"{s3}/out/", numResults=3)
    params["jobOutput"] = {"s3DataDestination": {"path": f"{s3}/out/", "kmsKeyArn": KEY}}
    run_job(local, catalog, create_batch_inference_job(catalog, params), lambda _: None)
    client, bucket = boto3.client("s3"), s3.removeprefix("s3://")
    for name in ("_CHECK", "users.json.out"):
        assert client.head_object(Bucket=bucket, Key=f"out/{name}")["SSEKMSKeyId"] == KEY
    whole = client.get_object(Bucket=bucket, Key="out/users.json.out")
    assert whole["Body"].read() == GOOD * 200_000
    assert "-" in whole["ETag"]  # composed of parts, not sent again


def test_a_job_of_the_same_name_and_place_has_its_own_plan(
    local: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "_MIN_LINES", 1)  # so that every Python worker has splits of every job
    (tmp_path / "users.json").write_bytes(b'{"userId":"u1"}\n' * 40)
    source, target = f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/"
    for number in (3, 1, 2):
        catalog = Catalog(f"file://{tmp_path}/catalog-{number}")
        params = request(
            golden_version(catalog, "aws-popularity-count"), source, target, numResults=number, jobName="same"
        )
        run_job(local, catalog, create_batch_inference_job(catalog, params), lambda _: None)
        lines = (tmp_path / "out/users.json.out").read_bytes().splitlines()
        assert [json.loads(line)["output"]["recommendedItems"] for line in lines] == [["a", "b", "c"][:number]] * 40


@pytest.mark.slow
def test_nothing_is_written_any_more_when_a_job_was_stopped(local: LocalExecutor, tmp_path: Path) -> None:
    lines = b"".join(b'{"userId":"u%d"}\n' % number for number in range(1_000_000))
    (tmp_path / "users.json").write_bytes(lines)
    catalog = Catalog(f"file://{tmp_path}/catalog")
    params = request(golden_version(catalog), f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/")
    job = create_batch_inference_job(catalog, params)
    threading.Thread(target=_interrupt_at_the_first_piece, args=(tmp_path / "out",), daemon=True).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_job(local, catalog, job, lambda _: None)
    finally:
        signal.signal(signal.SIGINT, before)
    written = sorted((tmp_path / "out").rglob("*"))
    assert not [path for path in written if path.suffix == ".out"]
    time.sleep(3)
    assert sorted((tmp_path / "out").rglob("*")) == written


def _interrupt_at_the_first_piece(folder: Path) -> None:
    while not list(folder.rglob("pieces/*/*")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_an_output_that_may_not_be_written_is_said(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "users.json").write_bytes(b'{"userId":"u1"}\n')
    (tmp_path / "out").write_bytes(b"a file where a folder should be")
    params = request(golden_version(catalog), f"file://{tmp_path}/users.json", f"file://{tmp_path}/out/")
    said = "Invalid S3 output path: file:.*/out/ cannot be written: .*(Not a directory|File exists)"
    with pytest.raises(JobFailed, match=said):
        run_job(local, catalog, create_batch_inference_job(catalog, params), lambda _: None)
    assert stat.S_ISREG((tmp_path / "out").stat().st_mode)
