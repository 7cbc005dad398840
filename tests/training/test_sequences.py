"""Models of what follows what, made in this process."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pytest

from personalize_spark.recipes import RECIPES
from personalize_spark.training import local_pairs
from personalize_spark.training.configuration import Hyperparameters
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
