"""One behaviour for all stores, on a file system and on a real S3 server."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from personalize_spark.errors import (
    AccessDenied,
    InvalidInputException,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageError,
)
from personalize_spark.storage import s3 as s3_module
from personalize_spark.storage.location import hadoop_uri, open_store, split_prefix
from personalize_spark.storage.s3 import MIN_PART, forget_clients
from personalize_spark.storage.store import Access, Object, Store, stream


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
    for name in ("a.json", "sub/b c%20é+#.json", "sub/.hidden", "empty"):
        store.write(name, name.encode() if name != "empty" else b"")
    assert store.read("sub/b c%20é+#.json") == "sub/b c%20é+#.json".encode()
    assert store.read("empty") == b""
    store.write("a.json", b"anew")
    assert store.read("a.json") == b"anew"


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
        piece = bytes([65 + number % 26]) * size
        staging.write(f"pieces/{number:03d}", piece)
        whole += piece
    store.compose("out/whole.out", staging, list(staging.list("pieces/")))
    assert store.read("out/whole.out") == whole
    staging.delete("")
    assert names(store) == ["out/whole.out"]


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


@pytest.mark.s3
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


@pytest.mark.s3
def test_a_missing_bucket_is_said(s3: str) -> None:
    with pytest.raises(ObjectNotFound, match="The bucket of s3://no-such-bucket-here/a does not exist"):
        open_store("s3://no-such-bucket-here").read("a")


@pytest.mark.s3
def test_a_role_is_assumed_and_may_write(s3: str) -> None:
    access = Access(role_arn="arn:aws:iam::111122223333:role/PersonalizeBatch")
    open_store(s3, access).write("a", b"by the role")
    assert open_store(s3).read("a") == b"by the role"
    assert s3_module._client(access.role_arn).meta is not s3_module._client(None).meta


@pytest.mark.s3
def test_a_folder_marker_is_no_object(s3: str) -> None:
    boto3.client("s3").put_object(Bucket=s3.removeprefix("s3://"), Key="in/")
    open_store(s3).write("in/a", b"")
    assert names(open_store(s3)) == ["in/a"]


def test_a_file_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")  # as root, every file may be read

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AccessDenied, match="Permission denied; give the user that runs Spark access"):
        open_store(f"file://{tmp_path}").read("a")


@pytest.mark.parametrize("uri", ["http://x/y", "s3://", "relative/path", "file://relative"])
def test_what_is_no_place_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInputException, match="not a place"):
        open_store(uri)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://b/in/us", ("s3://b/in/", "us")),
        ("s3://b/in/", ("s3://b/in/", "")),
        ("s3://b/x.json", ("s3://b/", "x.json")),
        ("s3://b", ("s3://b/", "")),
        ("file:///data/in", ("file:///data/", "in")),
        ("file:///in", ("file:///", "in")),
    ],
)
def test_a_path_is_a_folder_and_a_prefix(uri: str, expected: tuple[str, str]) -> None:
    assert split_prefix(uri) == expected


def test_spark_names_s3_otherwise() -> None:
    assert [hadoop_uri(uri) for uri in ("s3://b/k", "file:///x", "s3a://b/k")] == [
        "s3a://b/k",
        "file:///x",
        "s3a://b/k",
    ]


def test_clients_are_made_once() -> None:
    forget_clients()
    with ThreadPoolExecutor(4) as pool:
        assert len({id(client) for client in pool.map(lambda _: s3_module._client(None), range(8))}) == 1
