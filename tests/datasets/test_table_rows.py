"""Parquet and Delta tables, and frames, as datasets, on a real session."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

import personalize_spark as ps
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import find_dataset
from personalize_spark.cli.main import main
from personalize_spark.datasets.imported import Imported
from personalize_spark.errors import DataError, InvalidInputException
from personalize_spark.storage.location import hadoop_uri

pytestmark = pytest.mark.spark

CLICKS = "user_id string, item_id bigint, event_type string, timestamp timestamp"
AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def tried(spark: SparkSession, place: object, dataset: str = "interactions", **options: object) -> Imported:
    """What an import would do."""
    catalog = Catalog("file:///nowhere/that/is")
    report = ps.import_datasets(catalog, "shop", **{dataset: place}, **options, dry_run=True, spark=spark)  # type: ignore[arg-type]
    [imported] = report.datasets
    return imported


def rows_of(spark: SparkSession, catalog: Catalog, dataset: str) -> list[tuple[object, ...]]:
    [group] = catalog.list("dataset-group")
    path = find_dataset(catalog, group.arn, dataset).fields["path"]
    return sorted(tuple(row) for row in spark.read.format("delta").load(hadoop_uri(path)).collect())


@pytest.fixture
def clicks(spark: SparkSession) -> DataFrame:
    rows = [("u1", 7, "watch", AT), ("u2", 8, None, AT), (None, 9, "watch", AT), ("", 9, "watch", AT)]
    return spark.createDataFrame(rows, CLICKS)


@pytest.mark.parametrize("root", ["files", pytest.param("s3", marks=pytest.mark.s3)])
def test_a_version_of_a_delta_table_is_imported(
    root: str, spark: SparkSession, clicks: DataFrame, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = request.getfixturevalue("s3").replace("s3://", "s3a://") if root == "s3" else f"file://{tmp_path}"
    clicks.write.format("delta").save(f"{place}/table")
    clicks.where("false").write.format("delta").mode("overwrite").save(f"{place}/table")
    catalog = Catalog(tmp_path / "catalog")
    report = ps.import_datasets(catalog, "shop", interactions=f"{place}/table/@v0", spark=spark)
    [found] = report.datasets
    assert rows_of(spark, catalog, "Interactions") == [
        ("u1", "7", "watch", 1_700_000_000),
        ("u2", "8", None, 1_700_000_000),
    ]
    assert (found.rows, found.rejected) == (2, 2)
    assert found.examples[1] == (
        f"{place}/table: USER_ID is missing (row: USER_ID null, ITEM_ID '9', EVENT_TYPE 'watch', TIMESTAMP '1700000000')"
    )
    assert found.notes == [
        "TIMESTAMP is a timestamp: read as epoch seconds.",
        "Read user_id as USER_ID, item_id as ITEM_ID, event_type as EVENT_TYPE, timestamp as TIMESTAMP.",
    ]
    with pytest.raises(DataError, match=r"has no rows. Nothing was imported"):
        ps.import_datasets(catalog, "shop", interactions=f"{place}/table", spark=spark)
    with pytest.raises(DataError, match=r"table cannot be read as delta: .*99"):
        tried(spark, f"{place}/table@v99")


def test_folders_of_a_partitioned_table_are_columns_and_keep_their_text(
    spark: SparkSession, clicks: DataFrame, tmp_path: Path
) -> None:
    parts = clicks.where("user_id > ''").withColumn("shop", F.lit("02134"))
    parts.write.partitionBy("shop").parquet(str(tmp_path / "table"))
    catalog = Catalog(tmp_path / "catalog")
    report = ps.import_datasets(catalog, "shop", interactions=tmp_path / "table", spark=spark)
    assert {row[-1] for row in rows_of(spark, catalog, "Interactions")} == {"02134"}
    assert "shop: from the names of folders, so a string." in report.datasets[0].notes
    with pytest.raises(DataError, match="is no Delta table, so it has no version 3: leave @v3 out"):
        tried(spark, f"{tmp_path}/table@v3")


def test_a_query_is_a_dataset_and_the_last_of_equal_ids_does_not_depend_on_the_order(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [
        ("a", ["drama", "horror"], 9.5, Decimal("12.30"), date(2023, 11, 14)),
        ("a", None, float("nan"), None, None),
    ]
    schema = "id string, GENRES array<string>, PRICE float, COST decimal(10,2), CREATION_TIMESTAMP date"
    catalog = Catalog(tmp_path / "catalog")
    for frame in (spark.createDataFrame(rows, schema), spark.createDataFrame(rows[::-1], schema)):
        report = ps.import_datasets(catalog, "shop", items=frame, map={"ITEM_ID": "id"}, spark=spark)
        [found] = report.datasets
        assert rows_of(spark, catalog, "Items") == [("a", "drama|horror", 9.5, 12.3, 1_699_920_000)]
        assert (found.rows, found.replaced) == (1, 1)
    assert found.notes == [
        "GENRES is an array: its values are joined by |.",
        "CREATION_TIMESTAMP is a date: read as epoch seconds of its midnight in UTC.",
        "Read id as ITEM_ID.",
    ]


def test_types_are_the_tables_and_no_value_changes(spark: SparkSession) -> None:
    frame = spark.sql(
        "select 'i' as item_id, '02134' as ZIP, 1 as N, 2L as BIG, true as NEW, 1.5D as PRICE, 12345678901234567890BD as KEY, "
        "map('a', 1) as EXTRA, timestamp_ntz'2023-11-14 22:13:20' as SEEN, date'2023-11-14' as DAY"
    )
    found = tried(spark, frame, "items")
    kinds = [(column.name, column.type) for column in found.schema.columns]
    assert dict(kinds) == {
        "ITEM_ID": "string",
        "ZIP": "string",
        "N": "int",
        "BIG": "long",
        "NEW": "string",
        "PRICE": "double",
        "KEY": "string",
        "SEEN": "long",
        "DAY": "string",
    }
    assert "EXTRA is of the type map<string,int>, which no column can have: left out." in found.notes
    assert "SEEN is a timestamp without a zone: read as UTC, as epoch seconds." in found.notes
    assert (found.rows, found.rejected) == (1, 0)


def test_a_time_without_a_zone_is_utc_in_any_session(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.sql("select 'u' as user_id, 'i' as item_id, timestamp_ntz'2023-11-14 22:13:20.9' as timestamp")
    zone = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    catalog = Catalog(tmp_path / "catalog")
    try:
        ps.import_datasets(catalog, "shop", interactions=frame, spark=spark)
    finally:
        spark.conf.set("spark.sql.session.timeZone", zone or "UTC")
    assert rows_of(spark, catalog, "Interactions") == [("u", "i", 1_700_000_000)]


def test_what_cannot_be_imported_is_named(spark: SparkSession, clicks: DataFrame, tmp_path: Path) -> None:
    doubles = clicks.withColumn("user_id", F.lit(7.0))
    with pytest.raises(InvalidInputException, match="USER_ID is of the type double; cast it to a string"):
        tried(spark, doubles)
    with pytest.raises(InvalidInputException, match="lacks ITEM_ID"):
        tried(spark, clicks.drop("item_id"), interactions_schema=_SCHEMA)
    with pytest.raises(InvalidInputException, match="required field TIMESTAMP is missing"):
        tried(spark, clicks.drop("timestamp"))
    with pytest.raises(
        InvalidInputException, match="pyarrow Table cannot be imported: give a path, or a frame of Spark"
    ):
        tried(spark, clicks.toArrow())


_SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
    "version": "1.0",
}


def test_a_given_schema_decides_and_rows_are_added(spark: SparkSession, clicks: DataFrame, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog")
    first = ps.import_datasets(catalog, "shop", interactions=clicks, interactions_schema=_SCHEMA, spark=spark)
    assert "The schema of Interactions has no event_type: left out." in first.datasets[0].notes
    more = ps.import_datasets(catalog, "shop", interactions=clicks, import_mode="INCREMENTAL", spark=spark)
    assert (more.datasets[0].rows, more.datasets[0].rejected) == (2, 2)
    assert len(rows_of(spark, catalog, "Interactions")) == 4


def test_the_command_prints_the_schema_of_a_table(
    spark: SparkSession, clicks: DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clicks.write.parquet(str(tmp_path / "table"))
    command = ["import", "--catalog", str(tmp_path / "c"), "--group", "shop", "--interactions", str(tmp_path / "table")]
    assert main([*command, "--print-schema"]) == 0
    shown = capsys.readouterr()
    assert '"EVENT_TYPE"' in shown.out
    assert "Interactions: 2 rows to import" in shown.err
    assert "2 rows cannot be imported:" in shown.err
    assert not (tmp_path / "c" / "datasets").exists()
