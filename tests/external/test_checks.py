"""Whatever is wrong with the files is said: what, where, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from personalize_spark.errors import DataError, InvalidInputException, ObjectNotFound
from personalize_spark.external.arrays import open_npy, open_npz
from personalize_spark.external.check import check
from personalize_spark.external.counts import counted, newest_choices, read_counts, read_pairs
from personalize_spark.external.formats import Axis, read_factors
from personalize_spark.external.ids import read_map
from personalize_spark.external.tables import read_table
from tests.external.factors import world, write_npz, write_parquet

Rows = list[tuple[Any, ...]]
Text = Callable[..., str]


@pytest.fixture
def text(tmp_path: Path) -> Text:
    """Write a file; gives its URI."""

    def text(name: str, *lines: str) -> str:
        (tmp_path / name).write_text("\n".join(lines))
        return f"file://{tmp_path}/{name}"

    return text


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., str]:
    """Save an array; gives its URI."""

    def saved(array: object, name: str = "a.npy") -> str:
        np.save(tmp_path / name, np.asarray(array))
        return f"file://{tmp_path}/{name}"

    return saved


@pytest.mark.spark
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "file:///x has no items: there is nothing to import."),
        ([("a", [1.0]), (None, [1.0])], "1 of 2 items have no id. Give every row an id that is not empty."),
        ([("a", [1.0]), ("", [1.0]), ("", [1.0])], "2 of 3 items have no id. Give"),
        (
            [("ä" * 256, [1.0]), ("b" * 257, [1.0])],
            "1 of 2 items have an id of more than 256 characters, the first is 'bb",
        ),
        (
            [("a", [1.0]), ("b", [float("nan")])],
            "1 of 2 items have a vector or bias that is not finite, the first is 'b'.",
        ),
        ([("a", [1.0]), ("b", [-float("inf")])], "1 of 2 items have a vector or bias that is not finite"),
        ([("a", [1.0]), ("b", [None])], "1 of 2 items have a vector or bias that is not finite"),
        ([("a", [1.0]), ("b", None)], "1 of 2 items have a vector or bias that is not finite"),
        (
            [("a", [1.0]), ("b", [1.0, 2.0])],
            "vectors of 1 to 2 numbers: all items must have vectors of the same length",
        ),
        (
            [("a", []), ("b", [])],
            "vectors of 0 to 0 numbers: all items must have vectors of the same length, at least 1.",
        ),
        ([("b", [1.0]), ("b", [1.0]), ("a", [1.0])], "file:///x has more than one row for 'b': each of its items"),
    ],
)
def test_a_bad_row_is_counted_and_named(rows: Rows, said: str, spark: SparkSession) -> None:
    frame = spark.createDataFrame(rows, "id string, vector array<float>")
    with pytest.raises(DataError, match=re.escape(said)):
        check(frame, "file:///x", "items")


@pytest.mark.spark
def test_a_bias_is_a_number(spark: SparkSession) -> None:
    rows = [("a", [1.0], 1.0), ("b", [1.0], None)]
    frame = spark.createDataFrame(rows, "id string, vector array<float>, bias float")
    with pytest.raises(DataError, match="1 of 2 items have a vector or bias that is not finite, the first is 'b'"):
        check(frame, "file:///x", "items")


@pytest.mark.spark
def test_what_float32_cannot_hold_is_not_finite(spark: SparkSession, tmp_path: Path) -> None:
    sides = {"a": [1.0, 1e300]}
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "i.npy", [[1.0, 1e300]])
    (tmp_path / "npy" / "i.ids.txt").write_text("a\n")
    for uri in (write_parquet(tmp_path, sides, "i"), f"file://{tmp_path}/npy/i.npy"):
        with pytest.raises(DataError, match="not finite, the first is 'a'"):
            check(read_factors(spark, uri, Axis.ITEM, None, None), uri, "items")


def test_a_pickle_is_never_opened(saved: Callable[..., str], tmp_path: Path) -> None:
    objects: NDArray[np.object_] = np.array([[1.0], "x"], object)
    with pytest.raises(DataError, match=r"a\.npy holds Python objects, which only pickle can read"):
        open_npy(saved(objects))
    np.savez(tmp_path / "m.npz", item_factors=objects)
    with pytest.raises(DataError, match=r"item_factors of .*m\.npz holds Python objects"):
        open_npz(f"file://{tmp_path}/m.npz")


def test_an_array_that_cannot_be_read_by_rows_says_how_to_save_it(
    saved: Callable[..., str], tmp_path: Path, text: Text
) -> None:
    with pytest.raises(DataError, match="Fortran order: save numpy.ascontiguousarray"):
        open_npy(saved(np.asfortranarray(np.ones((3, 2)))))
    np.savez_compressed(tmp_path / "m.npz", item_factors=np.ones((3, 2)))
    with pytest.raises(DataError, match="is compressed: write it with numpy.savez instead"):
        open_npz(f"file://{tmp_path}/m.npz")
    with pytest.raises(DataError, match="is not an array that numpy.save has written"):
        open_npy(text("b.npy", "nothing"))
    with pytest.raises(DataError, match="is not an .npz file"):
        open_npz(text("b.npz", "nothing"))
    with pytest.raises(ObjectNotFound, match=".*/none.npy does not exist"):
        open_npy(f"file://{tmp_path}/none.npy")


def test_rows_of_an_array_are_read_by_range(saved: Callable[..., str], tmp_path: Path) -> None:
    array = np.arange(60, dtype=">f8").reshape(20, 3)
    np.testing.assert_array_equal(open_npy(saved(array)).rows(7, 11), array[7:11])
    np.savez(tmp_path / "m.npz", first=np.ones(1000), second=array, third=7)
    arrays = open_npz(f"file://{tmp_path}/m.npz")
    np.testing.assert_array_equal(arrays["second"].rows(0, 20), array)
    assert arrays["third"].shape == ()


@pytest.mark.spark
@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.ones(3), r"has shape (3,) and type float64; it must be an array of numbers in 2 dimensions."),
        (np.array([["a"]]), "type <U1; it must be an array of numbers"),
    ],
)
def test_factors_are_numbers_in_two_dimensions(
    array: NDArray[Any], said: str, saved: Callable[..., str], text: Text, spark: SparkSession
) -> None:
    text("a.ids.txt", *"abc"[: len(array)])
    with pytest.raises(DataError, match=re.escape(said)):
        read_factors(spark, saved(array), Axis.ITEM, None, None)


@pytest.mark.spark
def test_a_list_of_ids_is_as_long_as_its_array(saved: Callable[..., str], text: Text, spark: SparkSession) -> None:
    uri = saved(np.ones((2, 2)))
    with pytest.raises(DataError, match=r"has no ids: put .*a\.ids\.txt .* beside it, or give --user-ids"):
        read_factors(spark, uri, Axis.USER, None, None)
    text("a.ids.txt", "a", "b", "c")
    with pytest.raises(DataError, match=r"a\.ids\.txt holds 3 ids, .*a\.npy has 2 rows"):
        read_factors(spark, uri, Axis.USER, None, None)


@pytest.mark.spark
@pytest.mark.parametrize(
    ("content", "said"), [("[1,", "cannot be read"), ('{"a": 1}', "does not contain a JSON array of ids")]
)
def test_a_list_of_ids_is_json_or_text(
    content: str, said: str, saved: Callable[..., str], text: Text, spark: SparkSession
) -> None:
    text("a.ids.json", content)
    with pytest.raises(DataError, match=said):
        read_factors(spark, saved(np.ones((2, 2))), Axis.USER, None, None)


@pytest.mark.spark
def test_each_item_has_a_bias_or_none_has(saved: Callable[..., str], text: Text, spark: SparkSession) -> None:
    uri = saved(np.ones((2, 2)))
    text("a.ids.txt", "a", "b")
    saved(np.ones(3), "a.bias.npy")
    with pytest.raises(DataError, match=r"a\.bias\.npy has 3 biases for 2 items"):
        read_factors(spark, uri, Axis.ITEM, None, None)


@pytest.mark.spark
def test_a_table_of_ids_names_every_number_once(text: Text, tmp_path: Path, spark: SparkSession) -> None:
    with pytest.raises(DataError, match="names 1 more than once"):
        read_map(spark, text("twice.csv", "integer,id", "1,a", "1,b", "2,c"))
    with pytest.raises(DataError, match=r"rows like integer 'x', id 'a': every row must have integer of type bigint"):
        read_map(spark, text("text.csv", "integer,id", "x,a"))
    with pytest.raises(DataError, match=r"has the columns number, id; it needs integer and id: rename or add integer"):
        read_map(spark, text("names.csv", "number,id", "1,a"))
    uri, ids = write_npz(tmp_path, world()), text("few.csv", "integer,id", *(f"{n},i{n}" for n in range(39) if n != 7))
    with pytest.raises(DataError, match=r"The ids given for .*model\.npz lack row 7, 39: give every row an id"):
        read_factors(spark, uri, Axis.ITEM, None, ids)


@pytest.mark.spark
def test_an_id_table_may_be_quoted_csv_or_parquet(text: Text, spark: SparkSession, tmp_path: Path) -> None:
    uri = text("q.csv", "\ufeffinteger,id", '1,"a,""b"""', "2, c ")
    assert {row["number"]: row["id"] for row in read_map(spark, uri).collect()} == {1: 'a,"b"', 2: " c "}
    spark.read.csv(uri, header=True, escape='"').write.parquet(f"file://{tmp_path}/p")
    assert read_map(spark, f"file://{tmp_path}/p").count() == 2


