"""One behaviour for all stores, on a file system and on a real S3 server."""

from __future__ import annotations

import errno
import io
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from personalize_spark.errors import ObjectChanged, ObjectExists, ObjectNotFound, StorageError
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.location import open_store
from personalize_spark.storage.s3 import MIN_PART, S3Store
from personalize_spark.storage.store import Object, Store, stream


@pytest.fixture(params=["files", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    root = request.getfixturevalue("s3") if request.param == "s3" else f"file://{tmp_path}"
    return open_store(f"{root}/folder")


def names(store: Store, prefix: str = "") -> list[str]:
    return [found.name for found in store.list(prefix)]


def found(store: Store, name: str) -> Object:
    [only] = [each for each in store.list(name) if each.name == name]
    return only


def test_what_is_written_is_read(store: Store) -> None:
    given = ["a.json", "empty", "sub/.hidden", "sub/b c%20é+#?&=.json", "sub/ü\u0308"]
    for name in given:
        store.write(name, name.encode() if name != "empty" else b"")
    assert names(store) == given
    assert [store.read(name) for name in given] == [name.encode() if name != "empty" else b"" for name in given]
    etag = store.write("a.json", b"anew")
    assert store.read("a.json", etag=etag) == b"anew"
    etag = store.upload("a.json", io.BytesIO(b"and again"))
    assert found(store, "a.json") == Object("a.json", 9, etag)


def test_a_listing_is_by_prefix_and_in_the_order_of_bytes(store: Store) -> None:
    given = ["b", "a/1", "a-1", "é", "Z", "\U0001f600", "\uffee"]
    for name in given:
        store.write(f"x/{name}", b"")
    store.write("xy", b"")
    assert names(store, "x/") == sorted((f"x/{name}" for name in given), key=str.encode)
    assert names(store, "x/a") == ["x/a-1", "x/a/1"]


def test_ranges_are_clipped_to_the_object(store: Store) -> None:
    store.write("a", b"0123456789")
    assert store.read("a", 2, 5) == b"234"
    assert store.read("a", 8) == b"89"
    assert store.read("a", 8, 100) == b"89"
    assert store.read("a", 5, 5) == b""


def test_a_read_is_pinned_to_what_was_listed(store: Store) -> None:
    store.write("a", b"before")
    before = found(store, "a")
    assert (before.size, store.read("a", etag=before.etag)) == (6, b"before")
    store.write("a", b"AFTER!")
    with pytest.raises(ObjectChanged):
        store.read("a", etag=before.etag)


def test_a_stream_is_the_whole_object(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalize_spark.storage.store.READ_CHUNK", 1_000)
    data = bytes(range(256)) * 100
    store.upload("a", io.BytesIO(data))
    with stream(store, found(store, "a")) as file:
        assert file.read() == data


def test_of_eight_creators_one_wins(store: Store) -> None:
    def create(number: int) -> bool:
        try:
            store.create("record", b"%d" % number)
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert won.count(True) == 1
    assert store.read("record") == b"%d" % won.index(True)


def test_a_change_needs_the_version_it_is_based_on(store: Store) -> None:
    first = store.create("record", b"1")
    assert store.load("record") == (b"1", first)
    second = store.replace("record", b"2", first)
    with pytest.raises(ObjectChanged):
        store.replace("record", b"3", first)
    assert store.load("record") == (b"2", second)
    with pytest.raises(ObjectNotFound):
        store.replace("another", b"1", first)


def test_no_change_is_lost_among_eight_who_change(store: Store) -> None:
    store.create("count", b"0")

    def add(_: int) -> None:
        while True:
            data, version = store.load("count")
            try:
                store.replace("count", b"%d" % (int(data) + 1), version)
            except ObjectChanged:
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert store.read("count") == b"24"


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0],
        [5],
        [3, 0, 4],
        [MIN_PART],
        [MIN_PART - 1, 1],
        [MIN_PART + 1],
        [10, MIN_PART + 7, 20],
        [MIN_PART * 2, 3, MIN_PART, MIN_PART - 1, 9, MIN_PART + 1],
        [7] * 50,
    ],
    ids=str,
)
def test_pieces_become_one_object_in_their_order(store: Store, sizes: list[int]) -> None:
    staging = store.at("_staging/job")
    whole = b""
    for number, size in enumerate(sizes):
        piece = random.Random(number).randbytes(size)
        staging.write(f"pieces/{number:03d} %2B+é", piece)
        whole += piece
    store.compose("out/whole é.out", staging, list(staging.list("pieces/")))
    assert store.read("out/whole é.out") == whole
    staging.delete("")
    assert names(store) == ["out/whole é.out"]


def test_pieces_are_copied_where_the_kernel_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = os.copy_file_range

    def some(source: int, target: int, _: int) -> int:
        if os.lseek(source, 0, os.SEEK_CUR):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return copied(source, target, 3)

    store = FileStore(str(tmp_path))
    for number in range(5):
        store.write(f"p/{number}", bytes([65 + number]) * 2 * number)
    monkeypatch.setattr(os, "copy_file_range", some)
    store.compose("whole", store, list(store.list("p/")))
    assert store.read("whole") == b"BBCCCCDDDDDDEEEEEEEE"


@pytest.mark.parametrize("sizes", [[5], [5, 6], [5, MIN_PART]], ids=str)
def test_pieces_that_changed_make_no_object(store: Store, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        store.write(f"p/{number}", b"x" * size)
    pieces = list(store.list("p/"))
    store.write("p/0", b"y" * sizes[0])
    with pytest.raises(ObjectChanged):
        store.compose("whole", store, pieces)
    assert "whole" not in names(store)


@pytest.mark.parametrize("size", [5, MIN_PART])
def test_pieces_that_went_make_no_object(store: Store, size: int) -> None:
    store.write("p", b"x" * size)
    pieces = list(store.list("p"))
    store.delete("p")
    with pytest.raises(ObjectNotFound):
        store.compose("whole", store, pieces)
    assert names(store) == []
    if isinstance(store, S3Store):
        assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket=store.bucket)


def test_pieces_are_not_carried_from_one_kind_of_store_to_another(tmp_path: Path) -> None:
    files, bucket = open_store(f"file://{tmp_path}"), open_store("s3://bucket")
    with pytest.raises(StorageError, match="stage on a file:// URI"):
        files.compose("a", bucket, [])
    with pytest.raises(StorageError, match="stage on an s3:// URI"):
        bucket.compose("a", files, [])


def test_a_deleted_folder_is_gone(store: Store) -> None:
    for name in ("a/1", "a/b/2", "ab"):
        store.write(name, b"x")
    store.delete("a/")
    assert names(store) == ["ab"]
    if store.root.startswith("file"):
        assert not Path(store.root.removeprefix("file://"), "a").exists()


def test_what_is_not_there_is_said(store: Store) -> None:
    with pytest.raises(ObjectNotFound, match="folder/nothing"):
        store.read("nothing")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\0b"])
def test_a_name_never_leaves_the_folder(store: Store, name: str) -> None:
    with pytest.raises(StorageError, match="leads out of its folder"):
        store.read(name)
    with pytest.raises(StorageError, match="leads out of its folder"):
        store.at(name)
