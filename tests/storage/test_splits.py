from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personalize_spark.errors import StorageError
from personalize_spark.records import MAX_LINE
from personalize_spark.storage import splits
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.splits import blocks, cut

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}
LINE = st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"."))


def lines_by_split(store: FileStore, target: int) -> list[list[bytes]]:
    [source] = store.list()
    return [b"".join(blocks(store, split)).splitlines(keepends=True) for split in cut(source, target)]


@given(
    lines=st.lists(LINE, max_size=12),
    end=st.sampled_from([b"", b"\n"]),
    target=st.integers(1, 40),
    chunk=st.integers(1, 9),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_every_byte_is_in_exactly_one_split(
    lines: list[bytes], end: bytes, target: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"\n".join(lines) + (end if lines else b"")
    monkeypatch.setattr(splits, "READ_CHUNK", chunk)
    monkeypatch.setattr(splits, "_LOOK_AHEAD", 2)
    store = FileStore(str(tmp_path))
    store.write("a", data)
    [source] = store.list()
    parts = [b"".join(blocks(store, split)) for split in cut(source, target)]
    assert b"".join(parts) == data
    assert all(part.endswith(b"\n") for part in parts[:-1] if part and not data.endswith(part))


def test_a_line_belongs_to_the_split_it_begins_in(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.write("a", b"one\ntwo\nthree\n")
    assert lines_by_split(store, 4) == [[b"one\n"], [b"two\n"], [b"three\n"], []]
    assert lines_by_split(store, 5) == [[b"one\n", b"two\n"], [b"three\n"], []]


def test_a_line_over_several_splits_is_read_once(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.write("a", b"x" * 100 + b"\nend\n")
    assert lines_by_split(store, 20) == [[b"x" * 100 + b"\n"], [], [], [], [], [b"end\n"]]


def test_a_line_beyond_the_limit_comes_without_its_end(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.write("a", b"ok\n" + b"x" * (40 << 20) + b"\nafter\n")
    [[first, long, last]] = lines_by_split(store, 1 << 40)
    assert (first, last) == (b"ok\n", b"after\n")
    assert MAX_LINE < len(long) < 20 << 20


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst", ".GZ"])
def test_packed_objects_are_read_with_all_their_members(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "READ_CHUNK", 7)
    packed = PACKERS[suffix.lower()]
    store = FileStore(str(tmp_path))
    store.write(f"a{suffix}", packed(b"one\ntwo\n") + packed(b"three\nfour"))
    assert lines_by_split(store, 3) == [[b"one\n", b"two\n", b"three\n", b"four"]]


@pytest.mark.parametrize("damage", [slice(0, -9), slice(5, None)])
def test_a_damaged_packed_object_is_said(tmp_path: Path, damage: slice) -> None:
    store = FileStore(str(tmp_path))
    store.write("a.gz", gzip.compress(b"one\ntwo\n" * 1_000)[damage])
    with pytest.raises(StorageError, match=r"a\.gz is not a whole gzip file"):
        lines_by_split(store, 1)


def test_an_empty_object_has_no_split(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    for name in ("a", "a.gz"):
        store.write(name, b"")
    assert [cut(found, 10) for found in store.list()] == [[], []]
