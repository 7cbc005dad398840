"""Factors become a model, without Spark: what there is of users is tested with trainings and imports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.solutions.write_model import write_model
from personalize_spark.storage.file import FileStore
from personalize_spark.training.factors import Factors

ITEMS = pa.table({"item_id": ["a", "b", "ä"], "events": [1, 5, 5]})


def written(folder: Path, factors: Factors) -> Model:
    fields = write_model(FileStore(str(folder / "model")), factors, {"recipe": "own"})
    artifact = Pinned(**fields["model"]).open()
    assert artifact.properties["items"] == 3
    assert artifact.properties["recipe"] == "own"
    assert fields["metrics"] == {}
    return read_model(artifact)


def test_items_without_factors_lie_by_popularity(tmp_path: Path) -> None:
    model = written(tmp_path, Factors(ITEMS))
    assert model.item_ids() == ["b", "ä", "a"]
    assert model.popularity_order.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(model.popularity, np.array([5, 5, 1]) / 11)
    assert model.matrix is None


def test_neighbours_are_numbers_of_items_in_and_rows_out(tmp_path: Path) -> None:
    lists = Ragged(np.array([0, 2, 2, 3]), np.array([2, 1, 0], np.int32))
    model = written(tmp_path, Factors(ITEMS, neighbours=lists))
    assert model.neighbours is not None
    names = model.item_ids()
    found = {names[row]: [names[each] for each in model.neighbours.row(row)] for row in range(3)}
    assert found == {"a": ["ä", "b"], "b": [], "ä": ["a"]}


def test_factors_and_queries_lie_in_one_order_by_norm(tmp_path: Path) -> None:
    factors = np.array([[1, 0], [0, 3], [2, 0]], np.float32)
    model = written(tmp_path, Factors(ITEMS, factors, queries=-factors))
    assert model.matrix is not None
    assert model.queries is not None
    assert model.item_ids() == ["b", "ä", "a"]
    np.testing.assert_array_equal(model.matrix.factors, factors[[1, 2, 0]])
    np.testing.assert_array_equal(model.queries, -factors[[1, 2, 0]])


def test_popularity_becomes_a_column_of_the_factors(tmp_path: Path) -> None:
    factors = np.zeros((3, 2), np.float32)
    model = written(tmp_path, Factors(ITEMS, factors, popular=True))
    assert model.matrix is not None
    shares = dict(zip(model.item_ids(), model.matrix.factors[:, 2].tolist(), strict=True))
    assert shares["b"] == shares["ä"] == 1.0
    assert shares["a"] == np.float32(np.log(2) / np.log(6))


@pytest.mark.filterwarnings("error")
def test_items_of_which_only_the_popularity_is_known_lie_by_it(tmp_path: Path) -> None:
    nothing = np.zeros((3, 0), np.float32)
    model = written(tmp_path, Factors(ITEMS, nothing, queries=nothing, popular=True))
    assert model.matrix is not None
    assert model.item_ids() == ["b", "ä", "a"]
    assert model.matrix.factors.shape == (3, 1)
