from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from personalize_spark.errors import InvalidInputException, ObjectChanged, StorageError
from personalize_spark.job import byte_ranges
from personalize_spark.job.byte_ranges import ByteRange, blocks, compressed, cut, stored
from personalize_spark.records import MAX_LINE
from personalize_spark.storage.content import codec_of
from personalize_spark.storage.file import FileStore

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
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=3 * settings().max_examples)
def test_every_byte_is_in_exactly_one_split(
    lines: list[bytes], end: bytes, target: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"\n".join(lines) + (end if lines else b"")
    assume(codec_of(data) is None)
    monkeypatch.setattr(byte_ranges, "READ_CHUNK", chunk)
    monkeypatch.setattr(byte_ranges, "_LOOK_AHEAD", 2)
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


@pytest.mark.slow
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
    monkeypatch.setattr(byte_ranges, "READ_CHUNK", 7)
    packed = PACKERS[suffix.lower()]
    store = FileStore(str(tmp_path))
    store.write(f"a{suffix}", packed(b"one\ntwo\n") + packed(b"three\nfour"))
    assert lines_by_split(store, 3) == [[b"one\n", b"two\n", b"three\n", b"four"]]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("name", ["a.json", "a", "a.gz"])
def test_the_content_tells_the_compression_where_the_name_does_not(tmp_path: Path, name: str, suffix: str) -> None:
    store = FileStore(str(tmp_path))
    store.write(name, PACKERS[suffix](b"one\ntwo\n"))
    [source] = store.list()
    assert compressed(store, source)
    [part] = cut(source, 1, packed=True)
    assert b"".join(blocks(store, part)) == b"one\ntwo\n"
    assert b"".join(blocks(store, ByteRange(source, 0, source.size))) == b"one\ntwo\n"
    if name != "a.gz":
        assert b"".join(blocks(store, part, list(stored(store, part)))) == b"one\ntwo\n"


@pytest.mark.slow
def test_a_bomb_under_another_name_is_stopped_too(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.write("bomb.json", gzip.compress(b"1\n" * (20 << 20)))
    [source] = store.list()
    with pytest.raises(StorageError, match=r"/bomb\.json inflates from 40,\d+ to more than 16,777,216 bytes"):
        list(blocks(store, ByteRange(source, 0, source.size)))


def test_plain_text_is_not_compressed(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.write("a.json", b'{"userId":"u1"}\n')
    assert not compressed(store, next(store.list()))


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
def test_a_packed_object_that_lacks_its_end_is_said_wherever_it_ends(tmp_path: Path, suffix: str) -> None:
    store, packed = FileStore(str(tmp_path)), PACKERS[suffix](b"one\ntwo\nthree\n" * 20)
    for length in range(1, len(packed)):
        store.write(f"a{suffix}", packed[:length])
        with pytest.raises(StorageError, match=rf"a\{suffix} is not a complete .* file: Truncated"):
            lines_by_split(store, 1)


@pytest.mark.parametrize("damage", [b"", b"PK\3\4", b'{"userId":"u1"}\n'])
def test_what_is_not_packed_as_its_name_says_is_said(tmp_path: Path, damage: bytes) -> None:
    store = FileStore(str(tmp_path))
    store.write("a.gz", damage + gzip.compress(b"one\n")[5:])
    with pytest.raises(StorageError, match=r"a\.gz is not a complete gzip file"):
        lines_by_split(store, 1)


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_an_object_that_changes_under_the_reader_is_said(tmp_path: Path, name: str) -> None:
    store = FileStore(str(tmp_path))
    store.write(name, gzip.compress(b"one\n"))
    [source] = store.list()
    store.write(name, gzip.compress(b"another\n"))
    with pytest.raises(ObjectChanged, match="changed after it was listed"):
        list(blocks(store, cut(source, 1 << 20)[0]))


def test_an_empty_object_has_no_split(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.write("a", b"")
    assert cut(next(store.list()), 10) == []


@pytest.mark.slow
def test_a_bomb_is_stopped_where_the_limit_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(str(tmp_path))
    store.write("bomb.gz", gzip.compress(b"1\n" * (20 << 20)))
    store.write("small.gz", gzip.compress(b"1\n" * (1 << 20)))
    small, bomb = (cut(found, 1)[0] for found in sorted(store.list(), key=lambda found: found.size))
    assert sum(map(len, blocks(store, small))) == 2 << 20
    lengths: list[int] = []
    with pytest.raises(
        StorageError, match=r"/bomb\.gz inflates from 40,\d+ to more than 16,777,216 bytes. If that is right"
    ):
        lengths.extend(map(len, blocks(store, bomb)))
    assert sum(lengths) <= 16 << 20
    monkeypatch.setenv("PERSONALIZE_SPARK_MAX_INFLATION", "0")
    assert sum(map(len, blocks(store, cut(bomb.source, 1)[0]))) == 40 << 20
    monkeypatch.setenv("PERSONALIZE_SPARK_MAX_INFLATED", "1000000")
    with pytest.raises(StorageError, match="to more than 1,000,000 bytes"):
        list(blocks(store, cut(small.source, 1)[0]))
    monkeypatch.setenv("PERSONALIZE_SPARK_MAX_INFLATED", "1g")
    with pytest.raises(InvalidInputException, match="PERSONALIZE_SPARK_MAX_INFLATED must be a whole number, not '1g'"):
        cut(small.source, 1)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
def test_an_empty_object_is_no_compressed_one(tmp_path: Path, suffix: str) -> None:
    store = FileStore(str(tmp_path))
    store.write(f"a{suffix}", b"")
    with pytest.raises(StorageError, match=f"/a{suffix} is not a complete .* file: it is empty"):
        list(blocks(store, cut(next(store.list()), 1)[0]))


def test_zeros_behind_a_gzip_file_are_padding(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.write("a.gz", gzip.compress(b"one\n") + gzip.compress(b"two\n") + bytes(1_000))
    assert b"".join(blocks(store, cut(next(store.list()), 1)[0])) == b"one\ntwo\n"
