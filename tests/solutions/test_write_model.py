"""Factors become a model, without Spark: what there is of users is tested with trainings and imports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pytest

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.heldout import read_held_out
from personalize_spark.artifacts.model import read_model
from personalize_spark.recipes import RECIPES
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.softmax import log_normalisers
from personalize_spark.scoring.topn import products_of
from personalize_spark.solutions.calibration import evaluated
from personalize_spark.solutions.write_model import write_model
from personalize_spark.solutions.write_users import UserSide
from personalize_spark.storage.file import FileStore
from personalize_spark.training import local_pairs
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.factors import Factors
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.sequences import train_sequences
from personalize_spark.training.training import Training

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


def followers(monkeypatch: pytest.MonkeyPatch) -> Training:
    """400 users, each of whom goes on to the next of 40 items now and then, and else to a popular one."""
    chance, users, items, times = np.random.default_rng(7), list[str](), list[str](), list[int]()
    for user in range(400):
        item = int(40 * chance.random() ** 3)
        for when in range(7):
            users.append(f"u{user}")
            items.append(f"i{item:02}")
            times.append(when)
            item = (item + 1) % 40 if chance.random() < 0.3 else int(40 * chance.random() ** 3)
    columns = {"USER_ID": users, "ITEM_ID": items, "TIMESTAMP": times}
    monkeypatch.setattr(local_pairs, "collect_arrow", lambda _: pa.table(columns))
    here, nothing = LocalPairs.read(Mock()), Mock()
    recipe = RECIPES["aws-user-personalization-v2"]
    return Training(recipe, nothing, here.totals, Hyperparameters(), nothing, nothing, here)


@pytest.mark.parametrize("scored", [None, 5])
def test_the_scores_of_what_follows_are_bent_and_explain_what_the_metrics_say(
    scored: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors = replace(train_sequences(followers(monkeypatch)), scored=scored)
    artifact = Pinned(**write_model(FileStore(str(tmp_path)), factors, {})["model"]).open()
    model, held_out = read_model(artifact), read_held_out(artifact)
    matrix, users = model.sides()
    assert model.curve.bend > 0
    assert UserSide.of(artifact).curve == model.curve
    found = users.lookup([f"u{user}" for user in range(30)])
    lines, items = np.divmod(np.arange(30 * 40), 40)
    products = products_of(found.vectors, lines, matrix, items).reshape(30, 40)
    if found.floors is not None:
        products = np.where(products >= found.floors[:, None], products, -np.inf)
    scores = np.exp(model.curve.exponents(products) - found.log_normalisers[:, None])
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-9)
    assert held_out is not None
    targets = held_out.targets.values.astype(np.int64)
    chosen = model.curve.exponents(products_of(held_out.vectors, np.arange(len(targets)), matrix, targets))
    normalisers, seen = log_normalisers(held_out.vectors, matrix, model.curve), held_out.seen
    loss = (normalisers - chosen).mean()
    assert artifact.properties["metrics"]["logLoss"] == pytest.approx(loss, abs=1e-5)
    measured = evaluated(held_out, matrix, factors.counts()[matrix.ranks], model.curve)
    assert measured.rankings["model"].log_loss == pytest.approx(loss)
    of_seen = products_of(held_out.vectors, seen.row_ids(), matrix, seen.values.astype(np.int64))
    kept = np.exp(model.curve.exponents(of_seen) - normalisers[seen.row_ids()]).sum() / len(targets)
    assert measured.seen_share == pytest.approx(kept)
