from __future__ import annotations

from pathlib import Path

import pytest

from personalize_spark.errors import AccessDenied
from personalize_spark.storage.location import open_store


def test_what_a_killed_writer_left_is_not_listed_and_goes_with_its_folder(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    store.write("_staging/job/piece", b"whole")
    (tmp_path / "_staging/job/.0123.unfinished~").write_bytes(b"hal")
    assert [found.name for found in store.list()] == ["_staging/job/piece"]
    store.at("_staging/job").delete("")
    assert list(tmp_path.glob("_staging/*")) == []


def test_a_file_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")  # as root, every file may be read

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AccessDenied, match="Permission denied; give the user that runs Spark access"):
        open_store(f"file://{tmp_path}").read("a")
