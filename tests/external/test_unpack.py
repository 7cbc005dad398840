"""Saved pipelines are taken apart by their metadata, without Spark; `test_spark_ml` holds this against what Spark writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from personalize_spark.errors import DataError, InvalidInputException, PersonalizeSparkError
from personalize_spark.external.load import Sources
from personalize_spark.external.unpack import unpacked


def save(folder: Path, kind: str, **params: object) -> str:
    """The metadata of a model, as Spark writes it."""
    (folder / "metadata").mkdir(parents=True)
    about = {
        "class": f"org.apache.spark.ml.x.{kind}",
        "paramMap": params,
        "defaultParamMap": {"userCol": "user", "itemCol": "item"},
    }
    (folder / "metadata" / "part-00000").write_text(json.dumps(about))
    (folder / "metadata" / "_SUCCESS").touch()
    return f"file://{folder}"


def pipeline(folder: Path) -> str:
    """Three indexers, one of them for another column, and the factors."""
    uri = save(folder, "PipelineModel", stageUids=[])
    save(folder / "stages" / "0_a", "StringIndexerModel", inputCol="shop", outputCol="shop_ix")
    save(folder / "stages" / "1_b", "StringIndexerModel", inputCol="customer", outputCol="user")
    save(folder / "stages" / "2_c", "StringIndexerModel", inputCol="sku", outputCol="item_ix")
    save(folder / "stages" / "3_d", "ALSModel", itemCol="item_ix")
    return uri


def test_a_pipeline_has_factors_and_the_ids_of_both(tmp_path: Path) -> None:
    uri = pipeline(tmp_path / "pipe")
    found, notes = unpacked(Sources(items=f"{uri}/"))
    stages = f"{uri}/stages"
    assert found == Sources(items=f"{stages}/3_d", item_ids=f"{stages}/2_c", user_ids=f"{stages}/1_b")
    assert notes == [
        f"The factors are those of {stages}/3_d.",
        f"The ids of the items are the labels of {stages}/2_c (sku as item_ix).",
        f"The ids of the users are the labels of {stages}/1_b (customer as user).",
    ]
    assert unpacked(found) == (found, notes[1:])


def test_the_best_model_of_a_search_is_found(tmp_path: Path) -> None:
    uri = save(tmp_path / "search", "CrossValidatorModel")
    pipeline(tmp_path / "search" / "bestModel")
    found, _ = unpacked(Sources(items=uri))
    assert found.items == f"{uri}/bestModel/stages/3_d"


def test_an_indexer_of_several_columns_has_the_ids_of_both(tmp_path: Path) -> None:
    als = save(tmp_path / "als", "ALSModel")
    both = save(tmp_path / "both", "StringIndexerModel", inputCols=["u", "i"], outputCols=["user", "item"])
    found, notes = unpacked(Sources(items=als, item_ids=both, user_ids=both))
    assert (found.item_ids, found.user_ids) == (both, both)
    assert [note.rpartition(" (")[2] for note in notes] == ["i as item).", "u as user)."]


def test_swapped_indexers_are_refused(tmp_path: Path) -> None:
    als = save(tmp_path / "als", "ALSModel")
    users = save(tmp_path / "users", "StringIndexerModel", inputCol="u", outputCol="user")
    with pytest.raises(InvalidInputException) as caught:
        unpacked(Sources(items=als, item_ids=users))
    assert caught.value.message == (
        f"The ids of the items cannot be told from {users}: the ALSModel reads the items from the column item; "
        f"{users} writes user. Give the StringIndexerModel as --item-ids."
    )


def test_a_lone_indexer_is_taken_whatever_its_column_is_called(tmp_path: Path) -> None:
    als = save(tmp_path / "als", "ALSModel")
    items = save(tmp_path / "items", "StringIndexerModel", inputCol="sku", outputCol="n")
    assert unpacked(Sources(items=als, item_ids=items))[0].item_ids == items


def test_what_has_no_factors_is_named(tmp_path: Path) -> None:
    indexer = save(tmp_path / "i", "StringIndexerModel", inputCol="sku", outputCol="n")
    save(tmp_path / "p" / "stages" / "0_x", "StringIndexerModel", outputCol="n")
    empty = save(tmp_path / "p", "PipelineModel")
    for sources, said in {
        Sources(items=indexer): f"{indexer} is a saved StringIndexerModel; an ALSModel is needed here",
        Sources(items=empty): "is a saved PipelineModel with StringIndexerModel; an ALSModel is needed",
        Sources(counts=indexer): "is a saved StringIndexerModel; a table is needed here",
    }.items():
        with pytest.raises(InvalidInputException) as caught:
            unpacked(sources)
        assert said in caught.value.message


@pytest.mark.parametrize("text", ["{", "[]", '{"class": "ALSModel"}', "\x00"])
def test_metadata_that_is_no_models_is_named(text: str, tmp_path: Path) -> None:
    save(tmp_path / "als", "ALSModel")
    (tmp_path / "als" / "metadata" / "part-00000").write_text(text)
    with pytest.raises(PersonalizeSparkError, match="has a folder metadata, but not that of a model of Spark ML"):
        unpacked(Sources(items=f"file://{tmp_path}/als"))


def test_other_places_are_left_alone_and_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "t" / "metadata").mkdir(parents=True)
    (tmp_path / "t" / "metadata" / "v1.metadata.json").touch()
    sources = Sources(items=f"file://{tmp_path}/t", form="parquet")
    assert unpacked(sources) == (sources, [])
    with pytest.raises(DataError, match="There is nothing at"):
        unpacked(Sources(items=f"file://{tmp_path}/none"))
