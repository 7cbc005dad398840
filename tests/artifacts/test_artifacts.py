"""Artifacts, shards and models: written, read back, and refused when damaged."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import re
import subprocess
import sys
import time
import types
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize_spark.artifacts import cache, shards
from personalize_spark.artifacts.artifact import Artifact, Entry, Pinned, finish, write_column, write_table
from personalize_spark.artifacts.cache import local_file
from personalize_spark.artifacts.model import read_model
from personalize_spark.artifacts.shards import Shards, keys_of, shards_of, write_missing, write_shards
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import ArtifactError, ObjectExists
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Store
from personalize_spark.testing.toy import write_version

COLLIDING = ["plumless", "buckeroo"]
"""Two texts of one CRC-32."""


def npy(array: NDArray[Any]) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def make(store: Store) -> Artifact:
    entries = [
        write_column(store, "numbers", np.arange(5, dtype=np.int32)),
        write_table(store, "table", pa.RecordBatch.from_pydict({"id": pa.array([b"a", b"b"])})),
    ]
    finish(store, entries, {"rank": 3})
    return Artifact(store)


def test_columns_and_tables_come_back(tmp_path: Path) -> None:
    artifact = make(open_store(f"file://{tmp_path}"))
    assert artifact.column("numbers").tolist() == [0, 1, 2, 3, 4]
    assert not artifact.column("numbers").flags.writeable
    assert artifact.table("table").column("id").to_pylist() == [b"a", b"b"]
    assert artifact.properties == {"rank": 3}


def test_an_artifact_is_pinned_by_its_manifest(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    pinned = finish(store, [], {"rank": 3})
    assert (pinned.uri, pinned.open().properties) == (store.root, {"rank": 3})
    with pytest.raises(ArtifactError, match="has changed since the job was planned"):
        replace(pinned, sha256="0" * 64).open()


def test_an_artifact_is_finished_once(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    with pytest.raises(ArtifactError, match="never finished"):
        Artifact(store)
    make(store)
    with pytest.raises(ObjectExists):
        finish(store, [], {})


def test_an_unknown_file_or_format_is_said(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    with pytest.raises(ArtifactError, match="does not list the file nothing.npy"):
        make(store).column("nothing")
    store.write("manifest.json", b'{"format":99}')
    with pytest.raises(ArtifactError, match="format 99"):
        Artifact(store)


def test_a_column_of_objects_is_never_written_or_read(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    with pytest.raises(ValueError, match="allow_pickle"):
        write_column(store, "objects", np.array([{}], object))


def test_a_file_that_is_gone_or_changed_is_said(tmp_path: Path) -> None:
    artifact = make(open_store(f"file://{tmp_path}"))
    path = tmp_path / "numbers.npy"
    assert artifact.column("numbers").tolist() == [0, 1, 2, 3, 4]  # from now on it counts as checked
    data = path.read_bytes()
    for damaged in (b"short", data[:-1] + bytes([data[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"numbers\.npy is damaged: its SHA-256 is not the manifest's"):
            artifact.column("numbers")
    path.write_bytes(data)
    assert artifact.column("numbers").tolist() == [0, 1, 2, 3, 4]
    path.unlink()
    with pytest.raises(ArtifactError, match=r"numbers\.npy is missing: the artifact is incomplete"):
        artifact.column("numbers")


def test_a_file_is_hashed_once_on_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "local"))
    artifact = make(open_store(f"file://{tmp_path}/artifact"))
    for _ in range(2):
        artifact.column("numbers")
        cache._checked.clear()  # as in another process
        cache._read.clear()
    log = cache.cache_folder() / "checked.log"
    assert log.read_text().count("\n") == 1
    monkeypatch.setattr(cache, "_MAX_LOG", 1)
    artifact.table("table")
    assert log.read_text().count("\n") == 1  # it does not grow for ever


def test_what_other_processes_have_checked_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "local"))
    path, log = tmp_path / "file", cache.cache_folder() / "checked.log"
    path.touch()
    first, second = ("1" * 64, "2" * 64)
    assert not cache._sound(path, first)  # an empty file has another sum, but the log is believed
    line = cache._line(path, first)
    log.write_text(f"another\n{line[:-1]}")
    assert not cache._sound(path, first)  # it is being written
    with log.open("a") as file:
        file.write("\n")
    assert cache._sound(path, first)
    log.write_text(cache._line(path, second))  # it has begun anew
    assert cache._sound(path, second)


ODD = {
    "no array": b"these are not the bytes of an array",
    "nothing": b"",
    "a header that is cut": b"\x93NUMPY\x01\x00\x76\x00{'descr': '<i4', 'fort",
    "Python objects": npy(np.array([{}], object)),
    "fewer rows than its header says": npy(np.arange(9))[:-8],
}


@pytest.mark.parametrize("kind", ODD)
def test_a_file_that_is_no_column_or_table_is_an_error_of_ours(tmp_path: Path, kind: str) -> None:
    store, data = open_store(f"file://{tmp_path}"), ODD[kind]
    sha256 = hashlib.sha256(data).hexdigest()
    names = ("numbers.npy", "table.arrow", "users/00000.arrow")
    for name in names:
        store.write(name, data)
    finish(store, [Entry(name, sha256, len(data), 1) for name in names], {})
    artifact = Artifact(store)
    reads: list[Callable[[], object]] = [
        lambda: artifact.column("numbers"),
        lambda: artifact.table("table"),
        lambda: list(Shards(artifact, "users").find([b"u1"])),
    ]
    for name, read in zip(names, reads, strict=True):
        with pytest.raises(ArtifactError, match=f"{name} cannot be read: "):
            read()


def test_two_users_of_one_key_are_told_apart() -> None:
    first, second = keys_of([name.encode() for name in COLLIDING])
    assert first == second


@given(keys=st.lists(st.integers(0, 2**32 - 1), min_size=1), count=st.integers(1, 1000))
def test_shards_are_ranges_of_keys(keys: list[int], count: int) -> None:
    ordered = np.sort(np.array(keys, np.uint32))
    shards = shards_of(ordered, count)
    assert (np.diff(shards) >= 0).all()
    assert shards[0] >= 0
    assert shards[-1] < count


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_every_user_is_found_and_no_other(tmp_path: Path, shards: int) -> None:
    users = {name: np.array([n, 1], np.float32) for n, name in enumerate([*COLLIDING, *(f"u{n}é" for n in range(500))])}
    factors = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    catalog = Catalog(f"file://{tmp_path}")
    ids = sorted(f"i{n}" for n in range(20))
    arn = write_version(catalog, "aws-user-personalization", ids, factors, users, [1] * 20, shards=shards)
    model = read_model(Pinned(**catalog.read(arn).fields["model"]).open())
    assert model.users is not None
    names = [*users, "nobody", COLLIDING[1], *users]
    rows = model.users.lookup(names)
    assert rows.known.tolist() == [name in users for name in names]
    expected = [users.get(name, np.zeros(2, np.float32)) for name in names]
    np.testing.assert_array_equal(rows.vectors, expected)
    logits = rows.vectors[0].astype(float) @ factors.astype(float).T
    assert rows.log_normalisers[0] == pytest.approx(np.log(np.exp(logits).sum()), rel=1e-14)


@pytest.mark.slow
def test_only_the_shards_of_the_ids_are_touched(tmp_path: Path) -> None:
    users = {f"u{n}": np.ones(1, np.float32) for n in range(2_000)}
    factors = np.ones((2, 1), np.float32)
    catalog = Catalog(f"file://{tmp_path}")
    arn = write_version(catalog, "aws-user-personalization", ["a", "b"], factors, users, [1, 1], shards=100)
    artifact = Pinned(**catalog.read(arn).fields["model"]).open()
    shards = Shards(artifact, "users")
    list(shards.find([b"u1", b"u2", b"u3"]))
    assert len(shards._tables) == 3


def test_shards_are_written_one_after_the_other(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    keys = np.sort(keys_of([b"%d" % n for n in range(100)]))
    shard = shards_of(keys, 4)
    schema = pa.schema({"key": pa.uint32(), "id": pa.binary()})
    rows = pa.table({"shard": shard, "key": keys, "id": pa.array([b"%d" % n for n in range(100)])})
    rows = rows.filter(pa.array(shard != 2))
    entries = list(write_shards(store, "users", rows.to_batches(max_chunksize=7)))
    entries = write_missing(store, "users", 4, schema, entries)
    assert sorted(entry.name for entry in entries) == [f"users/0000{n}.arrow" for n in range(4)]
    finish(store, entries, {})
    tables = [Artifact(store).table(f"users/0000{n}") for n in range(4)]
    assert [table.num_rows for table in tables] == [(shard == n).sum() if n != 2 else 0 for n in range(4)]
    assert all(table.schema == schema for table in tables)


def _fetch_slowly(uri: str, sha256: str, size: int, log: str) -> str:
    """In a process of its own: fetch, and leave a line in the log if the store was asked."""
    fetch = cache._fetch

    def told(store: Store, name: str, sha256: str, size: int, path: Path) -> None:
        with Path(log).open("a") as file:
            file.write("fetched\n")
        time.sleep(0.2)
        fetch(store, name, sha256, size, path)

    cache._fetch = told
    return _fetch(uri, sha256, size)


def _fetch(uri: str, sha256: str, size: int) -> str:
    with local_file(open_store(uri), "numbers.npy", sha256, size) as path:
        return str(path)


@pytest.mark.s3
def test_the_hosts_cache_fetches_once_and_checks(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    store = open_store(s3)
    entry = make(store).entries["numbers.npy"]
    log = tmp_path / "log"
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        [path] = set(pool.map(_fetch_slowly, [s3] * 4, [entry.sha256] * 4, [entry.size] * 4, [str(log)] * 4))
    assert log.read_text() == "fetched\n"
    assert Path(path).stat().st_size == entry.size
    assert np.load(path, allow_pickle=False).tolist() == [0, 1, 2, 3, 4]
    store.write("numbers.npy", b"damaged on its way")
    assert _fetch(s3, entry.sha256, entry.size) == path  # from the cache
    Path(path).write_bytes(b"of a stranger")
    with pytest.raises(ArtifactError, match="is damaged"):
        _fetch(s3, entry.sha256, entry.size)
    assert not list(cache.cache_folder().glob(f"{entry.sha256}.[!l]*"))
    store.delete("numbers.npy")
    with pytest.raises(ArtifactError, match="is missing"):
        _fetch(s3, entry.sha256, entry.size)


@pytest.mark.s3
def test_the_hosts_cache_drops_what_was_not_used_for_longest(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    full = types.SimpleNamespace(free=0)  # so half of what is cached may stay
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    monkeypatch.setattr(cache, "MAX_SHARE_OF_DISK", 1)
    store = open_store(s3)
    entries = {name: write_column(store, name, np.array([ord(name)])) for name in "abcd"}

    def use(name: str) -> Path:
        with local_file(store, f"{name}.npy", entries[name].sha256, entries[name].size) as path:
            return path

    paths = [use(name) for name in "abc"]
    for age, path in enumerate(paths):
        os.utime(path, (age, age))
    use("a")
    monkeypatch.setattr(cache, "MAX_SHARE_OF_DISK", 0.5)
    assert use("d").exists()
    assert [path.exists() for path in paths] == [True, False, False]
    monkeypatch.setenv("PERSONALIZE_SPARK_CACHE_SIZE", "1m")  # in place of a share of the disk
    assert [use("b").exists(), paths[0].exists()] == [True, True]
    monkeypatch.setenv("PERSONALIZE_SPARK_CACHE_SIZE", "1b")
    assert [use("c").exists(), paths[0].exists(), paths[1].exists()] == [True, False, False]


@pytest.mark.s3
def test_what_another_worker_drops_in_the_meantime_does_not_matter(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    (cache.cache_folder() / "gone").symlink_to("nowhere")  # listed, but not there when it is looked at
    store = open_store(s3)
    entry = write_column(store, "numbers", np.arange(5))
    with local_file(store, entry.name, entry.sha256, entry.size) as path:
        assert path.stat().st_size == entry.size


def test_a_mounted_folder_is_no_local_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "local"))
    monkeypatch.setattr(cache, "_MOUNTS", (str(tmp_path / "Volumes"),))
    for folder, copied in (("Volumes", True), ("disk", False)):
        store = open_store(f"file://{tmp_path}/{folder}")
        entry = write_column(store, "numbers", np.arange(5))
        with local_file(store, entry.name, entry.sha256, entry.size) as path:
            assert path.is_relative_to(tmp_path / "local") == copied


def test_what_is_in_use_is_not_dropped_and_what_a_killed_worker_left_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "local"))
    monkeypatch.setenv("PERSONALIZE_SPARK_CACHE_SIZE", "1b")
    monkeypatch.setattr(cache, "_MOUNTS", (str(tmp_path),))
    store = open_store(f"file://{tmp_path}/mounted")
    one, two = (write_column(store, f"{n}", np.arange(n)) for n in (5, 6))
    left = cache.cache_folder() / f"{'0' * 64}.unfinished"
    left.write_bytes(b"half")
    with local_file(store, one.name, one.sha256, one.size) as used:
        with local_file(store, two.name, two.sha256, two.size) as other:
            assert used.exists()
        assert other.exists()
    other.unlink()
    with local_file(store, two.name, two.sha256, two.size):
        assert not used.exists()
    assert not left.exists()


@pytest.mark.slow
def test_many_readers_of_one_cache_find_what_others_drop(tmp_path: Path) -> None:
    """Twenty processes read twelve columns at random through a cache that has room for three."""
    script = Path(__file__).with_name("cache_readers.py")
    environment = {**os.environ, "SPARK_LOCAL_DIRS": str(tmp_path / "local"), "PERSONALIZE_SPARK_CACHE_SIZE": "24k"}
    command = [sys.executable, str(script), str(tmp_path / "mounted"), "20"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    fetched = int(ran.stdout)
    print(f"{fetched} fetched")
    assert fetched > 12, "nothing was dropped"


@pytest.mark.slow
def test_a_large_user_side_does_not_stay_in_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "RESIDENT", 0)
    ids = [f"u{n}" for n in range(50_000)]
    catalog = Catalog(f"file://{tmp_path}")
    vectors = {each: np.full(64, n, np.float32) for n, each in enumerate(ids)}
    arn = write_version(
        catalog, "aws-user-personalization", ["a"], np.ones((1, 64), np.float32), vectors, [1], shards=2
    )
    users = read_model(Pinned(**catalog.read(arn).fields["model"]).open()).users
    assert users is not None
    for _ in range(2):
        np.testing.assert_array_equal(users.lookup(ids).vectors[:, 0], np.arange(len(ids)))
        ours = rf"{re.escape(str(tmp_path))}/\S+/users/0000.*?Rss:\s+(\d+)"
        resident = [int(each) for each in re.findall(ours, Path("/proc/self/smaps").read_text(), re.DOTALL)]
        assert len(resident) == 2
        assert max(resident) < 64


def test_the_cache_is_private_and_a_strangers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "local"))
    monkeypatch.delenv("LOCAL_DIRS", raising=False)
    folder = cache.cache_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)  # as other releases made it: strangers could read there, but not write
    assert cache.cache_folder().stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(ArtifactError, match="is not this user's alone: remove it"):
        cache.cache_folder()
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="is not this user's alone"):
        cache.cache_folder()
    assert list((tmp_path / "elsewhere").iterdir()) == []