@pytest.mark.spark
def test_what_is_no_model_is_refused(text: Text, spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is nothing at .*/none"):
        read_factors(spark, f"file://{tmp_path}/none", Axis.ITEM, None, None)
    with pytest.raises(InvalidInputException, match="There is no format 'pickle'; supported: als, implicit"):
        read_factors(spark, text("a.pkl", "x"), Axis.ITEM, "pickle", None)
    with pytest.raises(DataError, match=r"b\.bin is not a table: give CSV .* or Delta; b\.bin is none of these"):
        read_factors(spark, text("b.bin", "x"), Axis.ITEM, None, None)
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read_factors(spark, text("c.bin", "PAR1x"), Axis.ITEM, None, None)
    np.savez(tmp_path / "m.npz", user_factors=np.ones((2, 2)))
    with pytest.raises(DataError, match="holds user_factors, but no item_factors"):
        read_factors(spark, f"file://{tmp_path}/m.npz", Axis.ITEM, None, None)


@pytest.mark.spark
def test_a_parquet_file_needs_no_ending(spark: SparkSession, tmp_path: Path) -> None:
    spark.createDataFrame([("a", [1.0])], "id string, vector array<float>").coalesce(1).write.parquet(f"{tmp_path}/t")
    [written] = (tmp_path / "t").glob("part-*")
    folder = tmp_path / "my-items"  # ends as the file in it is called
    folder.mkdir()
    written.rename(folder / "items")
    assert read_factors(spark, f"file://{folder}", Axis.ITEM, None, None).count() == 1


@pytest.mark.spark
def test_a_parquet_folder_has_ids_and_vectors(spark: SparkSession, tmp_path: Path) -> None:
    uri = write_parquet(tmp_path, {"a": [1.0]}, "named")
    with pytest.raises(InvalidInputException, match="have ids: leave --item-ids out"):
        read_factors(spark, uri, Axis.ITEM, None, uri)
    for schema, row, said in (
        ("id string, v array<float>", ("a", [1.0]), "columns id, v; it needs id and vector: rename or add vector"),
        ("id double, vector array<float>", (1.0, [1.0]), "id of .* is of type double: make it a string"),
        ("id string, vector string", ("a", "1 2"), "of type string: make them arrays of float"),
    ):
        spark.createDataFrame([row], schema).write.mode("overwrite").parquet(f"{tmp_path}/t")
        with pytest.raises(DataError, match=said):
            read_factors(spark, f"file://{tmp_path}/t", Axis.ITEM, None, None)


@pytest.mark.spark
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a,x"], "rows like id 'a', count 'x': every row must have id of type string and count of type bigint"),
        (["a,"], "rows like id 'a', count None"),
        (["a,-1"], "the count -1 for 'a': give each item one count, 0 or more"),
        (["a,1", "a,2"], "2 counts for 'a'"),
    ],
)
def test_a_count_is_a_number_for_one_item(lines: list[str], said: str, text: Text, spark: SparkSession) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        read_counts(spark, text("c.csv", "id,count", *lines))


