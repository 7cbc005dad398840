"""Models of what follows what, made in this process."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pytest

from personalize_spark.recipes import RECIPES
from personalize_spark.solutions import tuning
from personalize_spark.training import local_pairs, sequences
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.local_cooccurrence import followed
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.sequences import SequenceForm, train_forms
from personalize_spark.training.training import Training


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    """20 users, each of whom goes from an item to the next one, somewhere among 12."""
    columns = {
        "USER_ID": [f"u{user}" for user in range(20) for _ in range(5)],
        "ITEM_ID": [f"i{(user + when) % 12:02}" for user in range(20) for when in range(5)],
        "TIMESTAMP": [when for _ in range(20) for when in range(5)],
    }
    monkeypatch.setattr(local_pairs, "collect_arrow", lambda _: pa.table(columns))
    here, nothing = LocalPairs.read(Mock()), Mock()
    return Training(
        RECIPES["aws-user-personalization"], nothing, here.totals, Hyperparameters(), nothing, nothing, here
    )


def test_a_form_that_arpack_does_not_factorise_is_left_out(
    training: Training, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from scipy.sparse import linalg

    def failing(*_: Any, **__: Any) -> None:
        raise linalg.ArpackError(3)

    monkeypatch.setattr(linalg, "svds", failing)
    trained = list(train_forms(training, [SequenceForm(rank=4), SequenceForm()]))
    assert [each.properties["form"]["rank"] for each in trained] == [0]
    assert "ARPACK finds no factors of rank 4" in caplog.text


def test_forms_share_counts_which_are_let_go_when_no_other_form_wants_them(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[float, weakref.ref[Any]]] = []

    def counting(pairs: LocalPairs, half_life: float) -> Any:
        counted = followed(pairs, half_life)
        made.append((half_life, weakref.ref(counted)))
        return counted

    monkeypatch.setattr(sequences, "followed", counting)
    pairs = [(10.0, 0.3), (5.0, 0.3), (10.0, 0.3), (10.0, 1.0), (5.0, 1.0)]
    trained = train_forms(training, [SequenceForm(3.0, *each) for each in pairs])
    there = [[half_life for half_life, counted in made if counted() is not None] for _ in trained]
    assert [half_life for half_life, _ in made] == [10.0, 5.0]
    assert there == [[10.0], [10.0, 5.0], [10.0, 5.0], [5.0], []]


def test_less_of_popularity_is_tried_where_it_surely_helps(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_FEWEST", 5)
    monkeypatch.setattr(tuning, "_surely", lambda _: True)
    monkeypatch.setattr(tuning, "chosen", lambda measured: len(measured) - 1)
    factors = tuning.train_best(replace(training, hyperparameters=Hyperparameters(training_jobs=1)))
    fitted, half, third = factors.properties["candidates"]
    assert fitted["ratio"] is None
    assert third["ratio"] == pytest.approx(0.7 * half["ratio"])
    assert factors.fitted is not None
    assert factors.fitted.log_loss == third["log_loss"]
    assert (
        factors.fitted.scale.popularity
        == third["share"]
        == pytest.approx(third["ratio"] * factors.fitted.scale.temperature)
    )
    assert fitted["log_loss"] <= half["log_loss"] <= third["log_loss"]
