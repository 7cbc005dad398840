"""Imports on a real session: Delta tables, records, views."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession

from personalize_spark import api
from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.artifacts.shards import Shards
from personalize_spark.artifacts.view import View
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.datasets.delta_tables import changing
from personalize_spark.datasets.imported import Imported, ImportReport
from personalize_spark.datasets.imports import CsvSource, ImportMode, import_files
from personalize_spark.errors import DataError, InvalidInputException, ResourceInUseException, TaskFailed
from personalize_spark.filters.expression import Values, leaves
from personalize_spark.filters.mask import Numbers, evaluate
from personalize_spark.filters.parser import parse
from personalize_spark.schemas import Column, Schema
from personalize_spark.storage.location import hadoop_uri, open_store
from personalize_spark.storage.store import Object

pytestmark = pytest.mark.spark

INTERACTIONS = """USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP
u1,b,click,10
u1,a,click,20
u1,a,watch,5
u2,c,watch,7
u2,c,watch,never
u2,,watch,8
"""
ITEMS = """ITEM_ID,GENRES,YEAR,CREATION_TIMESTAMP
a,drama|horror,1990,1
b,,,
d,horror,2000,2
a,comedy,1991,3
"""
USERS = "USER_ID,AGE,CITY\nu1,30,Rome\nu9,,\n"


def sources(root: str, **texts: str) -> dict[str, CsvSource]:
    store = open_store(root)
    for name, text in texts.items():
        store.write(f"csv/{name}.csv", text.encode())
    return {name: CsvSource(f"{store.root}csv/{name}.csv") for name in texts}


def view_of(catalog: Catalog) -> Artifact:
    [group] = catalog.list("dataset-group")
    return Pinned(**group.fields["view"]).open()


def user(view: Artifact, name: str) -> dict[str, Any]:
    [found] = Shards(view, "users").find([name.encode()])
    row: dict[str, Any] = found.table.slice(int(found.rows[0]), 1).to_pylist()[0]
    return row


@pytest.fixture(scope="module", params=["files", pytest.param("s3", marks=pytest.mark.s3)])
def imported(request: pytest.FixtureRequest, _spark_session: SparkSession) -> tuple[Catalog, ImportReport]:
    root = request.getfixturevalue({"files": "module_folder", "s3": "module_s3"}[request.param])
    given = sources(root, Interactions=INTERACTIONS, Items=ITEMS, Users=USERS)
    return Catalog(f"{root}/catalog"), import_files(_spark_session, Catalog(f"{root}/catalog"), "shop", given)


def test_good_rows_are_in_delta_and_bad_ones_are_listed(
    imported: tuple[Catalog, ImportReport], spark: SparkSession
) -> None:
    catalog, report = imported
    table = spark.read.format("delta").load(hadoop_uri(f"{catalog.uri}/datasets/shop/interactions"))
    rows = [("u1", "b", "click", 10), ("u1", "a", "click", 20), ("u1", "a", "watch", 5), ("u2", "c", "watch", 7)]
    expected = spark.createDataFrame(rows, "USER_ID string, ITEM_ID string, EVENT_TYPE string, TIMESTAMP long")
    assert_df_equality(table, expected, ignore_row_order=True)
    [interactions, items, users] = report.datasets
    assert (interactions.rows, interactions.rejected, items.rows, users.rows) == (4, 2, 3, 2)
    assert interactions.rejected_uri is not None
    listed = b"".join(
        open_store(interactions.rejected_uri).read(found.name)
        for found in open_store(interactions.rejected_uri).list("part-")
    )
    assert [(row["line"], row["reason"]) for row in map(json.loads, listed.splitlines())] == [
        (6, "TIMESTAMP is 'never', which is not of type long: write epoch seconds, such as 1700000000"),
        (7, "ITEM_ID is missing"),
    ]
    assert "line 6: TIMESTAMP is 'never', which is not of type long" in str(report)


def test_the_view_holds_what_filters_need(imported: tuple[Catalog, ImportReport]) -> None:
    view = view_of(imported[0])
    items = view.table("items").to_pylist()
    assert [(row["id"], row["creation_timestamp"], row["dated"], row["interactions"]) for row in items] == [
        (b"a", 3, True, 2),
        (b"b", 10, False, 1),  # its first interaction
        (b"c", 7, False, 1),
        (b"d", 2, True, 0),
    ]
    created = View(view).columns()["CREATION_TIMESTAMP"]
    assert isinstance(created, Numbers)
    assert created.valid.tolist() == [True, False, False, True, False]  # what is missing is missing for a filter
    assert view.table("items/GENRES.texts").column("text").to_pylist() == [b"comedy", b"horror"]
    assert view.column("items/GENRES.codes.indptr").tolist() == [0, 1, 1, 1, 2]
    assert view.column("items/GENRES.codes.values").tolist() == [0, 1]
    assert view.column("items/YEAR").tolist() == [1991, 0, 0, 2000]
    assert view.column("items/YEAR.valid").tolist() == [True, False, False, True]
    assert view.properties["eventTypes"] == ["click", "watch"]
    assert view.properties["latestTimestamp"] == 20
    assert user(view, "u1") | {"key": 0} == {
        "key": 0,
        "id": b"u1",
        "history_items": [0, 1, 0],
        "history_events": [0, 0, 1],
        "history_times": [20, 10, 5],
        "AGE": 30,
        "CITY": b"Rome",
    }
    assert user(view, "u9")["history_items"] == []
    assert user(view, "u2")["AGE"] is None


def test_records_name_schemas_and_versions(imported: tuple[Catalog, ImportReport]) -> None:
    catalog, _ = imported
    group = Arn.parse("arn:aws:personalize:us-east-1:000000000000:dataset-group/shop")
    dataset = catalog.read(group.sibling("dataset", "shop", "ITEMS")).fields
    assert (dataset["status"], dataset["deltaVersion"]) == ("ACTIVE", 0)
    fields = catalog.read(Arn.parse(dataset["schemaArn"])).fields["schema"]["fields"]
    assert fields[1] == {"name": "GENRES", "type": ["null", "string"], "categorical": True}


def test_a_filter_finds_the_price_that_a_schema_calls_float(spark: SparkSession, tmp_path: Path) -> None:
    fields = [{"name": "ITEM_ID", "type": "string"}, {"name": "PRICE", "type": ["null", "float"]}]
    schema = {"type": "record", "name": "Items", "fields": fields}
    catalog = Catalog(f"file://{tmp_path}/catalog")
    given = sources(f"file://{tmp_path}", Items="ITEM_ID,PRICE\na,34.72\nb,0.1\nc,\n")
    import_files(spark, catalog, "shop", {"Items": replace(given["Items"], schema=schema)})
    columns = View(view_of(catalog)).columns()
    for condition, kept in {"= 34.72": [0], "<= 34.72": [0, 1], "> 0.1": [0], "< 0.1": [], "!= 0.1": [0]}.items():
        parsed = parse(f"INCLUDE ItemID WHERE Items.PRICE {condition}").expressions[0].condition
        [leaf] = leaves(parsed)
        assert isinstance(leaf.operand, Values)
        mask = evaluate(parsed, (leaf.operand.literals,), columns)
        assert np.flatnonzero(mask).tolist() == kept, condition


def test_incremental_adds_interactions_and_updates_items(spark: SparkSession, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    root = f"file://{tmp_path}"
    import_files(spark, catalog, "shop", sources(root, Interactions=INTERACTIONS, Items=ITEMS))
    more = "USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP\nu2,a,click,30\n"
    new = "ITEM_ID,GENRES,YEAR,CREATION_TIMESTAMP\nd,comedy,2001,2\ne,horror,2002,4\n"
    import_files(spark, catalog, "shop", sources(root, Interactions=more, Items=new), ImportMode.INCREMENTAL)
    view = view_of(catalog)
    assert user(view, "u2")["history_times"] == [30, 7]
    assert [row["id"] for row in view.table("items").to_pylist()] == [b"a", b"b", b"c", b"d", b"e"]
    assert view.column("items/YEAR").tolist() == [1991, 0, 0, 2001, 2002]
    import_files(spark, catalog, "shop", sources(root, Interactions=more))
    assert view_of(catalog).properties["interactions"] == 1  # FULL replaces


def test_a_history_keeps_the_newest_hundred_of_each_event(spark: SparkSession, tmp_path: Path) -> None:
    text = "USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP\n"
    text += "".join(f"u,i{n:03d},click,{n}\nu,i{n:03d},watch,{n}\n" for n in range(150))
    catalog = Catalog(f"file://{tmp_path}/catalog")
    import_files(spark, catalog, "shop", sources(f"file://{tmp_path}", Interactions=text))
    history = user(view_of(catalog), "u")
    for event in (0, 1):
        mine = [
            item
            for item, code in zip(history["history_items"], history["history_events"], strict=True)
            if code == event
        ]
        assert mine == list(range(149, 49, -1))


def test_a_group_keeps_as_much_history_for_filters_as_an_import_said(spark: SparkSession, tmp_path: Path) -> None:
    text = "USER_ID,ITEM_ID,TIMESTAMP\n" + "".join(f"u,i{n:03d},{n}\n" for n in range(150))
    (tmp_path / "all.csv").write_text(text)
    (tmp_path / "more.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu,i000,200\n")
    catalog = Catalog(f"file://{tmp_path}/catalog")
    api.import_datasets(catalog, "shop", interactions=tmp_path / "all.csv", filter_history=140, spark=spark)
    assert user(view_of(catalog), "u")["history_items"] == list(range(149, 9, -1))
    # a later import that does not say so keeps it
    more: dict[str, Any] = {"interactions": tmp_path / "more.csv", "import_mode": "INCREMENTAL", "spark": spark}
    api.import_datasets(catalog, "shop", **more)
    assert user(view_of(catalog), "u")["history_items"] == [0, *range(149, 10, -1)]
    api.import_datasets(catalog, "shop", **more, filter_history=1)
    assert user(view_of(catalog), "u")["history_items"] == [0]


def test_filters_see_at_least_one_interaction(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu,i,1\n")
    with pytest.raises(InvalidInputException, match="filter_history is 0"):
        api.import_datasets(tmp_path, "shop", interactions=tmp_path / "all.csv", filter_history=0)


def test_all_files_of_a_folder_are_imported(spark: SparkSession, tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/csv")
    for name in ("a", "b"):
        store.write(f"{name}.csv", f"USER_ID,ITEM_ID,TIMESTAMP\n{name},i,1\n".encode())
    given = {"Interactions": CsvSource(f"file://{tmp_path}/csv")}
    report = import_files(spark, Catalog(f"file://{tmp_path}/catalog"), "shop", given)
    assert report.datasets[0].rows == 2


def test_nothing_to_import_is_said(spark: SparkSession, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    with pytest.raises(DataError, match="no file with content"):
        import_files(spark, catalog, "shop", {"Items": CsvSource(f"file://{tmp_path}/none.csv")})
    with pytest.raises(DataError, match="The files of Interactions have a header but no rows. Nothing was imported"):
        import_files(spark, catalog, "shop", sources(f"file://{tmp_path}", Interactions="USER_ID,ITEM_ID,TIMESTAMP\n"))


def test_a_dataset_without_a_good_row_keeps_the_others_from_being_written(spark: SparkSession, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    given = sources(f"file://{tmp_path}", Items=ITEMS, Interactions="USER_ID,ITEM_ID,TIMESTAMP\nu,i,1700000000000\n")
    with pytest.raises(DataError) as caught:
        import_files(spark, catalog, "shop", given)
    [listed] = [
        found.name for found in catalog.store.list("datasets/shop/rejected/") if "Interactions/part" in found.name
    ]
    folder = listed.rpartition("/")[0]
    assert caught.value.message == (
        f"No row of Interactions could be imported: {catalog.uri}/{folder} lists 1 rejected row, such as "
        f"file://{tmp_path}/csv/Interactions.csv, line 2: TIMESTAMP is 1700000000000, beyond the year 3000: "
        "use epoch seconds, not milliseconds. Nothing was imported."
    )
    assert json.loads(catalog.store.read(listed))["line"] == 2
    assert not [found.name for found in catalog.store.list("datasets/") if "/rejected/" not in found.name]
    assert not list(catalog.list("dataset", "shop"))


def test_records_stay_when_a_table_cannot_be_written(spark: SparkSession, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    given = sources(f"file://{tmp_path}", Interactions=INTERACTIONS, Items=ITEMS)
    import_files(spark, catalog, "shop", given)
    before = records(catalog)
    assert len(before) == 5  # the group, two datasets, two schemas
    catalog.store.write("datasets/shop/items/_delta_log/00000000000000000001.json", b"broken")
    with pytest.raises(TaskFailed, match=r"^The import failed in Spark: .*00000000000000000001\.json") as failed:
        import_files(spark, catalog, "shop", given)
    assert "broken" in str(failed.value.__cause__)
    assert records(catalog) == before  # by their etags


def records(catalog: Catalog) -> list[Object]:
    """All but the one that says whether somebody imports."""
    return [found for found in catalog.store.list("records/") if found.name != "records/import/shop.json"]


def test_of_two_imports_at_once_one_is_refused_in_plain_words(spark: SparkSession, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    given = sources(f"file://{tmp_path}", Items=ITEMS)
    busy = "^An import into the dataset group 'shop' is running in another process"
    group = catalog.new_arn("dataset-group", "shop")
    with changing(spark, catalog, group), pytest.raises(ResourceInUseException, match=busy):
        import_files(spark, catalog, "shop", given)
    assert not list(catalog.list("dataset", "shop"))
    import_files(spark, catalog, "shop", given)
    assert list(catalog.list("dataset", "shop"))


def test_a_file_that_is_not_the_schemas_is_refused_before_anything_is_written(
    spark: SparkSession, tmp_path: Path
) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    [source] = sources(f"file://{tmp_path}", Items=ITEMS).values()
    fields = [{"name": "ITEM_ID", "type": "string"}, {"name": "COLOR", "type": "string"}]
    schema = {"type": "record", "name": "Items", "fields": fields}
    with pytest.raises(InvalidInputException, match="needs ITEM_ID, COLOR"):
        import_files(spark, catalog, "shop", {"Items": CsvSource(source.uri, schema)})
    assert not list(catalog.store.list("datasets/"))


def test_a_report_counts_in_words_that_agree() -> None:
    schema = Schema("Users", (Column("USER_ID", "string"), Column("AGE", "long")))
    one = Imported("Users", schema, 1, 0, 1, ["f, line 3: AGE is missing"], "file:///r", 0)
    many = Imported("Users", schema, 2_000, 5, 3, [], "file:///r", 0)
    assert str(ImportReport("shop", [one, many], "file:///v")).splitlines() == [
        "Users: 1 row imported (USER_ID string, AGE long)",
        "  1 row was not imported; it is listed in file:///r",
        "    f, line 3: AGE is missing",
        "Users: 2,000 rows imported (USER_ID string, AGE long)",
        "  5 rows replaced by a later row with the same USER_ID",
        "  3 rows were not imported; all of them are listed in file:///r",
        "view: file:///v",
    ]


@pytest.mark.movielens
@pytest.mark.usefixtures("compiled")
def test_movielens_is_imported_whole(spark: SparkSession, movielens: Path, tmp_path: Path) -> None:
    given = {
        "Interactions": CsvSource(f"file://{movielens}/interactions.csv"),
        "Items": CsvSource(f"file://{movielens}/item-meta.csv"),
    }
    catalog = Catalog(f"file://{tmp_path}/catalog")
    report = import_files(spark, catalog, "movies", given)
    assert [each.rows for each in report.datasets] == [158_371, 9_742]
    watched: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    with (movielens / "interactions.csv").open() as file:
        for row in csv.DictReader(file):
            if row["EVENT_TYPE"] == "watch":
                watched[row["USER_ID"]].append((-int(row["TIMESTAMP"]), row["ITEM_ID"].encode()))
    view = view_of(catalog)
    ids = view.table("items").column("id").to_pylist()
    assert view.properties["users"] == 610
    for name in ("429", "1", "610"):
        history = user(view, name)
        mine = [
            (-time, ids[item])
            for item, event, time in zip(
                *(history[f"history_{part}"] for part in ("items", "events", "times")), strict=True
            )
            if view.properties["eventTypes"][event] == "watch"
        ]
        assert mine == sorted(watched[name])[:100]


def test_what_is_added_has_the_schema_of_what_is_there(spark: SparkSession, tmp_path: Path) -> None:
    root = f"file://{tmp_path}/"
    catalog = Catalog(f"{root}catalog")
    import_files(spark, catalog, "shop", sources(root, Items=ITEMS))
    before = view_of(catalog).properties["schemas"]
    add = partial(import_files, spark, catalog, "shop", mode=ImportMode.INCREMENTAL)
    with pytest.raises(
        InvalidInputException, match="The schema of Items needs ITEM_ID, GENRES, YEAR, CREATION_TIMESTAMP"
    ):
        add(sources(root, Items="ITEM_ID,GENRES,PRICE\nz,drama,3\n"))
    given = {**before["Items"], "fields": before["Items"]["fields"][:2]}
    with pytest.raises(InvalidInputException, match="an import in the mode FULL can change it"):
        add({"Items": replace(sources(root, Items=ITEMS)["Items"], schema=given)})
    add(sources(root, Items="ITEM_ID,GENRES,YEAR,CREATION_TIMESTAMP\nz,drama,,\n"))  # YEAR would be inferred as text
    assert view_of(catalog).properties["schemas"] == before
    assert view_of(catalog).properties["items"] == 4


def test_the_types_of_columns_follow_from_all_files(spark: SparkSession, tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/items/")
    for number, zip_code in enumerate(["10115", "10117", "EC1A"]):
        store.write(f"part-{number}.csv", f"ITEM_ID,ZIP\ni{number},{zip_code}\n".encode())
    catalog = Catalog(f"file://{tmp_path}/catalog")
    [report] = import_files(spark, catalog, "shop", {"Items": CsvSource(f"file://{tmp_path}/items")}).datasets
    assert (report.rows, report.rejected, report.schema.columns[1].type) == (3, 0, "string")


def test_impressions_count_for_what_was_shown_and_not_chosen(spark: SparkSession, tmp_path: Path) -> None:
    rows = ["u1,a,1,a|b|c", "u2,b,2,b|c|c", "u3,c,3,", "u4,a,4,nobody-knows|b"]
    text = "\n".join(["USER_ID,ITEM_ID,TIMESTAMP,IMPRESSION", *rows])
    catalog = Catalog(f"file://{tmp_path}/catalog")
    import_files(spark, catalog, "shop", sources(f"file://{tmp_path}", Interactions=text, Items=ITEMS))
    items = view_of(catalog).table("items").to_pylist()
    assert [(row["id"], row["interactions"], row["impressions"]) for row in items] == [
        (b"a", 2, 0),
        (b"b", 1, 2),
        (b"c", 1, 2),
        (b"d", 0, 0),
    ]


def test_an_import_of_which_one_table_fails_leaves_the_others_as_they_were(spark: SparkSession, tmp_path: Path) -> None:
    root = f"file://{tmp_path}"
    catalog = Catalog(f"{root}/catalog")
    given = sources(root, Interactions=INTERACTIONS, Items=ITEMS)
    import_files(spark, catalog, "shop", given)
    view = view_of(catalog).properties
    data = list((tmp_path / "catalog" / "datasets" / "shop" / "items").glob("*.parquet"))
    for file in data:
        file.rename(file.with_suffix(".away"))
    with pytest.raises(TaskFailed, match=r"^The import failed in Spark: .*parquet"):  # the file is named
        import_files(spark, catalog, "shop", given, ImportMode.INCREMENTAL)
    table = spark.read.format("delta").load(hadoop_uri(f"{catalog.uri}/datasets/shop/interactions"))
    assert table.count() == 4
    assert view_of(catalog).properties == view
    for file in data:
        file.with_suffix(".away").rename(file)
    import_files(spark, catalog, "shop", given, ImportMode.INCREMENTAL)
    assert view_of(catalog).properties["interactions"] == 2 * 4


def test_what_spark_leaves_beside_its_files_is_no_data(spark: SparkSession, tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/items/")
    for name, text in {"part-0.csv": ITEMS, "_SUCCESS": "x", ".part-0.csv.crc": "crc"}.items():
        store.write(name, text.encode())
    report = import_files(spark, Catalog(f"file://{tmp_path}/catalog"), "shop", {"Items": CsvSource(store.root)})
    assert [each.rows for each in report.datasets] == [3]
