"""A store: named objects under one root URI, the same on a file system and on S3.

Names are relative to the root and never lead out of it. Bulk data is read by byte range, pinned to the `etag` that a
listing gave; small records are created and replaced by compare-and-set on their `version`.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from personalize_spark.errors import StorageError

READ_CHUNK = 8 << 20


class Retries:
    """Counts the requests that this process made again."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        """Count one more."""
        with self._lock:
            self.count += 1


RETRIES = Retries()


@dataclass(frozen=True)
class Access:
    """How a store gets its credentials and encrypts what it writes; holds no secret, so it may travel to tasks.

    Attributes:
        role_arn: assumed through STS by each process itself; `None` = the ambient credentials.
        kms_key_arn: the key for every object written; `None` = the bucket's own default.
    """

    role_arn: str | None = None
    kms_key_arn: str | None = None


@dataclass(frozen=True)
class Object:
    """An object as a listing shows it; `etag` names this content of it."""

    name: str
    size: int
    etag: str


class Store(Protocol):
    """What a storage backend can do. Every method raises `StorageError` or one of its children."""

    root: str
    """The URI of the folder that names are relative to; ends with `/`."""
    access: Access
    """What it was opened with."""

    def at(self, folder: str) -> Store:
        """The store of a folder below this one."""

    def list(self, prefix: str = "") -> Iterator[Object]:
        """All objects whose name starts with `prefix`, in ascending order of their names' UTF-8 bytes."""

    def newest(self, prefix: str) -> float | None:
        """When the youngest object whose name starts with `prefix` was written, unfinished ones included; `None` if there is none.

        Seconds since 1970 by the clock of the storage.
        """

    def read(self, name: str, start: int = 0, end: int | None = None, etag: str | None = None) -> bytes:
        """The bytes [start, end) as far as they exist; `ObjectChanged` when the object no longer carries `etag`."""

    def write(self, name: str, data: bytes) -> str:
        """Write the whole object, replacing what is there, and return its etag; readers see the old or the new one."""

    def upload(self, name: str, source: BinaryIO) -> str:
        """Like `write`, from a file of any size, read from its beginning."""

    def load(self, name: str) -> tuple[bytes, str]:
        """A small object and its version."""

    def create(self, name: str, data: bytes) -> str:
        """Write the object if there is none, and return its version: of many writers one wins, the others get `ObjectExists`."""

    def replace(self, name: str, data: bytes, version: str) -> str:
        """Write the object if it is still the one of that version, else `ObjectChanged`; returns the new version."""

    def compose(self, name: str, source: Store, pieces: Iterable[Object]) -> str:
        """Make one object out of the pieces (objects of `source`, a store of the same kind) in their order, and return its etag.

        The pieces may come late, one by one. The object appears whole, after the last of them; if there is an error, or a
        piece that is not what it was, never.
        """

    def delete(self, prefix: str) -> None:
        """Remove every object whose name starts with `prefix`."""


def checked(name: str) -> str:
    """The name itself, if it stays below the root of a file system; keys of S3 are taken as they are.

    Raises:
        StorageError: the name is absolute or climbs out.
    """
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise StorageError(f"The name '{name}' points outside its folder.")
    return name


class ObjectReader(io.RawIOBase):
    """An object as a stream, read in ranges of `READ_CHUNK` bytes."""

    def __init__(self, store: Store, found: Object) -> None:
        self._store, self._object, self._position = store, found, 0

    def readable(self) -> bool:
        """Always: this is a reader."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer has no len()
        """Fill the buffer from where the last read ended; 0 at the end."""
        end = min(self._position + len(buffer), self._object.size)
        if end == self._position:
            return 0
        data = self._store.read(self._object.name, self._position, end, self._object.etag)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def stream(store: Store, found: Object) -> io.BufferedReader:
    """The whole object as a buffered stream, pinned to its etag."""
    return io.BufferedReader(ObjectReader(store, found), READ_CHUNK)
