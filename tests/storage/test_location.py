from __future__ import annotations

from pathlib import Path

import pytest

from personalize_spark.errors import InvalidInputException
from personalize_spark.storage.location import hadoop_uri, open_store, split_prefix, uri_of, write_to


@pytest.mark.parametrize("uri", ["http://x/y", "s3://", "relative/path", "file://relative"])
def test_what_is_no_place_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInputException, match="not a storage location"):
        open_store(uri)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://b/in/us", ("s3://b/in/", "us")),
        ("s3://b/in/", ("s3://b/in/", "")),
        ("s3://b/x.json", ("s3://b/", "x.json")),
        ("s3://b", ("s3://b/", "")),
        ("file:///data/in", ("file:///data/", "in")),
        ("file:///in", ("file:///", "in")),
    ],
)
def test_a_path_is_a_folder_and_a_prefix(uri: str, expected: tuple[str, str]) -> None:
    assert split_prefix(uri) == expected


def test_spark_names_s3_otherwise() -> None:
    assert [hadoop_uri(uri) for uri in ("s3://b/k", "file:///x", "s3a://b/k")] == [
        "s3a://b/k",
        "file:///x",
        "s3a://b/k",
    ]


def test_a_place_is_a_path_or_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert uri_of("s3://b/x") == "s3://b/x"
    assert uri_of("a/b") == uri_of(Path("a/b")) == f"file://{tmp_path}/a/b"
    write_to("a/b", b"text")
    assert (tmp_path / "a" / "b").read_bytes() == b"text"


@pytest.mark.parametrize("place", ["", Path("s3://bucket/x"), "s3:/bucket/x", "dbfs:/x", "file:/x"])
def test_nothing_and_a_uri_with_one_slash_are_no_local_path(place: str | Path) -> None:
    with pytest.raises(InvalidInputException, match=f"'{place}' is not a storage location: use s3://bucket/folder"):
        uri_of(place)


def test_a_path_is_told_without_its_detours_unless_they_lead_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert uri_of(f"{tmp_path}/x/../a/./c") == f"file://{tmp_path}/a/c"
    assert uri_of(f"file://{tmp_path}/x/../a/b/") == f"file://{tmp_path}/a/b/"
    assert uri_of(f"file://{tmp_path}/a/b/..") == f"file://{tmp_path}/a/"
    assert uri_of("s3://b/x/../a") == "s3://b/x/../a"  # the name of an object
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    assert uri_of(f"{tmp_path}/link/../c") == f"file://{tmp_path}/link/../c"
