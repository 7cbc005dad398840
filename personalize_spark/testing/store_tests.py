"""What every store keeps: subclass `StoreTests` and give it an empty one.

class TestMyStore(StoreTests):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return MyStore(f"my://{tmp_path}/folder")
"""

from __future__ import annotations

import io
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from personalize_spark.errors import ObjectChanged, ObjectExists, ObjectNotFound, StorageError
from personalize_spark.storage.s3 import MIN_PART
from personalize_spark.storage.store import Object, Store, stream


def names_in(store: Store, prefix: str = "") -> list[str]:
    """The names that a listing gives, in its order."""
    return [found.name for found in store.list(prefix)]


def found(store: Store, name: str) -> Object:
    """The object as a listing shows it."""
    [only] = [each for each in store.list(name) if each.name == name]
    return only


class StoreTests:
    """The contract of `Store`, one promise a test; sizes lie around the smallest part that S3 composes, 5 MiB."""

    @pytest.fixture
    def store(self) -> Store:
        """An empty store."""
        raise NotImplementedError

    def test_what_is_written_is_read(self, store: Store) -> None:
        given = ["a.json", "empty", "sub/.hidden", "sub/b c%20é+#?&=.json", "sub/ü\u0308"]
        for name in given:
            store.write(name, name.encode() if name != "empty" else b"")
        assert names_in(store) == given
        assert [store.read(name) for name in given] == [name.encode() if name != "empty" else b"" for name in given]
        etag = store.write("a.json", b"anew")
        assert store.read("a.json", etag=etag) == b"anew"
        etag = store.upload("a.json", io.BytesIO(b"and again"))
        assert found(store, "a.json") == Object("a.json", 9, etag)

    def test_a_listing_is_by_prefix_and_in_the_order_of_bytes(self, store: Store) -> None:
        given = ["b", "a/1", "a-1", "é", "Z", "\U0001f600", "\uffee"]
        for name in given:
            store.write(f"x/{name}", b"")
        store.write("xy", b"")
        assert names_in(store, "x/") == sorted((f"x/{name}" for name in given), key=str.encode)
        assert names_in(store, "x/a") == ["x/a-1", "x/a/1"]

    def test_the_newest_object_of_a_prefix(self, store: Store) -> None:
        assert store.newest("x/") is None
        store.write("x/a/b", b"")
        written = store.newest("x/")
        assert written is not None
        assert abs(written - time.time()) < 60
        assert store.newest("x/b") is None

    def test_ranges_are_clipped_to_the_object(self, store: Store) -> None:
        store.write("a", b"0123456789")
        assert store.read("a", 2, 5) == b"234"
        assert store.read("a", 8) == b"89"
        assert store.read("a", 8, 100) == b"89"
        assert store.read("a", 5, 5) == b""

    def test_a_read_is_pinned_to_what_was_listed(self, store: Store) -> None:
        store.write("a", b"before")
        before = found(store, "a")
        assert (before.size, store.read("a", etag=before.etag)) == (6, b"before")
        store.write("a", b"AFTER!")
        with pytest.raises(ObjectChanged):
            store.read("a", etag=before.etag)

    def test_a_stream_is_the_whole_object(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("personalize_spark.storage.store.READ_CHUNK", 1_000)
        data = bytes(range(256)) * 100
        store.upload("a", io.BytesIO(data))
        with stream(store, found(store, "a")) as file:
            assert file.read() == data

    def test_of_eight_creators_one_wins(self, store: Store) -> None:
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

    def test_a_change_needs_the_version_it_is_based_on(self, store: Store) -> None:
        first = store.create("record", b"1")
        assert store.load("record") == (b"1", first)
        second = store.replace("record", b"2", first)
        with pytest.raises(ObjectChanged):
            store.replace("record", b"3", first)
        assert store.load("record") == (b"2", second)
        with pytest.raises(ObjectNotFound):
            store.replace("another", b"1", first)

    def test_no_change_is_lost_among_eight_who_change(self, store: Store) -> None:
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
    def test_pieces_become_one_object_in_their_order(self, store: Store, sizes: list[int]) -> None:
        staging = store.at("_staging/job")
        whole = b""
        for number, size in enumerate(sizes):
            piece = random.Random(number).randbytes(size)
            staging.write(f"pieces/{number:03d} %2B+é", piece)
            whole += piece
        etag = store.compose("out/whole é.out", staging, list(staging.list("pieces/")))
        assert store.read("out/whole é.out", etag=etag) == whole
        staging.delete("")
        assert names_in(store) == ["out/whole é.out"]

    @pytest.mark.parametrize("sizes", [[5], [5, 6], [5, MIN_PART]], ids=str)
    def test_pieces_that_changed_make_no_object(self, store: Store, sizes: list[int]) -> None:
        for number, size in enumerate(sizes):
            store.write(f"p/{number}", b"x" * size)
        pieces = list(store.list("p/"))
        store.write("p/0", b"y" * sizes[0])
        with pytest.raises(ObjectChanged):
            store.compose("whole", store, pieces)
        assert "whole" not in names_in(store)

    @pytest.mark.parametrize("size", [5, MIN_PART])
    def test_pieces_that_went_make_no_object(self, store: Store, size: int) -> None:
        store.write("p", b"x" * size)
        pieces = list(store.list("p"))
        store.delete("p")
        with pytest.raises(ObjectNotFound):
            store.compose("whole", store, pieces)
        assert names_in(store) == []

    def test_a_deleted_folder_is_gone(self, store: Store) -> None:
        for name in ("a/1", "a/b/2", "ab"):
            store.write(name, b"x")
        store.delete("a/")
        assert names_in(store) == ["ab"]

    def test_what_is_not_there_is_said(self, store: Store) -> None:
        with pytest.raises(ObjectNotFound, match="nothing"):
            store.read("nothing")

    @pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\0b"])
    def test_a_name_never_leaves_the_folder(self, store: Store, name: str) -> None:
        with pytest.raises(StorageError, match="points outside its folder"):
            store.read(name)
        with pytest.raises(StorageError, match="points outside its folder"):
            store.at(name)
