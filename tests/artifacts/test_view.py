"""What a view says of items: which of them exploration may recommend, and how often each was met."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from personalize_spark.artifacts.artifact import Artifact, finish, write_table
from personalize_spark.artifacts.view import Exploration, View, with_exploration
from personalize_spark.scoring.exploration import MAX_ITEMS
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.model import Model
from personalize_spark.storage.location import open_store

DAY = 86_400
ROWS = [("a", 0, 9, 0), ("b", 80, 2, 0), ("c", 100, 0, 5), ("d", 95, 1, 1)]
"""Id, day of creation, interactions, impressions."""


def view_of(folder: Path, rows: list[tuple[str, int, int, int]]) -> View:
    store = open_store(f"file://{folder}")
    ids, days, interactions, impressions = zip(*rows, strict=True)
    columns = {
        "id": pa.array([each.encode() for each in ids], pa.binary()),
        "creation_timestamp": np.array(days) * DAY,
        "dated": np.ones(len(days), np.bool_),
        "interactions": np.array(interactions),
        "impressions": np.array(impressions),
    }
    properties = {"schemas": {}, "eventTypes": [], "items": len(rows), "latestTimestamp": 100 * DAY}
    finish(store, [write_table(store, "items", pa.RecordBatch.from_pydict(columns))], properties)
    return View(Artifact(store))


@pytest.fixture
def model() -> Model:
    """It has learned a, b and d."""
    return Model(JsonTexts.of([b'"d"', b'"a"', b'"b"']), np.arange(3, dtype=np.int32), np.full(3, 1 / 3))


def test_items_younger_than_the_cut_off_are_explored_by_how_often_they_were_met(tmp_path: Path, model: Model) -> None:
    found = with_exploration(model, view_of(tmp_path, ROWS), Exploration(0.3, 20, new_items=True), "seed")
    assert found.cold is not None
    met = dict(zip([found.item_ids()[row] for row in found.cold.rows], found.cold.exposures.tolist(), strict=True))
    assert met == {"d": 2, "b": 2, "c": 5}  # interactions and impressions
    assert found.cold.weight == 0.3
    assert found.cold.rows.tolist() == [0, 2, 3]


def test_an_older_version_explores_only_what_it_has_learned(tmp_path: Path, model: Model) -> None:
    found = with_exploration(model, view_of(tmp_path, ROWS), Exploration(0.3, 20, new_items=False), "seed")
    assert found.cold is not None
    assert found.cold.rows.tolist() == [0, 2]
    assert len(found.item_ids_json) == 3


def test_there_is_nothing_to_explore_without_weight_or_young_items(tmp_path: Path, model: Model) -> None:
    view = view_of(tmp_path, ROWS)
    assert with_exploration(model, view, Exploration(0.0, 20, new_items=True), "seed") is model
    assert with_exploration(model, view, Exploration(0.3, 1, new_items=False), "seed") is model


def test_of_too_many_items_those_that_were_met_least_are_explored(tmp_path: Path, model: Model) -> None:
    shown = [(f"x{number:04d}", 100, 0, 3 if number % 2 else 0) for number in range(2 * MAX_ITEMS)]
    found = with_exploration(model, view_of(tmp_path, shown), Exploration(0.3, 20, new_items=True), "seed")
    assert found.cold is not None
    assert len(found.cold.rows) == MAX_ITEMS
    assert not found.cold.exposures.any()
