from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.errors import AccessDenied, ObjectNotFound, StorageError
from personalize_spark.storage import file
from personalize_spark.storage.location import open_store


def test_what_a_killed_writer_left_is_not_listed_and_goes_with_its_folder(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    store.write("_staging/job/piece", b"whole")
    (tmp_path / "_staging/job/.0123.unfinished~").write_bytes(b"hal")
    assert [found.name for found in store.list()] == ["_staging/job/piece"]
    store.at("_staging/job").delete("")
    assert list(tmp_path.glob("_staging/*")) == []


def test_folders_that_are_left_empty_go_up_to_the_stores_own(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/out")
    for name in ("_staging/one/piece", "_staging/two/piece"):
        store.write(name, b"x")
    store.delete("_staging/one/")
    assert [each.name for each in tmp_path.glob("out/_staging/*")] == ["two"]
    store.delete("_staging/two/")
    assert list(tmp_path.glob("out/*")) == []
    assert (tmp_path / "out").is_dir()


def test_a_file_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")  # as root, every file may be read

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(AccessDenied, match="Permission denied; give the user that runs Spark access"):
        open_store(f"file://{tmp_path}").read("a")


def names(folder: Path, prefix: str = "") -> list[str]:
    return [found.name for found in open_store(f"file://{folder}").list(prefix)]


def write(folder: Path, *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


@pytest.fixture
def scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that are looked into; one called `locked` may not be. Clearing up looks into them behind it."""
    seen: list[str] = []
    scandir: Any = os.scandir

    def scan(path: Path) -> Any:
        seen.append(path.name)
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")  # as root, every folder may be read
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    return seen


@pytest.mark.usefixtures("scanned")
def test_a_folder_that_may_not_be_read_is_never_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "in/a", "in/locked/b", "other/c")
    with pytest.raises(AccessDenied, match=f"file://{tmp_path}/in/locked: Permission denied; give the user"):
        names(tmp_path, "in/")
    assert names(tmp_path, "other/") == ["other/c"]


def test_a_prefix_is_listed_without_the_folders_beside_it(tmp_path: Path, scanned: list[str]) -> None:
    write(tmp_path, "in/us/1/a", "in/usa/b", "in/eu/c", "out/d")
    assert names(tmp_path, "in/us") == ["in/us/1/a", "in/usa/b"]
    assert scanned == ["in", "us", "usa", "1"]
    assert names(tmp_path, "in/us/1/a/") == []
    assert names(tmp_path, "nothing/") == []


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/a", "elsewhere/sub/b", "in/c", "in/z/d")
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/link2").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/again").symlink_to(tmp_path / "in/z")
    (tmp_path / "in/z/loop").symlink_to(tmp_path / "in")
    (tmp_path / "elsewhere/sub/loop").symlink_to(tmp_path)
    (tmp_path / "in/file").symlink_to(tmp_path / "in/c")
    (tmp_path / "in/dangling").symlink_to(tmp_path / "nothing")
    assert names(tmp_path / "in") == ["c", "file", "link/a", "link/sub/b", "z/d"]
    assert names(tmp_path / "in", "again/") == ["again/d", "again/loop/c", "again/loop/file"] + [
        f"again/loop/link/{name}" for name in ("a", "sub/b")
    ]


def test_a_link_to_itself_is_as_one_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "whole").write_bytes(b"1")
    assert names(tmp_path) == ["whole"]
    with pytest.raises(ObjectNotFound, match="/self: Too many levels of symbolic links"):
        open_store(f"file://{tmp_path}").read("self")


def test_what_lies_behind_a_link_is_never_deleted(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/a", "in/b")
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere")
    open_store(f"file://{tmp_path}").delete("in/")
    assert names(tmp_path) == ["elsewhere/a"]
    assert not (tmp_path / "in").exists()


def test_pipes_are_no_objects_and_nothing_waits_for_them(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    store.write("a.json", b"a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    assert [found.name for found in store.list()] == ["a.json"]
    with pytest.raises(StorageError, match=r"/pipe is no regular file\."):
        store.load("pipe")
    store.delete("")
    assert not tmp_path.exists()


@pytest.mark.slow
def test_a_lock_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"file://{tmp_path}")
    version = store.create("record", b"1")
    lock = tmp_path / ".lock.unfinished~"
    holding = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    monkeypatch.setattr(file, "_LOCK_PATIENCE", 0.2)
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        with pytest.raises(StorageError, match=f"Another process has held the lock {lock} .* let it go on or end it"):
            store.replace("record", b"2", version)
        holder.kill()
    assert store.load("record") == (b"1", version)
    store.replace("record", b"2", version)
    assert store.read("record") == b"2"


@pytest.mark.parametrize(("call", "lacking"), [("os.link", "hard links"), ("fcntl.flock", "locks")])
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_of_an_object_store_is_refused_in_plain_words(
    call: str, lacking: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test cannot count on mounting one: here its answers stand in for it."""
    store = open_store(f"file://{tmp_path}")
    version = store.create("record", b"1")

    def lacks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(call, lacks)
    with pytest.raises(StorageError, match=rf"has no {lacking}, .* Keep catalogs on s3:// or on a disk"):
        store.create("another", b"2") if call == "os.link" else store.replace("record", b"2", version)
    assert [each.name for each in store.list()] == ["record"]
    assert store.read("record") == b"1"


def test_outputs_need_neither_hard_links_nor_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    for call in ("os.link", "fcntl.flock"):
        monkeypatch.setattr(call, lacks)
    out = open_store(f"file://{tmp_path}/out")
    staging = out.at("_staging/job")
    for name, data in {"0": b"one\n", "1": b"two\n"}.items():
        staging.write(name, data)
    for _ in range(2):  # an output takes the place of an older one
        out.compose("users.json.out", staging, staging.list())
    out.delete("_staging/")
    assert [each.name for each in out.list()] == ["users.json.out"]
    assert out.read("users.json.out") == b"one\ntwo\n"


@pytest.mark.parametrize("name", ["in-the-way/x", "in-the-way/further/x"])
def test_a_file_where_a_folder_should_be_is_no_object_that_exists(tmp_path: Path, name: str) -> None:
    store = open_store(f"file://{tmp_path}")
    store.write("in-the-way", b"x")
    for write in (store.write, store.create):
        with pytest.raises(StorageError, match=f"cannot be a folder: {tmp_path}/in-the-way is a file") as raised:
            write(name, b"y")
        assert type(raised.value) is StorageError
