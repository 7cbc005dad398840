"""Imports before they start, and dry runs: all of it without Spark."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from personalize_spark.artifacts.artifact import finish
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.datasets.dry_run import try_import
from personalize_spark.datasets.import_plan import CsvSource, ImportMode, has_little, plan_import
from personalize_spark.datasets.imported import Imported
from personalize_spark.errors import DataError, InvalidInputException

CLICKS = "USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP\n"


def tried(folder: Path, dataset: str, files: dict[str, str | bytes], **source: object) -> Imported:
    """What an import of the files of a folder would do."""
    place = folder / "csv"
    place.mkdir(exist_ok=True)
    for name, data in files.items():
        (place / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    given = CsvSource(f"file://{place}", **source)  # type: ignore[arg-type]
    [imported] = try_import(plan_import(Catalog(folder / "catalog"), "shop", {dataset: given})).datasets
    assert not (folder / "catalog" / "datasets").exists()
    return imported


def types(imported: Imported) -> dict[str, str]:
    return {column.name: column.type for column in imported.schema.columns}


def test_the_reason_of_a_type_names_value_and_line(tmp_path: Path) -> None:
    days = ["3"] * 351 + ["No", "3", "3", "No"]
    text = "ITEM_ID,DURATION\n" + "".join(f"i{row},{day}\n" for row, day in enumerate(days))
    found = tried(tmp_path, "Items", {"a.csv": text})
    assert types(found)["DURATION"] == "string"
    assert found.notes == [
        "DURATION is a string because of 2 of 355 values, such as 'No' in line 353; the others are integers."
    ]


def test_codes_keep_their_zeros(tmp_path: Path) -> None:
    found = tried(tmp_path, "Items", {"a.csv": "ITEM_ID,ZIP\ni0,02134\ni1,2134\ni2,10001\n"})
    assert types(found)["ZIP"] == "string"
    [note] = found.notes
    assert "such as '02134' in line 2 (a leading zero); the others are integers" in note


def test_words_for_missing_values_are_counted_and_said(tmp_path: Path) -> None:
    found = tried(tmp_path, "Items", {"a.csv": "ITEM_ID,PRICE\ni0,1.5\ni1,NaN\ni2,NULL\ni3,2\ni4,NaN\ni5,\\N\n"})
    assert types(found)["PRICE"] == "double"
    assert (found.rows, found.rejected) == (6, 0)
    [note] = found.notes
    assert note.startswith(
        r"These values count as missing: PRICE 'NaN' (2), PRICE 'NULL' (1), PRICE '\\N' (1). With a schema"
    )


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ("1700000000.0", "a decimal point or an exponent, such as '1700000000.0', and read as epoch seconds."),
        ("1.7E+09", "a spreadsheet has rounded the times"),
        ("2023-11-14T22:13:20Z", "ISO 8601 with a zone, such as '2023-11-14T22:13:20Z', and read as epoch seconds."),
    ],
)
def test_a_column_of_times_in_one_form_is_read_and_said(tmp_path: Path, time: str, said: str) -> None:
    found = tried(tmp_path, "Interactions", {"a.csv": CLICKS + f"u,i,click,{time}\nu,j,click,{time}\n"})
    assert (found.rows, found.rejected) == (2, 0)
    [note] = found.notes
    assert said in note


def test_mixed_times_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInputException, match="'1700000000' in line 2 of .*/a.csv, '2023-11-14T22:13:20Z' in line 2 of .*/b"
    ):
        tried(
            tmp_path,
            "Interactions",
            {"a.csv": CLICKS + "u,i,click,1700000000\n", "b.csv": CLICKS + "u,i,click,2023-11-14T22:13:20Z\n"},
        )


def test_a_folder_as_the_world_leaves_it(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.csv": CLICKS + "u,i,click,1\n",
        "b.csv": gzip.compress((CLICKS + "u,j,click,2\n").encode()),
        "c.csv": "TIMESTAMP;USER_ID;ITEM_ID;EVENT_TYPE\n3;u;k;click\n",
        **dict.fromkeys(("_SUCCESS", ".DS_Store", "Thumbs.db", "desktop.ini", ".a.csv.crc"), b"\0\xff"),
    }
    found = tried(tmp_path, "Interactions", files)
    assert (found.rows, found.rejected) == (3, 0)
    assert found.notes == [f"file://{tmp_path}/csv/c.csv is separated by semicolons."]


def test_a_schema_as_it_is_published(tmp_path: Path) -> None:
    fields = [{"name": name, "type": "string"} for name in ("ITEM_ID", "USER_ID")] + [
        {"name": "TIMESTAMP", "type": "long"}
    ]
    schema = {"type": "record", "name": "interactions", "fields": fields}
    found = tried(tmp_path, "Interactions", {"a.csv": "USER_ID,ITEM_ID,NOTE,TIMESTAMP\nu,i,NA,7\n"}, schema=schema)
    assert found.rows == 1
    assert found.notes == [
        "The schema is called 'interactions'; the service's name for it is Interactions.",
        "The schema of Interactions has no NOTE: left out.",
    ]


def test_what_a_file_lacks_is_named(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"a.csv": CLICKS + "u,i,x,1\n", "b.csv": "USER_ID,ITEM_ID,TIMESTAMP\nu,i,1\n"}
    with pytest.raises(
        InvalidInputException, match=r"b.csv has the columns USER_ID, ITEM_ID, TIMESTAMP; it lacks EVENT_TYPE"
    ):
        tried(tmp_path, "Interactions", files)


def test_a_column_that_is_called_otherwise_has_its_way_told(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInputException, match=r"names customer, AGE\..* USER_ID is missing.*: --map USER_ID=customer_id\.$"
    ):
        tried(tmp_path, "Users", {"a.csv": "customer,AGE\nu,1\n"})
    with pytest.raises(InvalidInputException) as refused:
        tried(tmp_path, "Items", {"a.csv": "ITEM_ID,name,name\ni,a,b\n"})
    assert "--map" not in refused.value.message


def test_the_rows_of_a_dry_run_are_counted_as_an_import_would(tmp_path: Path) -> None:
    found = tried(tmp_path, "Users", {"a.csv": "USER_ID,AGE\nu,1\nv,2\nu,3\n,4\nw\n"})
    assert (found.rows, found.replaced, found.rejected) == (2, 1, 2)
    assert found.examples == [
        f"file://{tmp_path}/csv/a.csv, line 5: USER_ID is missing",
        f"file://{tmp_path}/csv/a.csv, line 6: 1 field where the header has 2",
    ]


@pytest.mark.parametrize("rows", ["", "u,old\n"])
def test_a_dry_run_without_a_row_says_that_the_import_fails(rows: str, tmp_path: Path) -> None:
    fields = [{"name": "USER_ID", "type": "string"}, {"name": "AGE", "type": ["null", "int"]}]
    avro = {"type": "record", "name": "Users", "fields": fields}
    found = tried(tmp_path, "Users", {"a.csv": f"USER_ID,AGE\n{rows}"}, schema=avro)
    assert (found.rows, found.notes) == (0, ["An import fails: there is no row to import."])


def test_the_command_shows_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "users.csv").write_text("USER_ID,AGE\nu,1\nv,\n")
    given = [
        "import",
        "--catalog",
        str(tmp_path / "catalog"),
        "--group",
        "shop",
        "--users",
        str(tmp_path / "users.csv"),
    ]
    assert main([*given, "--dry-run"]) == 0
    assert capsys.readouterr() == (
        "",
        "Users: 2 rows to import (USER_ID string, AGE long)\nDry run: nothing was written.\n",
    )
    assert main([*given, "--print-schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["fields"] == [{"name": "USER_ID", "type": "string"}, {"name": "AGE", "type": ["null", "long"]}]
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    assert main([*given, "--users-schema", str(tmp_path / "schema.json"), "--dry-run"]) == 0
    assert main([*given, "--items", str(tmp_path / "users.csv"), "--print-schema"]) == 2
    assert not (tmp_path / "catalog" / "datasets").exists()


def test_columns_are_mapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clicks.csv").write_text("customer,sku,TIMESTAMP\nu,i,1\n")
    given = ["import", "--catalog", str(tmp_path), "--group", "g", "--interactions", str(tmp_path / "clicks.csv")]
    assert main([*given, "--dry-run", "--map", "USER_ID=customer", "--map", "ITEM_ID=sku"]) == 0
    assert "Interactions: 1 row to import (USER_ID string, ITEM_ID string, TIMESTAMP long)" in capsys.readouterr().err
    assert main([*given, "--dry-run", "--map", "USER_ID"]) == 2
    assert "--map USER_ID is no NAME=COLUMN" in capsys.readouterr().err
    assert main([*given, "--dry-run", "--map", "ITEM_ID=sku", "--map", "ITEM_ID=product"]) == 2
    assert "--map names a column twice" in capsys.readouterr().err
    assert main([*given, "--dry-run", "--map", "ITEM_ID=sku", "--map", "USER_ID=client"]) == 2
    said = capsys.readouterr().err
    assert "clicks.csv names customer, sku, TIMESTAMP. " in said
    assert "It has no column 'client', which USER_ID is mapped to." in said
    assert main([*given, "--dry-run", "--map", "ITEM_ID=sku", "--map", "USER_ID=sku"]) == 2
    assert "Two names are mapped to one column: ITEM_ID=sku, USER_ID=sku." in capsys.readouterr().err


def test_a_file_in_utf16_is_named_before_spark_starts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a.csv is UTF-16: save it as UTF-8"):
        tried(tmp_path, "Interactions", {"a.csv": (CLICKS + "u,i,click,1\n").encode("utf-16")})


def test_little_data_is_what_is_read_and_what_it_is_added_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text(CLICKS + "u,i,click,1\n")
    catalog, sources = Catalog(tmp_path / "catalog"), {"Interactions": CsvSource(f"file://{tmp_path}/a.csv")}
    assert plan_import(catalog, "shop", sources).little

    view = finish(catalog.store.at("views/shop/1"), [], {"interactions": 1000})
    group = catalog.new_arn("dataset-group", "shop")
    catalog.create(group, {"name": "shop", "status": "ACTIVE", "view": asdict(view)})
    assert has_little(catalog, group)
    monkeypatch.setattr("personalize_spark.datasets.import_plan._LITTLE_ROWS", 999)
    assert not has_little(catalog, group)
    assert not plan_import(catalog, "shop", sources, ImportMode.INCREMENTAL).little
    assert plan_import(catalog, "shop", sources).little  # replaces the thousand

    monkeypatch.setattr("personalize_spark.datasets.import_plan._LITTLE_BYTES", 10)
    assert not plan_import(catalog, "shop", sources).little


def test_a_table_that_nobody_has_counted_is_not_little(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog")
    group = catalog.new_arn("dataset-group", "shop")
    catalog.create(group, {"name": "shop", "datasetGroupArn": str(group), "status": "ACTIVE"})
    assert has_little(catalog, group)
    table = {"path": f"{catalog.uri}/t", "deltaVersion": 0}
    catalog.create(group.sibling("dataset", "shop", "INTERACTIONS"), {"datasetGroupArn": str(group), **table})
    assert not has_little(catalog, group)
