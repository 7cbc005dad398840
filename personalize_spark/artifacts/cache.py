"""The host's cache: artifact files on the local disk, one copy for all workers of a host, and which files were checked.

A file is hashed when it is first opened on a host, a copy as it arrives. `checked.log` remembers it by inode, size and time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from personalize_spark.errors import ArtifactError, ObjectNotFound, StorageError
from personalize_spark.settings import size_of
from personalize_spark.storage.file import FileStore, on_local_disk
from personalize_spark.storage.store import READ_CHUNK, Store

# Databricks mounts object storage here: a path, but no local disk to map.
_MOUNTS = ("/Volumes/", "/dbfs/")
MAX_SHARE_OF_DISK = 0.5
_LOG, _MAX_LOG = "checked.log", 4 << 20
_UNFINISHED = ".unfinished"
_checked: set[str] = set()
_read: dict[Path, int] = {}
"""How many bytes of each log this process has read."""


def cache_folder() -> Path:
    """A folder of this user alone, made if need be.

    It lies under Spark's local directory, so that it goes with the application where the platform cleans up.

    Raises:
        ArtifactError: somebody else made it, or may write there.
        StorageError: it cannot be made.
    """
    local = os.environ.get("LOCAL_DIRS") or os.environ.get("SPARK_LOCAL_DIRS") or tempfile.gettempdir()
    folder = Path(local.split(",")[0]) / f"personalize-spark-cache-{os.getuid()}"
    with on_local_disk(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    state = (
        folder.lstat()
    )  # its name can be guessed: a link would lead elsewhere, and files of a stranger would be taken for ours
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise ArtifactError(
            f"The cache folder {folder} is not this user's alone: remove it, or name another local folder (spark.local.dir, TMPDIR)."
        )
    folder.chmod(0o700)
    return folder


@contextlib.contextmanager
def local_file(store: Store, name: str, sha256: str, size: int) -> Iterator[Path]:
    """The file itself where it lies on a local disk, else its copy in the cache, made if need be.

    Within the context no other worker drops the copy; what is mapped there stays mapped.

    Raises:
        ArtifactError: it is missing, or it is not what the manifest names.
        StorageError: there is no room for a copy.
    """
    if isinstance(store, FileStore) and not str(store.folder).startswith(_MOUNTS):
        path = store.path(name)
        if not path.is_file():
            raise _missing(store, name)
        if not _sound(path, sha256):
            raise _damaged(store, name)
        yield path
        return
    folder = cache_folder()
    path = folder / sha256
    with on_local_disk(folder):
        lock = _lock_of(path).open("w")
    with lock:
        with on_local_disk(folder):
            fcntl.flock(lock, fcntl.LOCK_EX)  # of the workers of a host, one fetches and the others wait
            if not (path.exists() and _sound(path, sha256)):
                _make_room(folder)
                _fetch(store, name, sha256, size, path)
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        yield path


def _lock_of(path: Path) -> Path:
    """Who holds it opens the copy, or drops it."""
    return path.with_suffix(".lock")


def _sound(path: Path, sha256: str) -> bool:
    """Whether the file has this SHA-256; it is read once on a host, until its inode, size or time of change is another."""
    line = _line(path, sha256)
    if line not in _checked:
        with contextlib.suppress(OSError, StorageError):
            _learn(cache_folder() / _LOG)
    if line in _checked:
        return True
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            return False
    _remember(line)
    return True


def _learn(log: Path) -> None:
    """Take in what processes of this host have checked since the log was last read here."""
    with log.open("rb") as file:
        end, start = file.seek(0, os.SEEK_END), _read.get(log, 0)
        file.seek(start if start <= end else 0)  # it may have begun anew
        new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        _read[log] = file.tell() - len(new) + len(whole)
    _checked.update(whole.decode(errors="replace").splitlines(keepends=True))


def _line(path: Path, sha256: str) -> str:
    state = path.stat()
    return f"{sha256} {state.st_dev:x} {state.st_ino:x} {state.st_size:x} {state.st_mtime_ns:x}\n"


def _remember(line: str) -> None:
    _checked.add(line)
    with (
        contextlib.suppress(OSError, StorageError),
        (cache_folder() / _LOG).open("a") as file,
    ):  # a full disk: it is hashed again
        if file.tell() > _MAX_LOG:
            file.truncate(0)
        file.write(line)


def _fetch(store: Store, name: str, sha256: str, size: int, path: Path) -> None:
    """Copy a file; no list is asked for it, as that may be late."""
    unfinished = path.with_suffix(_UNFINISHED)  # of whoever holds the lock; one that was killed has left it to us
    digest = hashlib.sha256()
    try:
        with unfinished.open("wb") as target:
            for start in range(0, size, READ_CHUNK):
                chunk = store.read(name, start, min(start + READ_CHUNK, size))
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != sha256:
            raise _damaged(store, name)
        unfinished.rename(path)
        _remember(_line(path, sha256))
    except ObjectNotFound as error:
        raise _missing(store, name) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _missing(store: Store, name: str) -> ArtifactError:
    return ArtifactError(f"{store.root}{name} is missing: the artifact is incomplete; train or import it again.")


def _damaged(store: Store, name: str) -> ArtifactError:
    return ArtifactError(f"{store.root}{name} is damaged: its SHA-256 is not the manifest's; restore or retrain it.")


def _make_room(folder: Path) -> None:
    """Drop what was not used for longest while the cache takes more than its share of the disk; what is in use at the moment stays."""
    files = []
    for path in (path for path in folder.iterdir() if path.suffix in {"", _UNFINISHED}):
        with contextlib.suppress(FileNotFoundError):  # another worker makes room as well
            state = path.stat()
            files.append((state.st_atime_ns, state.st_size, path))
    used = sum(size for _, size, _ in files)
    allowed = size_of("cache-size") or (shutil.disk_usage(folder).free + used) * MAX_SHARE_OF_DISK
    for _, size, path in sorted(files):
        if used <= allowed:
            return
        with contextlib.suppress(BlockingIOError), _lock_of(path).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)  # a worker that has it mapped keeps it until it lets go
            used -= size
