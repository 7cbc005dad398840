from __future__ import annotations

from pathlib import Path

import pytest

from personalize_spark.errors import DataError
from personalize_spark.external.tables import check_place


def saved(folder: Path, *names: str) -> str:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return f"file://{folder}"


def test_a_saved_pipeline_names_its_stages(tmp_path: Path) -> None:
    stages = ("0_StringIndexer_a/data/part-0", "1_StringIndexer_b/data/part-0", "2_ALS_c/itemFactors/part-0")
    uri = saved(tmp_path, "metadata/part-00000", *(f"stages/{each}" for each in stages))
    with pytest.raises(DataError) as caught:
        check_place(f"{uri}/")
    said = caught.value.message
    assert f"{uri} is a saved PipelineModel: give its ALSModel as --items, {uri}/stages/2_ALS_c." in said
    assert "among stages/0_StringIndexer_a, stages/1_StringIndexer_b: write its labels as a table" in said


def test_a_saved_indexer_is_named(tmp_path: Path) -> None:
    uri = saved(tmp_path, "metadata/part-00000", "metadata/_SUCCESS", "data/part-0.parquet")
    with pytest.raises(DataError, match="a saved model of Spark ML, not a table. If it is a StringIndexerModel, write"):
        check_place(uri)


@pytest.mark.parametrize(
    "names",
    [
        ("metadata/part-00000", "itemFactors/part-0.parquet", "userFactors/part-0.parquet"),
        ("metadata/v1.metadata.json", "data/part-0.parquet"),
        ("part-0.parquet",),
    ],
)
def test_what_can_be_read_is_left_alone(tmp_path: Path, names: tuple[str, ...]) -> None:
    check_place(saved(tmp_path, *names))


def test_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is nothing at"):
        check_place(f"file://{tmp_path}/none")
