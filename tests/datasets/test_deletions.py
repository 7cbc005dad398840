"""The lists of users that are to be deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from personalize_spark.datasets import deletions
from personalize_spark.datasets.deletions import listed_users
from personalize_spark.errors import DataError


def test_users_are_read_from_all_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('USER_ID\nu1\n"u,2"\n\nu1\n')
    (tmp_path / "b.csv").write_text("USER_ID\nü3\n", encoding="utf-8")
    assert listed_users(f"file://{tmp_path}") == {"u1", "u,2", "ü3"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"USER_ID,AGE\nu1,3\n", "has the columns USER_ID, AGE: it must have USER_ID alone"),
        (b"USER_ID\n\xff\xfe\n", "is no CSV in UTF-8"),
        (b'USER_ID\nu1\n"x"y\n', "is no CSV in UTF-8: near line 3"),
        (b"", "nothing to import"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(DataError, match=said):
        listed_users(f"file://{tmp_path}/a.csv")


def test_a_list_larger_than_the_services_quota_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("USER_ID\nu1\n")
    monkeypatch.setattr(deletions, "MAX_BYTES", 5)
    with pytest.raises(DataError, match="by several jobs"):
        listed_users(f"file://{tmp_path}/a.csv")
