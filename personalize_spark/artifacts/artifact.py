"""An artifact: an immutable folder of columns (`.npy`, Arrow IPC) and one `manifest.json` that names them all.

The manifest is written last, so an artifact without one is unfinished. It holds each file's SHA-256 and size, and the
artifact's own properties. Columns are mapped, never unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedRandom, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from personalize_spark.artifacts.cache import local_file
from personalize_spark.errors import ArtifactError, ObjectNotFound
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.storage.documents import decoded
from personalize_spark.storage.file import on_local_disk
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Store

FORMAT = 2
MANIFEST = "manifest.json"
_SMALL = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A file of an artifact."""

    name: str
    sha256: str
    size: int
    rows: int


@dataclass(frozen=True)
class Pinned:
    """A finished artifact by name: its URI, and the SHA-256 of its manifest, so that it is always the same one."""

    uri: str
    sha256: str

    def open(self) -> Artifact:
        """The artifact itself.

        Raises:
            ArtifactError: it is unfinished, of another format, or not the one that was pinned.
        """
        return Artifact(open_store(self.uri), self.sha256)


@dataclass(frozen=True)
class Manifest:
    """What a finished artifact holds; its SHA-256 pins the artifact."""

    format: int
    properties: dict[str, Any] = field(default_factory=dict)
    files: list[Entry] = field(default_factory=list)


class Artifact:
    """A finished artifact, read through the host's cache.

    Raises:
        ArtifactError: no manifest, one of another format, or not the one that was pinned.
    """

    def __init__(self, store: Store, pinned: str | None = None) -> None:
        self.store = store
        try:
            data = store.read(MANIFEST)
        except ObjectNotFound as error:
            raise ArtifactError(
                f"{store.root} holds no {MANIFEST}: it was never finished, or it was deleted."
            ) from error
        self.sha256 = hashlib.sha256(data).hexdigest()
        if pinned is not None and pinned != self.sha256:
            raise ArtifactError(f"{store.root}{MANIFEST} has changed since the job was planned; create a new job.")
        manifest = decoded(data, Manifest, f"{store.root}{MANIFEST}")
        if manifest.format != FORMAT:
            raise ArtifactError(f"{store.root} has format {manifest.format}, this release reads {FORMAT}: train again.")
        self.properties = manifest.properties
        """What the writer had to say besides the columns."""
        self.entries = {entry.name: entry for entry in manifest.files}
        """The files by name."""

    def column(self, name: str) -> NDArray[Any]:
        """The array of `NAME.npy`, mapped read-only."""
        with self.file(f"{name}.npy") as path:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array

    def ragged(self, name: str) -> Ragged[Any]:
        """The rows of `NAME.indptr.npy` and `NAME.values.npy`, mapped read-only."""
        return Ragged(self.column(f"{name}.indptr"), self.column(f"{name}.values"))

    def table(self, name: str) -> pa.RecordBatch:
        """The one record batch of `NAME.arrow`, mapped."""
        with self.file(f"{name}.arrow") as path, pa.memory_map(str(path)) as file:
            return pa.ipc.open_file(file).get_batch(0)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """The file on this host, to be mapped or read within the context: what the libraries raise becomes an `ArtifactError`.

        The file is what the manifest names, so whoever wrote it wrote the manifest too.

        Raises:
            ArtifactError: there is no such file, or it is damaged.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise ArtifactError(f"{self.store.root}{MANIFEST} does not list the file {name}.")
        with local_file(self.store, name, entry.sha256, entry.size) as path:
            try:
                yield path
            except (ValueError, EOFError, pa.ArrowException) as error:
                raise ArtifactError(
                    f"{self.store.root}{name} cannot be read: {error}. Train or import again."
                ) from error


def write_column(store: Store, name: str, array: NDArray[Any]) -> Entry:
    """Write an array as `NAME.npy`."""
    with on_local_disk(), _scratch(array.nbytes) as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)
        return _put(store, f"{name}.npy", file, len(array))


def write_ragged(store: Store, name: str, rows: Ragged[Any]) -> list[Entry]:
    """Write rows of different lengths as `NAME.indptr.npy` and `NAME.values.npy`."""
    return [write_column(store, f"{name}.indptr", rows.indptr), write_column(store, f"{name}.values", rows.values)]


def write_table(store: Store, name: str, batch: pa.RecordBatch) -> Entry:
    """Write a record batch as the Arrow IPC file `NAME.arrow`."""
    with on_local_disk(), _scratch(batch.nbytes) as file:
        with pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)
        return _put(store, f"{name}.arrow", file, batch.num_rows)


def finish(store: Store, entries: Iterable[Entry], properties: Mapping[str, Any]) -> Pinned:
    """Write the manifest: from now on the artifact exists."""
    manifest = Manifest(FORMAT, dict(properties), sorted(entries, key=lambda entry: entry.name))
    data = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
    store.create(MANIFEST, data)
    return Pinned(store.root, hashlib.sha256(data).hexdigest())


def _scratch(size: int) -> BytesIO | BufferedRandom:
    """Where a file is made before it goes to its store: a small one in memory, as most are, which is sooner done."""
    return BytesIO() if size <= _SMALL else tempfile.TemporaryFile()


def _put(store: Store, name: str, file: BytesIO | BufferedRandom, rows: int) -> Entry:
    size = file.tell()
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    store.upload(name, file)
    return Entry(name, sha256, size, rows)
