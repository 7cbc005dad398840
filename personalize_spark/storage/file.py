"""A store on a file system: a folder, its files, and atomic renames."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import random
import shutil
import stat
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

from personalize_spark.errors import AccessDenied, ObjectChanged, ObjectExists, ObjectNotFound, StorageError
from personalize_spark.storage.store import READ_CHUNK, Access, Object, Store, checked

_LACKING = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}
"""What a file system answers that does not know a call."""
_UNFINISHED = ".unfinished~"
_LOCK_PATIENCE = 60.0
"""Seconds for which a lock is waited for: who changes a record holds it for the time of one small write."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.2
_KERNEL_CHUNK = 1 << 30


class FileStore:
    """Files below one folder. A version is the hash of the content; an etag is the file's identity, time and size."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.root = f"file://{str(self.folder).rstrip('/')}/"
        self.access = Access()  # a file system has no keys of its own

    def at(self, folder: str) -> FileStore:
        """See `Store.at`."""
        return FileStore(str(self.folder / checked(folder)))

    def path(self, name: str) -> Path:
        """Where an object lies on this machine."""
        return self.folder / checked(name)

    def list(self, prefix: str = "") -> Iterator[Object]:
        """See `Store.list`; links to folders are followed, but no folder is listed twice."""
        names = (name for name in self._names(prefix, follow=True) if not name.endswith(_UNFINISHED))
        for name in sorted(names, key=os.fsencode):
            with contextlib.suppress(ObjectNotFound), self._says_where(name):  # deleted since the walk saw it
                state = self.path(name).stat()
                if stat.S_ISREG(state.st_mode):  # a pipe would be waited for
                    yield Object(name, state.st_size, _etag(state))

    def broken_links(self, prefix: str = "") -> Iterator[Object]:
        """Links to nothing, which `list` leaves out: nothing can be read there."""
        for name in self._names(prefix, follow=True):
            path = self.path(name)
            if path.is_symlink() and not path.exists():
                yield Object(name, 0, "")

    def newest(self, prefix: str) -> float | None:
        """See `Store.newest`."""
        times = list[float]()
        for name in self._names(prefix, follow=False):
            with contextlib.suppress(FileNotFoundError):
                times.append(self.path(name).lstat().st_mtime)
        return max(times, default=None)

    def read(self, name: str, start: int = 0, end: int | None = None, etag: str | None = None) -> bytes:
        """See `Store.read`."""
        with self._opened(name, etag) as (file, size):
            file.seek(start)
            return _read_fully(file, max(0, min(end if end is not None else size, size) - start))

    def write(self, name: str, data: bytes) -> str:
        """See `Store.write`."""
        return self.upload(name, io.BytesIO(data))

    def upload(self, name: str, source: BinaryIO) -> str:
        """See `Store.upload`."""
        source.seek(0)
        with self._says_where(name), self._unfinished(name) as path:
            with path.open("wb") as target:
                shutil.copyfileobj(source, target, READ_CHUNK)
            etag = _etag(path.stat())
            path.replace(self.path(name))
        return etag

    def load(self, name: str) -> tuple[bytes, str]:
        """See `Store.load`."""
        data = self.read(name)
        return data, _version(data)

    def create(self, name: str, data: bytes) -> str:
        """See `Store.create`."""
        with self._says_where(name), self._unfinished(name) as path:
            path.write_bytes(data)
            _sync(path)
            with self._can("hard links"):
                os.link(path, self.path(name))  # unlike a rename, a link never replaces
        return _version(data)

    def replace(self, name: str, data: bytes, version: str) -> str:
        """See `Store.replace`."""
        with self._says_where(name), self._locked():
            if self.load(name)[1] != version:
                raise ObjectChanged(f"{self.root}{name} was changed by another writer.")
            self.write(name, data)
            _sync(self.path(name))
        return _version(data)

    def compose(self, name: str, source: Store, pieces: Iterable[Object]) -> str:
        """See `Store.compose`."""
        if not isinstance(source, FileStore):
            raise StorageError(
                f"{self.root}{name} cannot be composed of pieces on {source.root}: stage on a file:// URI."
            )
        _make(source.folder)
        # The growing file lies with the pieces, so that nothing unfinished is seen beside the target.
        with self._says_where(name), source._unfinished("compose") as path:
            with path.open("wb") as target:
                for piece in pieces:
                    with source._opened(piece.name, piece.etag) as (part, _):
                        _append(part, target)
                    _begin_to_store(target)
            _sync(path)
            etag = _etag(path.stat())
            _make(self.path(name).parent)
            path.replace(self.path(name))
        return etag

    def delete(self, prefix: str) -> None:
        """See `Store.delete`; what a killed writer left unfinished and folders that are left empty go as well.

        Of a link to a folder the link goes, never what is in the folder.
        """
        for name in list(self._names(prefix, follow=False)):
            self.path(name).unlink(missing_ok=True)
        top = self.path(prefix)
        below = [Path(each) for each, _, _ in os.walk(top if top.is_dir() else top.parent, topdown=False)]
        above = [each for each in top.parents if self.folder in each.parents]
        for folder in (*(each for each in below if str(each).startswith(str(top))), *above):
            with contextlib.suppress(OSError):  # not empty, or gone
                folder.rmdir()

    def _names(self, prefix: str, *, follow: bool) -> Iterator[str]:
        """All files whose name starts with the prefix; other folders than theirs are not looked into."""
        folders, links = deque([checked(prefix).rpartition("/")[0]]), deque[str]()
        seen = set[tuple[int, int]]()
        while folders or links:  # links last, so that a file has its own name where it has one
            for name, entry in self._entries((folders or links).popleft(), seen):
                if not name.startswith(prefix):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                elif follow and entry.is_symlink() and os.path.isdir(entry):  # noqa: PTH112  # unlike Path's, never raises
                    links.append(name)
                else:
                    yield name

    def _entries(self, folder: str, seen: set[tuple[int, int]]) -> Sequence[tuple[str, os.DirEntry[str]]]:
        """What a folder holds, in the order of names; nothing if there is none, or if it was `seen` before."""
        path = self.path(folder)
        with self._says_where(folder), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            state = path.stat()
            if (state.st_dev, state.st_ino) not in seen:
                seen.add((state.st_dev, state.st_ino))
                with os.scandir(path) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
                return [(f"{folder}/{entry.name}".removeprefix("/"), entry) for entry in found]
        return []

    @contextlib.contextmanager
    def _opened(self, name: str, etag: str | None) -> Iterator[tuple[BinaryIO, int]]:
        """The file and its size."""
        with (
            self._says_where(name),
            open(self.path(name), "rb", buffering=0, opener=_without_waiting) as file,
        ):
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise StorageError(f"{self.root}{name} is no regular file.")
            if etag is not None and _etag(state) != etag:
                raise ObjectChanged(
                    f"{self.root}{name} changed after it was listed. Run again when nothing writes to it."
                )
            yield file, state.st_size

    @contextlib.contextmanager
    def _unfinished(self, name: str) -> Iterator[Path]:
        target = self.path(name)
        _make(target.parent)
        path = target.parent / f".{uuid.uuid4().hex}{_UNFINISHED}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        path, pause = self.folder / f".lock{_UNFINISHED}", _FIRST_PAUSE
        with path.open("w") as lock:
            until = time.monotonic() + _LOCK_PATIENCE
            while not self._is_ours(lock):
                if time.monotonic() > until:
                    raise StorageError(
                        f"Another process has held the lock {path} for {_LOCK_PATIENCE:.0f} s: it is stopped, or its disk "
                        f"does not answer. `fuser {path}` tells its number on this host; let it go on or end it, then try again."
                    )
                time.sleep(pause * random.random())  # noqa: S311  # so that those who wait do not come together
                pause = min(2 * pause, _LONGEST_PAUSE)
            yield

    def _is_ours(self, lock: TextIO) -> bool:
        """Take the lock, if nobody has it."""
        with self._can("locks"):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    @contextlib.contextmanager
    def _can(self, what: str) -> Iterator[None]:
        """A file system of an object store, such as /Volumes and /dbfs of Databricks, lacks what conditional writes are made of."""
        try:
            yield
        except OSError as error:
            if error.errno not in _LACKING:
                raise
            raise StorageError(
                f"The file system of {self.root} has no {what}, without which a record is not safe from a second writer. "
                "Keep catalogs on s3:// or on a disk; inputs and outputs may lie there."
            ) from error

    @contextlib.contextmanager
    def _says_where(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectNotFound(f"{self.root}{name} does not exist.") from error
        except FileExistsError as error:
            raise ObjectExists(f"{self.root}{name} already exists.") from error
        except PermissionError as error:
            raise AccessDenied(
                f"{self.root}{name}: {error.strerror}; give the user that runs Spark access to it."
            ) from error
        except OSError as error:
            leads_nowhere = error.errno == errno.ELOOP  # a link to itself is no more there than one to nothing
            kind = ObjectNotFound if leads_nowhere else StorageError
            raise kind(f"{self.root}{name}: {error.strerror}.") from error


@contextlib.contextmanager
def on_local_disk(folder: Path | None = None) -> Iterator[None]:
    """Around work on files for the time being: what the system says of them, with the way on.

    Args:
        folder: where they lie; `None`: in that for temporary files.

    Raises:
        StorageError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder or tempfile.gettempdir()}: {error.strerror or error}. Free some space there, or name another "
            "local folder (spark.local.dir, TMPDIR without Spark)."
        ) from error


