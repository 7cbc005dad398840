"""Shards: a table of users cut by the hash of the user id, so that a few lines touch a few files.

The key of an id is the CRC-32 of its UTF-8 bytes (`zlib.crc32`, Spark SQL's `crc32`); of `count` shards, shard
`key * count >> 32` holds it. A shard `FOLDER/00017.arrow` is sorted by (key, id) and begins with the columns
`key: uint32` and `id: binary`.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_spark.artifacts.artifact import Artifact, Entry, write_table
from personalize_spark.storage.store import Store

USERS = "users"
"""The folder that the shards of users lie in."""
ROWS_PER_SHARD = 32_768
_FEW = 4
"""Shards that are worth a look on suspicion."""
RESIDENT = 256 << 20
"""Bytes of shards that may stay mapped into a process once they were read."""


def shard_count(rows: int) -> int:
    """How many shards a table of so many rows is cut into."""
    return max(1, -(-rows // ROWS_PER_SHARD))


def shard_name(folder: str, shard: int) -> str:
    """The name of a shard's table."""
    return f"{folder}/{shard:05d}"


def keys_of(ids: Sequence[bytes]) -> NDArray[np.uint32]:
    """uint32 (n,): the key of each id."""
    return np.fromiter(map(zlib.crc32, ids), np.uint32, len(ids))


def shards_of(keys: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """int64 (n,): the shard of each key."""
    return (keys.astype(np.uint64) * np.uint64(count) >> np.uint64(32)).astype(np.int64)


@dataclass(frozen=True)
class Found:
    """What one shard knows of a batch of ids: `positions` (m,) in the batch, and their `rows` (m,) in the `table`.

    To be copied from before the next one is asked for.
    """

    table: pa.RecordBatch
    positions: NDArray[np.int64]
    rows: NDArray[np.int64]


class RowSource(Protocol):
    """Where rows of users are looked up."""

    def find(self, ids: Sequence[bytes]) -> Iterator[Found]:
        """Look ids up."""


class Shards:
    """The shards of one folder of an artifact, opened when first asked for.

    Attributes:
        size: bytes of all of them.
    """

    def __init__(self, artifact: Artifact, folder: str) -> None:
        self._artifact, self._folder = artifact, folder
        sizes = [entry.size for name, entry in artifact.entries.items() if name.startswith(f"{folder}/")]
        self._count, self.size = len(sizes), sum(sizes)
        self._tables: dict[int, tuple[mmap.mmap, pa.RecordBatch]] = {}

    def split(self, ids: Sequence[bytes]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The shards that may hold some of the ids, ascending, and the positions of those."""
        if not ids or not self._count:
            return
        shards = shards_of(keys_of(ids), self._count)
        order = np.argsort(shards, kind="stable")
        touched, starts = np.unique(shards[order], return_index=True)
        yield from zip(touched.tolist(), np.split(order, starts[1:]), strict=True)

    def at_hand(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those ids whose shard is open by now, or one of few."""
        few = self._count <= _FEW
        return [ids[each] for shard, positions in self.split(ids) if few or shard in self._tables for each in positions]

    def find(self, ids: Sequence[bytes]) -> Iterator[Found]:
        """Look ids up; only the shards that may hold one of them are touched, each once."""
        keys = keys_of(ids)
        wanted = pa.array(ids, pa.binary())
        for shard, positions in self.split(ids):
            memory, table = self._table(shard)
            rows = _rows(table, keys[positions], wanted.take(positions))
            known = rows >= 0
            if known.any():
                yield Found(table, positions[known], rows[known])
            if self.size > RESIDENT:
                # The pages stay in the host's cache, but no longer count as this process's: some platforms kill by that number.
                memory.madvise(mmap.MADV_DONTNEED)

    def _table(self, shard: int) -> tuple[mmap.mmap, pa.RecordBatch]:
        if shard not in self._tables:
            name = f"{shard_name(self._folder, shard)}.arrow"
            with self._artifact.file(name) as path, path.open("rb") as file:
                memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self._tables[shard] = memory, pa.ipc.open_file(pa.py_buffer(memory)).get_batch(0)
        return self._tables[shard]


class GatheredRows:
    """The rows that were gathered for the lines of one split; `None` where none of its users is known."""

    def __init__(self, table: pa.RecordBatch | None) -> None:
        self._table = table

    def find(self, ids: Sequence[bytes]) -> Iterator[Found]:
        """Look ids up."""
        if self._table is None or not ids:
            return
        rows = _rows(self._table, keys_of(ids), pa.array(ids, pa.binary()))
        known = np.flatnonzero(rows >= 0)
        yield Found(self._table, known, rows[known])


class SplitRows:
    """The rows of one split after the other: from the shards, or from what was gathered for the split."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self._source: RowSource = shards

    def use(self, gathered: GatheredRows | None) -> None:
        """Look ids up there from now on; `None`: in the shards."""
        self._source = gathered or self.shards

    def find(self, ids: Sequence[bytes]) -> Iterator[Found]:
        """Look ids up."""
        return self._source.find(ids)


def _rows(table: pa.RecordBatch, keys: NDArray[np.uint32], ids: pa.Array) -> NDArray[np.int64]:
    """int64 (n,): the row of each id, -1 for an unknown one."""
    sorted_keys = table.column("key").to_numpy()
    rows = np.searchsorted(sorted_keys, keys).astype(np.int64)
    result = np.full(len(keys), -1, np.int64)
    open_ = np.flatnonzero(rows < len(sorted_keys))
    open_ = open_[sorted_keys[rows[open_]] == keys[open_]]
    while len(open_):
        equal = pc.equal(table.column("id").take(pa.array(rows[open_])), ids.take(open_)).to_numpy(zero_copy_only=False)
        result[open_[equal]] = rows[open_[equal]]
        open_ = open_[~equal]
        rows[open_] += 1  # two ids of the same key lie side by side
        open_ = open_[rows[open_] < len(sorted_keys)]
        open_ = open_[sorted_keys[rows[open_]] == keys[open_]]
    return result


def write_shards(store: Store, folder: str, batches: Iterable[pa.RecordBatch]) -> Iterator[Entry]:
    """Write the shards of one partition, one after the other.

    Args:
        store: the artifact's store.
        folder: the folder of the shards in it.
        batches: rows sorted by shard, key and id; a first column `shard`, then the columns of the table.
    """
    shard: int | None = None
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        numbers = batch.column("shard").to_numpy(zero_copy_only=False)
        starts = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(numbers)]
        for start, end in pairwise(starts if len(numbers) else []):
            if pending and numbers[start] != shard:
                yield _write_shard(store, shard_name(folder, int(shard or 0)), pending)
                pending = []
            shard = numbers[start]
            pending.append(batch.slice(start, end - start))
    if pending:
        yield _write_shard(store, shard_name(folder, int(shard or 0)), pending)


def write_missing(store: Store, folder: str, count: int, schema: pa.Schema, written: Iterable[Entry]) -> list[Entry]:
    """Write the shards that no row fell into, so that all `count` of them are there; returns all entries."""
    entries = list(written)
    there = {entry.name for entry in entries}
    missing = [name for shard in range(count) if f"{(name := shard_name(folder, shard))}.arrow" not in there]
    empty = pa.RecordBatch.from_pylist([], schema)
    return entries + [write_table(store, name, empty) for name in missing]


def _write_shard(store: Store, name: str, batches: list[pa.RecordBatch]) -> Entry:
    table = pa.Table.from_batches(batches).drop_columns(["shard"]).combine_chunks()
    return write_table(store, name, table.to_batches()[0])
