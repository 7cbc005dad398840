"""Tables are told by their files, without Spark."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from personalize_spark.datasets.table_files import TableFiles, find_table
from personalize_spark.errors import DataError

PARQUET = pa.table({"a": [1]})


def parquet(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(PARQUET, path)


def test_a_parquet_file_and_a_folder_with_partitions_are_tables(tmp_path: Path) -> None:
    parquet(tmp_path / "one")
    assert find_table(f"file://{tmp_path}/one") == TableFiles(f"file://{tmp_path}/one", "parquet")
    parquet(tmp_path / "many" / "day=2026-11-01" / "my%20shop=a b" / "part-0")
    (tmp_path / "many" / "_SUCCESS").touch()
    (tmp_path / "many" / "_metadata").write_text("of the folder")
    found = find_table(f"file://{tmp_path}/many/")
    assert found == TableFiles(f"file://{tmp_path}/many", "parquet", partitions=("day", "my shop"))


def test_a_delta_table_may_have_a_version(tmp_path: Path) -> None:
    log = tmp_path / "table" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("{}")
    for spelled, version in {"table": None, "table/": None, "table@v12": 12, "table/@v0": 0}.items():
        assert find_table(f"file://{tmp_path}/{spelled}") == TableFiles(f"file://{tmp_path}/table", "delta", version)


def test_csv_is_no_table_nor_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("USER_ID")
    (tmp_path / "b.csv").write_text("")
    assert [find_table(f"file://{tmp_path}/{name}") for name in ("a.csv", "b.csv", "c.csv", "")] == [None] * 4


@pytest.mark.parametrize(
    ("name", "kind"), [("metadata/v1.metadata.json", "an Iceberg"), (".hoodie/hoodie.properties", "a Hudi")]
)
def test_the_files_of_other_tables_are_not_read_as_parquet(name: str, kind: str, tmp_path: Path) -> None:
    parquet(tmp_path / "table" / "data" / "part-0")
    (tmp_path / "table" / name).parent.mkdir()
    (tmp_path / "table" / name).write_text("{}")
    with pytest.raises(DataError, match=f"is {kind} table, whose files alone do not say which rows count"):
        find_table(f"file://{tmp_path}/table")


def test_only_delta_has_versions(tmp_path: Path) -> None:
    parquet(tmp_path / "table" / "part-0")
    with pytest.raises(DataError, match=r"table is no Delta table, so it has no version 3: leave @v3 out"):
        find_table(f"file://{tmp_path}/table@v3")
