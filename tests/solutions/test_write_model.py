"""Factors become a model, without Spark: what there is of users is tested with trainings and imports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pytest

from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.artifacts.heldout import read_held_out, read_known
from personalize_spark.artifacts.model import read_model
from personalize_spark.quality.measures import known_shares
from personalize_spark.recipes import RECIPES
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.softmax import log_normalisers
from personalize_spark.scoring.topn import products_of
from personalize_spark.solutions.judging import asked, calibrating
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
    assert factors.users is not None
    known = asked(factors, matrix, calibrating(factors.users.rows))
    targets, seen = known.targets.values.astype(np.int64), known.seen
    assert (held_out.targets.values == targets).all()
    assert (held_out.seen.values == seen.values).all()
    chosen = model.curve.exponents(products_of(known.vectors, np.arange(len(targets)), matrix, targets))
    normalisers = log_normalisers(known.vectors, matrix, model.curve)
    np.testing.assert_allclose(held_out.ranking.losses, normalisers - chosen)
    assert artifact.properties["metrics"]["logLoss"] == pytest.approx((normalisers - chosen).mean(), abs=1e-5)
    shares = known_shares(read_known(artifact))
    popular = artifact.properties["metrics"]["logLossPopularity"]
    assert popular == pytest.approx(-np.log(shares[targets]).mean())  # what evaluate says is what the training said
    of_seen = products_of(known.vectors, seen.row_ids(), matrix, seen.values.astype(np.int64))
    kept = np.exp(model.curve.exponents(of_seen) - normalisers[seen.row_ids()])
    np.testing.assert_allclose(held_out.ranking.seen_shares, seen.with_values(kept).means() * seen.lengths)


def said(artifact: Artifact) -> dict[str, Any]:
    """What an artifact tells of its held-out users, by ids of items."""
    names, out = np.array([*read_model(artifact).item_ids(), ""]), read_held_out(artifact)
    assert out is not None
    of_rows = {"targets": out.targets.values, "seen": out.seen.values, "lists": out.ranking.lists}
    scale = {name: artifact.properties[name] for name in ("metrics", "temperature", "bend", "popularityShare")}
    return (
        scale | {name: names[rows].tolist() for name, rows in of_rows.items()} | {"losses": out.ranking.losses.tolist()}
    )


def test_a_model_that_has_learned_everything_is_measured_by_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = followers(monkeypatch)
    assert training.here is not None
    twin = train_sequences(training)
    model = train_sequences(replace(training, here=training.here.with_nothing_held_out()))
    alone, both = (
        Pinned(**write_model(FileStore(str(tmp_path / name)), factors, {})["model"]).open()
        for name, factors in (("alone", twin), ("both", replace(model, twin=twin)))
    )
    assert said(both) == said(alone)
    items, fewer = (read_model(each).sparse for each in (both, alone))
    assert items is not None
    assert fewer is not None
    assert len(items.leads.values) > len(fewer.leads.values)