@pytest.mark.spark
def test_counts_are_those_of_the_models_items(text: Text, spark: SparkSession) -> None:
    ids = pa.array(["a", "b"])
    counts = read_counts(spark, text("c.csv", "id,count", "b,3", "z,9"))
    table, [note] = counted(counts, ids)
    assert table.to_pydict() == {"item_id": ["a", "b"], "events": [0, 3]}
    assert note.startswith(
        "Without factors, so left out: 1 of 2 counted items (such as 'z'). If these are ids of another"
    )
    assert counted(read_counts(spark, text("all.csv", "id,count", "b,3")), ids)[1] == []
    others = read_counts(spark, text("d.csv", "id,count", "y,3", "b,0"))
    with pytest.raises(
        DataError,
        match=r"None of the 2 counted items \(such as 'y'\) is one of the model's 2 \(such as 'a'\), or all their counts are 0",
    ):
        counted(others, ids)


@pytest.mark.spark
def test_interactions_have_users_and_items(text: Text, spark: SparkSession) -> None:
    with pytest.raises(DataError, match="needs USER_ID and ITEM_ID: rename or add USER_ID"):
        read_pairs(spark, text("a.csv", "user,ITEM_ID", "a,b"))
    with pytest.raises(DataError, match="TIMESTAMP 'soon'"):
        read_pairs(spark, text("b.csv", "USER_ID,ITEM_ID,TIMESTAMP", "a,b,soon"))


@pytest.mark.spark
def test_a_temperature_needs_somebody_of_the_model(text: Text, spark: SparkSession) -> None:
    pairs = read_pairs(spark, text("a.csv", "USER_ID,ITEM_ID", "a,i1", "u,nothing"))
    users = spark.createDataFrame([("u", [1.0])], "user_id string, vector array<float>")
    with pytest.raises(DataError, match="No interaction has both a user and an item of the model"):
        newest_choices(pairs, users, pa.array(["i1", "i2"]))


@pytest.mark.spark
def test_json_lines_are_a_table_too(text: Text, spark: SparkSession) -> None:
    uri = text("t.jsonl", *(json.dumps({"id": f"é{n}", "count": n}) for n in range(3)))
    rows = read_table(spark, uri, {"id": "string", "count": "bigint"}).collect()
    assert sorted(map(tuple, rows)) == [("é0", 0), ("é1", 1), ("é2", 2)]
