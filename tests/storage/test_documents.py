from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from personalize_spark.errors import ArtifactError, ObjectNotFound
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.file import FileStore


@dataclass(frozen=True)
class Part:
    name: str
    share: float | None = None


@dataclass(frozen=True)
class Whole:
    parts: list[Part]
    counts: dict[str, int] = field(default_factory=dict)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    store, whole = FileStore(str(tmp_path)), Whole([Part("a", 0.1), Part("é")], {"x": 1})
    write_document(store, "whole.json", whole)
    assert read_document(store, "whole.json", Whole) == whole


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"parts": [', "truncated"),
        (b'{"parts": [{}]}', r"missing required field `name` - at `\$\.parts\[0\]`"),
        (b'{"parts": [{"name": 1}]}', r"Expected `str`, got `int` - at `\$\.parts\[0\]\.name`"),
        (b'{"parts": [{"name": "\xff"}]}', "can't decode byte"),
    ],
)
def test_a_damaged_document_is_an_error_that_says_where(tmp_path: Path, data: bytes, said: str) -> None:
    store = FileStore(str(tmp_path))
    store.write("whole.json", data)
    with pytest.raises(ArtifactError, match=rf"{tmp_path}/whole\.json cannot be read: .*{said}.* create it again"):
        read_document(store, "whole.json", Whole)


def test_a_document_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFound):
        read_document(FileStore(str(tmp_path)), "whole.json", Whole)
