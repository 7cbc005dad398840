"""Small files are read, and few users written, in the driver's process, with the outcome of Spark's tasks."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import find_dataset
from personalize_spark.datasets import build_view, imports
from personalize_spark.datasets.import_plan import Files, plan_import
from personalize_spark.datasets.imports import CsvSource, import_files, run_import
from personalize_spark.datasets.small_tables import read_small_table
from personalize_spark.errors import TaskFailed
from personalize_spark.storage.location import open_store

pytestmark = pytest.mark.spark

FILES = {
    "Interactions/1.csv": b"USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP\n"
    + b"".join(b"u%d,i%d,click,%d\n" % (n % 7, n, n) for n in range(90))
    + b"u1,No,watch,90\nu1,Na,watch,90\nu1,0,watch,90\nu1,00,watch,never\nu2,,watch,91\n",
    "Interactions/2.csv.gz": gzip.compress(
        b'TIMESTAMP,EVENT_TYPE,ITEM_ID,USER_ID\n92,"a\nb",i1,u\xff\n93,click,i2,u3,more\n94,\xc3\xa9,i3,u3\n'
    ),
    "Items/1.csv": "ITEM_ID;GENRES;PRICE\ni1;drama|Kömödie;1,5\ni2;NA;NaN\ni1;late;2\n\n".encode(),
    "Items/2.csv": b"ITEM_ID;GENRES;PRICE\r\ni1;last;\r\ni9;\\N;3\r\n",
    "Users/1.csv": b"\xef\xbb\xbfUSER_ID,AGE\nu1,30\nu9,null\n",
}


def sources(folder: Path, files: dict[str, bytes]) -> dict[str, CsvSource]:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return {kind: CsvSource(f"{folder.as_uri()}/{kind}/") for kind in {name.partition("/")[0]: 0 for name in files}}


def outcome(spark: SparkSession, folder: Path, csv: Path) -> list[Any]:
    """What report, tables, lists of rejected rows and the view are, but for the name of the import."""
    catalog = Catalog(folder)
    report = import_files(spark, catalog, "shop", sources(csv, FILES))
    [group] = catalog.list("dataset-group")
    told = re.sub(r"(rejected|views/shop)/[0-9a-f]{8}\b", r"\1", str(report)).replace(folder.as_uri(), "")
    found: list[Any] = [told, Pinned(**group.fields["view"]).open().entries]
    for each in report.datasets:
        record = find_dataset(catalog, group.arn, each.dataset)
        table = read_small_table(open_store(record.fields["path"]), record.fields["deltaVersion"])
        assert table is not None
        rejected = open_store(each.rejected_uri or "")
        found += [
            sorted(map(repr, table.to_pylist())),
            b"".join(rejected.read(one.name) for one in rejected.list("part-")),
        ]
    return found


def test_the_outcome_is_that_of_tasks(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(imports, "_read", None)  # no task reads
        patch.setattr(build_view, "write_user_shards", None)  # and none writes users
        here = outcome(spark, tmp_path / "here", tmp_path / "csv")
    monkeypatch.setattr(imports, "_LITTLE_BYTES", 0)
    monkeypatch.setattr(imports, "_check_here", None)
    monkeypatch.setattr(build_view, "_FEW", 0)
    monkeypatch.setattr(build_view, "write_few_users", None)
    assert outcome(spark, tmp_path / "tasks", tmp_path / "csv") == here
    assert "Interactions: 94 rows imported" in here[0]
    assert "  4 rows were not imported" in here[0]
    assert "3 of 93 ids look unlike the others, such as '0', 'Na';" in here[0]


def test_little_is_little_in_bytes_and_in_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [plan, *_] = plan_import(Catalog(tmp_path / "catalog"), "shop", sources(tmp_path, FILES)).datasets
    assert isinstance(plan, Files)
    size = sum(len(data) for name, data in FILES.items() if name.startswith("Interactions/"))
    for bytes_, rows, little in ((size, 98, True), (size - 1, 98, False), (size, 97, False)):
        monkeypatch.setattr(imports, "_LITTLE_BYTES", bytes_)
        monkeypatch.setattr(imports, "_LITTLE_ROWS", rows)
        assert (imports._read_here(plan) is not None) == little


@pytest.mark.parametrize("most", [0, imports._LITTLE_BYTES])
def test_what_cannot_be_read_any_more_fails_as_in_tasks(
    most: int, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_LITTLE_BYTES", most)
    catalog = Catalog(tmp_path / "catalog")
    plan = plan_import(catalog, "shop", sources(tmp_path, FILES))
    sources(tmp_path, {"Items/2.csv": b"another"})
    with pytest.raises(TaskFailed, match=r"^The import failed in Spark: .*Items/2\.csv changed after it was listed"):
        run_import(spark, catalog, plan)
    assert [*catalog.list("dataset")] == []


def test_users_may_come_first(spark: SparkSession, tmp_path: Path) -> None:
    csv, catalog = tmp_path / "csv", Catalog(tmp_path / "catalog")
    import_files(spark, catalog, "shop", sources(csv, {"Users/1.csv": FILES["Users/1.csv"]}))
    [group] = catalog.list("dataset-group")
    alone = Pinned(**group.fields["view"]).open()
    import_files(spark, catalog, "shop", {kind: each for kind, each in sources(csv, FILES).items() if kind != "Users"})
    [group] = catalog.list("dataset-group")
    later = Pinned(**group.fields["view"]).open()
    import_files(spark, Catalog(tmp_path / "other"), "shop", sources(csv, FILES))
    [group] = Catalog(tmp_path / "other").list("dataset-group")
    assert later.entries == Pinned(**group.fields["view"]).open().entries != alone.entries
