"""Small Delta tables read from their files, beside what Delta itself reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from personalize_spark.datasets import small_tables
from personalize_spark.datasets.small_tables import read_small_table
from personalize_spark.spark import frame_of
from personalize_spark.storage.location import open_store

pytestmark = pytest.mark.spark

COLUMNS = "ITEM_ID string, PRICE double, STOCK int, SEEN long, SOLD boolean"
ROWS = [("a", 1.5, 1, 2**40, True), ("ä|%41", None, -2, None, False), ("c", -0.0, None, 3, None)]


def write(spark: SparkSession, place: Path, rows: Sequence[Any] = ROWS, columns: str = COLUMNS, **options: str) -> None:
    """Put rows into a table, as a file more."""
    frame = spark.createDataFrame(rows, columns).coalesce(1)
    frame.write.format("delta").mode("append").options(**options).save(str(place))


def here(place: Path, version: int) -> list[dict[str, Any]] | None:
    """The rows that are read from the files."""
    table = read_small_table(open_store(f"file://{place}"), version)
    return None if table is None else sorted(table.to_pylist(), key=repr)


def by_spark(spark: SparkSession, place: Path, version: int) -> list[dict[str, Any]]:
    """The rows that Delta reads."""
    rows = spark.read.format("delta").option("versionAsOf", version).load(str(place)).collect()
    return sorted((row.asDict() for row in rows), key=repr)


def test_each_version_has_the_rows_that_delta_reads(spark: SparkSession, tmp_path: Path) -> None:
    place = tmp_path / "a table"
    write(spark, place)
    write(spark, place)
    spark.sql(f"DELETE FROM delta.`{place}` WHERE ITEM_ID = 'a'")  # noqa: S608  # a folder of ours
    spark.sql(f"ALTER TABLE delta.`{place}` ADD COLUMNS (NEW STRING)")
    spark.sql(f"UPDATE delta.`{place}` SET NEW = 'new' WHERE ITEM_ID = 'c'")  # noqa: S608  # a folder of ours
    write(spark, place, [("z", "late")], "ITEM_ID string, NEW string")
    spark.sql(f"RESTORE TABLE delta.`{place}` TO VERSION AS OF 1")
    frame = spark.createDataFrame([("only", 7)], "ITEM_ID string, STOCK int")
    frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(str(place))
    spark.sql(f"DELETE FROM delta.`{place}`")  # noqa: S608  # a folder of ours
    for version in range(9):
        assert here(place, version) == by_spark(spark, place, version), version
    assert here(place, 8) == []
    assert len(here(place, 6) or []) == 2 * len(ROWS)


def test_what_is_not_simple_is_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    parted, typed = (tmp_path / name for name in ("parted", "typed"))
    spark.createDataFrame(ROWS, COLUMNS).write.format("delta").partitionBy("STOCK").save(str(parted))
    write(spark, typed, [("a", [1])], "ITEM_ID string, PARTS array<int>")
    assert [here(parted, 0), here(typed, 0)] == [None, None]
    vectors = tmp_path / "vectors"
    write(spark, vectors)
    assert here(vectors, 0) is not None
    on = "'delta.enableDeletionVectors' = 'true'"
    spark.sql(f"ALTER TABLE delta.`{vectors}` SET TBLPROPERTIES ({on})")
    spark.sql(f"DELETE FROM delta.`{vectors}` WHERE ITEM_ID = 'a'")  # noqa: S608  # a folder of ours
    assert here(vectors, 2) is None
    assert here(vectors, 0) == by_spark(spark, vectors, 0)


def test_what_is_not_there_is_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    place = tmp_path / "table"
    write(spark, place)
    [data] = place.glob("*.parquet")
    data.rename(tmp_path / "away")
    assert here(place, 0) is None
    (tmp_path / "away").rename(data)
    assert here(place, 0) is not None
    (place / "_delta_log" / f"{0:020d}.json").unlink()  # as after a checkpoint, when the log is cleaned
    assert here(place, 0) is None


def test_files_that_cannot_be_read_here_are_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    place, clone = tmp_path / "table", tmp_path / "clone"
    write(spark, place)
    spark.sql(f"CREATE TABLE delta.`{clone}` SHALLOW CLONE delta.`{place}`")
    assert here(clone, 0) is None
    assert len(by_spark(spark, clone, 0)) == len(ROWS)
    [file] = place.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-10])
    assert here(place, 0) is None


def test_an_empty_file_between_others_hides_nothing(spark: SparkSession) -> None:
    tables = [pa.table({"ITEM_ID": pa.array(ids, pa.string())}) for ids in (["a"], [], ["b"])]
    assert sorted(row[0] for row in frame_of(spark, pa.concat_tables(tables)).collect()) == ["a", "b"]


@pytest.mark.parametrize("limit", ["_COMMITS", "_FILES", "_BYTES", "_ROWS"])
def test_what_is_not_small_is_left_to_spark(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    place = tmp_path / "table"
    write(spark, place)
    write(spark, place)
    data = [path.stat().st_size for path in place.glob("*.parquet")]
    just = {"_COMMITS": 2, "_FILES": 2, "_BYTES": sum(data), "_ROWS": 2 * len(ROWS)}[limit]
    monkeypatch.setattr(small_tables, limit, just)
    assert here(place, 1) == by_spark(spark, place, 1)
    monkeypatch.setattr(small_tables, limit, just - 1)
    assert here(place, 1) is None
