"""When outputs grow, when they appear, and when they never do; on files and on a real S3 server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from personalize_spark.errors import JobFailed
from personalize_spark.job import publish
from personalize_spark.job.attempts import Ledger
from personalize_spark.job.byte_ranges import ByteRange
from personalize_spark.job.inputs import Input
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.plan import Plan
from personalize_spark.job.publish import _WRITERS, Publisher
from personalize_spark.job.splits import Split
from personalize_spark.job.task import Piece
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Object
from personalize_spark.testing.toy import request
from tests.job.test_job import SIMPLE, VERSION

FILES = 2 * _WRITERS + 1

Making = Callable[[int], tuple[Publisher, Ledger]]


@pytest.fixture(params=["files", pytest.param("s3", marks=pytest.mark.s3)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of an empty place, with a slash at its end."""
    return f"{request.getfixturevalue('s3')}/" if request.param == "s3" else f"file://{tmp_path}/"


@pytest.fixture
def making(local: LocalExecutor, root: str) -> Making:
    """The publisher of so many files of three splits each, and its ledger."""

    def make(files: int) -> tuple[Publisher, Ledger]:
        plan = Plan.of(replace(SIMPLE, request=request(VERSION, f"{root}in/", f"{root}out/")), "run")
        plan.write()
        inputs = [Input(Object(f"{file}", 30, "e"), f"{file}.out") for file in range(files)]
        splits = [
            Split(file, part, ByteRange(inputs[file].source, 0, 9), 1) for file in range(files) for part in range(3)
        ]
        ledger = Ledger(plan.staging(), splits)
        return Publisher(local, plan, inputs, ledger), ledger

    return make


def finish(ledger: Ledger, file: int, parts: Sequence[int], data: bytes = b"") -> None:
    for part in parts:
        key = Split(file, part, ByteRange(Object("", 0, ""), 0, 0), 0).key
        lines = data or f"{file} {part}\n".encode()
        piece = Piece(key, f"pieces/{key}-of-this-test", bytes=len(lines))
        piece.etag = ledger.staging.write(piece.name, lines)
        ledger.pieces[key] = piece


def names(root: str) -> list[str]:
    return [found.name for found in open_store(root).list("out/") if not found.name.startswith("out/_staging")]


@pytest.mark.slow
def test_outputs_appear_all_at_once_in_the_order_of_their_splits(root: str, making: Making) -> None:
    publisher, ledger = making(FILES)  # more than there are writers
    with publisher:
        for file in reversed(range(FILES)):
            finish(ledger, file, [2, 0, 1])
        time.sleep(1.5)
        assert names(root) == []
        publisher.publish()
    for file in range(FILES):
        assert open_store(root).read(f"out/{file}.out") == f"{file} 0\n{file} 1\n{file} 2\n".encode()


@pytest.mark.parametrize("root", ["files"], indirect=True)  # an upload to S3 is seen when it is complete
def test_an_output_grows_while_its_splits_are_answered(
    making: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_POLL_SECONDS", 0.01)
    publisher, ledger = making(1)
    with publisher:
        finish(ledger, 0, [0, 2])
        deadline = time.monotonic() + 60
        while not [path for path in tmp_path.rglob("*unfinished~") if path.stat().st_size == len(b"0 0\n")]:
            assert time.monotonic() < deadline, "the first piece was not appended"
            time.sleep(0.05)
        finish(ledger, 0, [1])
        publisher.publish()
    assert (tmp_path / "out/0.out").read_bytes() == b"0 0\n0 1\n0 2\n"


def test_an_output_that_is_not_whole_never_appears(root: str, making: Making) -> None:
    publisher, ledger = making(2)
    with publisher:
        finish(ledger, 0, [0, 1, 2])
        finish(ledger, 1, [0, 2])
        publisher.publish()
    assert names(root) == ["out/0.out"]


@pytest.mark.parametrize("files", [1, FILES])
def test_an_output_with_a_lost_piece_fails_and_never_appears(root: str, making: Making, files: int) -> None:
    publisher, ledger = making(files)
    with publisher:
        for file in range(files):
            finish(ledger, file, [0, 2] if file == files - 1 else [0, 1, 2])
        key = f"{files - 1:06d}/000001"
        ledger.pieces[key] = Piece(key, "pieces/lost", etag="e", bytes=4)
        with pytest.raises(JobFailed, match=r"/pieces/lost.* does not exist"):
            publisher.publish()
    assert f"out/{files - 1}.out" not in names(root)


def test_without_a_word_nothing_appears(root: str, making: Making) -> None:
    publisher, ledger = making(1)
    with publisher:
        finish(ledger, 0, [0, 1, 2], b"x" * (6 << 20))  # an upload in parts
    assert names(root) == []
    if root.startswith("s3://"):
        assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket=root.split("/")[2])
