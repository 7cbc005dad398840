"""Rows that were put, on their way into Delta on a real session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.catalog import lease
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import find_dataset, import_arn
from personalize_spark.datasets import imports
from personalize_spark.datasets.delta_tables import fold, waits
from personalize_spark.datasets.imports import CsvSource, ImportMode, import_files
from personalize_spark.datasets.puts import PUT, Puts
from personalize_spark.errors import TaskFailed
from tests.datasets.test_imports import INTERACTIONS, sources, view_of
from tests.service.test_data_jobs import export_of, finish, rows_below
from tests.service.test_datasets import Service

pytestmark = pytest.mark.spark


def put(catalog: Catalog, group: Arn, dataset: str, *rows: tuple[Any, ...]) -> None:
    """Rows, their ids last."""
    names = {"Interactions": ("USER_ID", "ITEM_ID", "TIMESTAMP"), "Items": ("ITEM_ID", "GENRES")}[dataset]
    Puts(catalog, group, dataset).add([dict(zip((*names, PUT), row, strict=True)) for row in rows])


def rows_of(spark: SparkSession, catalog: Catalog, dataset: str) -> list[tuple[Any, ...]]:
    """The rows of a table at the version that its record names, their ids last."""
    fields = catalog.read(Arn.parse(f"arn:aws:personalize:us-east-1:000000000000:dataset/shop/{dataset}")).fields
    table = spark.read.format("delta").option("versionAsOf", fields["deltaVersion"]).load(fields["path"])
    return sorted(map(tuple, table.collect()))


def test_what_is_put_is_in_delta_once_and_outlives_imports(spark: SparkSession, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "i.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu1,a,10\nu2,b,11\n")
    (tmp_path / "f.csv").write_text("ITEM_ID,GENRES\na,drama\nb,drama\n")
    clicks, films = CsvSource(f"file://{tmp_path}/i.csv"), CsvSource(f"file://{tmp_path}/f.csv")
    group = Arn.parse(import_files(spark, catalog, "shop", {"Interactions": clicks, "Items": films}).dataset_group_arn)
    put(catalog, group, "Interactions", ("u1", "b", 20, "e1"), ("u3", "c", 21, "e2"))
    put(catalog, group, "Items", ("a", "comedy", "a"), ("c", "comedy", "c"))
    assert waits(catalog, group)
    fold(spark, catalog, group)
    assert not waits(catalog, group)
    put(catalog, group, "Interactions", ("u1", "b", 20, "e1"), ("u3", "d", 22, "e3"))  # e1 came again
    report = import_files(spark, catalog, "shop", {"Items": films}, ImportMode.INCREMENTAL)
    events = [("u1", "b", 20, "e1"), ("u3", "c", 21, "e2"), ("u3", "d", 22, "e3")]
    bulk = [("u1", "a", 10, None), ("u2", "b", 11, None)]
    assert rows_of(spark, catalog, "INTERACTIONS") == sorted([*bulk, *events])
    assert rows_of(spark, catalog, "ITEMS") == [("a", "drama", None), ("b", "drama", None), ("c", "comedy", "c")]
    assert report.datasets[0].rows == 2
    assert Pinned(**catalog.read(group).fields["view"]).open().properties["interactions"] == 5

    put(catalog, group, "Items", ("b", "horror", "b"))
    (tmp_path / "i.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu9,a,30\n")
    [clicked, filmed] = import_files(spark, catalog, "shop", {"Interactions": clicks, "Items": films}).datasets
    assert rows_of(spark, catalog, "INTERACTIONS") == sorted([("u9", "a", 30, None), *events])
    assert rows_of(spark, catalog, "ITEMS") == [("a", "drama", None), ("b", "horror", "b"), ("c", "comedy", "c")]
    assert (clicked.rows, clicked.replaced, filmed.rows, filmed.replaced) == (1, 0, 1, 1)


def test_a_table_is_made_of_events_alone_and_exports_tell_them_apart(spark: SparkSession, tmp_path: Path) -> None:
    service = Service(Catalog(f"file://{tmp_path}/catalog"))
    arns = service.dataset()
    tracker = service("CreateEventTracker", name="clicks", datasetGroupArn=arns["group"])["trackingId"]
    clicked = [
        {"eventType": "click", "sentAt": 30 + each, "itemId": f"i{each}", "eventId": f"{each}"} for each in (1, 2)
    ]
    service("PutEvents", trackingId=tracker, sessionId="s", userId="u1", eventList=clicked)
    (tmp_path / "i.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu1,a,10\n")
    source = {"dataLocation": f"file://{tmp_path}/i.csv"}
    service.import_of(arns["dataset"], dataSource=source, importMode="INCREMENTAL")
    finish(service, spark)
    service("PutEvents", trackingId=tracker, sessionId="s", userId="u2", eventList=clicked[:1])
    late = [{"eventType": "click", "sentAt": 40, "itemId": "late"}]
    service("PutEvents", trackingId=tracker, sessionId="s", userId="u2", eventList=late)
    for mode in ("BULK", "PUT", "ALL"):
        export_of(service, arns["dataset"], tmp_path / "out", mode, ingestionMode=mode)
    finish(service, spark)
    header, bulk = rows_below(tmp_path / "out" / "BULK")
    assert (header, bulk) == (["USER_ID", "ITEM_ID", "TIMESTAMP"], [["u1", "a", "10"]])
    events = [["u1", "i1", "31"], ["u1", "i2", "32"], ["u2", "late", "40"]]
    assert rows_below(tmp_path / "out" / "PUT") == (header, events)
    assert rows_below(tmp_path / "out" / "ALL") == (header, sorted([*bulk, *events]))
    record = service.catalog.read(Arn.parse(arns["group"]))
    assert Pinned(**record.fields["view"]).open().properties["interactions"] == 4


def test_what_a_killed_import_wrote_does_not_count(spark: SparkSession, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "i.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu1,a,10\nu2,b,11\n")
    clicks = {"Interactions": CsvSource(f"file://{tmp_path}/i.csv")}
    import_files(spark, catalog, "shop", clicks)
    rows = rows_of(spark, catalog, "INTERACTIONS")
    path = f"file://{tmp_path}/catalog/datasets/shop/interactions"
    spark.read.format("delta").load(path).write.format("delta").mode("append").save(path)  # and no record of it
    import_files(spark, catalog, "shop", clicks, ImportMode.INCREMENTAL)
    assert rows_of(spark, catalog, "INTERACTIONS") == sorted(2 * rows)


def test_an_import_that_was_killed_or_met_a_sleeper_counts_for_nothing(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"file://{tmp_path}"
    catalog = Catalog(f"{root}/catalog")
    given = sources(root, Interactions=INTERACTIONS)
    group = Arn.parse(import_files(spark, catalog, "shop", given).dataset_group_arn)

    def die(*_: object) -> None:
        dying.setattr(lease.Lease, "_write", die)  # the dead write no record
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(imports, "build_view", die)  # the records name the rows by now, the view does not
        with pytest.raises(KeyboardInterrupt):
            import_files(spark, catalog, "shop", given, ImportMode.INCREMENTAL)
    assert find_dataset(catalog, group, "Interactions").fields["deltaVersion"] == 1
    catalog.update(catalog.read(import_arn(group)), heartbeat=1.0)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    import_files(spark, catalog, "shop", given, ImportMode.INCREMENTAL)
    assert view_of(catalog).properties["interactions"] == 2 * 4

    def beside_a_sleeper(rows: DataFrame, path: str, *rest: Any) -> Any:
        rows.write.format("delta").mode("append").option("userMetadata", "another process").save(path)
        return write(rows, path, *rest)

    write = imports._write
    with monkeypatch.context() as sleeping:
        sleeping.setattr(imports, "_write", beside_a_sleeper)
        with pytest.raises(TaskFailed, match="Another process wrote the table"):
            import_files(spark, catalog, "shop", given, ImportMode.INCREMENTAL)
    import_files(spark, catalog, "shop", given, ImportMode.INCREMENTAL)
    assert view_of(catalog).properties["interactions"] == 3 * 4
    assert spark.conf.get("spark.databricks.delta.commitInfo.userMetadata", None) is None
