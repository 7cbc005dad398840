"""One behaviour for all stores, on a file system and on a real S3 server."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import boto3
import pytest

from personalize_spark.errors import StorageError
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.location import open_store
from personalize_spark.storage.s3 import MIN_PART, S3Store
from personalize_spark.storage.store import Object, Store
from personalize_spark.testing.store_tests import StoreTests


class TestFiles(StoreTests):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store(f"file://{tmp_path}/folder")

    def test_a_deleted_folder_is_gone(self, store: Store) -> None:
        super().test_a_deleted_folder_is_gone(store)
        assert not Path(store.root.removeprefix("file://"), "a").exists()


class TestS3(StoreTests):
    @pytest.fixture
    def store(self, s3: str) -> Store:
        return open_store(f"{s3}/folder")

    @pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "//", "a//b", "a%2e%2e/b", "e\u0301", "."])
    def test_a_name_never_leaves_the_folder(self, store: Store, name: str) -> None:
        """A key is taken as it is: no part of it means another folder."""
        etag = store.write(name, name.encode())
        assert list(store.list()) == [Object(name, len(name.encode()), etag)]
        assert store.read(name, etag=etag) == name.encode()
        store.compose("whole", store, list(store.list()))
        store.delete(name)
        assert store.read("whole") == name.encode()

    @pytest.mark.parametrize("size", [5, MIN_PART])
    def test_pieces_that_went_make_no_object(self, store: Store, size: int) -> None:
        super().test_pieces_that_went_make_no_object(store, size)
        assert isinstance(store, S3Store)
        assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket=store.bucket)


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


def test_pieces_are_not_carried_from_one_kind_of_store_to_another(tmp_path: Path) -> None:
    files, bucket = open_store(f"file://{tmp_path}"), open_store("s3://bucket")
    with pytest.raises(StorageError, match="stage on a file:// URI"):
        files.compose("a", bucket, [])
    with pytest.raises(StorageError, match="stage on an s3:// URI"):
        bucket.compose("a", files, [])