def _make(folder: Path) -> None:
    """Make a folder, if it is not there.

    Raises:
        StorageError: a file is in its way; to the caller that would be an object that exists.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next(each for each in (folder, *folder.parents) if each.exists())
        raise StorageError(f"{folder} cannot be a folder: {file} is a file.") from error


def _without_waiting(path: str, flags: int) -> int:
    """A pipe without a writer would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _etag(state: os.stat_result) -> str:
    return f"{state.st_ino:x}-{state.st_mtime_ns:x}-{state.st_size:x}"


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_fully(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def _append(part: BinaryIO, target: BinaryIO) -> None:
    """Copy the rest of a file behind another one: by the kernel, three to ten times faster, where system and disk can."""
    target.flush()
    with contextlib.suppress(AttributeError, OSError):  # not on this system; not from this disk to that one
        while os.copy_file_range(part.fileno(), target.fileno(), _KERNEL_CHUNK):
            pass
    shutil.copyfileobj(part, target, READ_CHUNK)  # what the kernel left: most often nothing


def _begin_to_store(target: BinaryIO) -> None:
    """Let the disk begin with what is there, so that the wait at the end is short; asked this way, Linux does not wait for it."""
    target.flush()
    with contextlib.suppress(AttributeError, OSError):  # not on this system
        os.posix_fadvise(target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _sync(path: Path) -> None:
    """Wait until a file's bytes are on the disk, before its name says that it is whole."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
