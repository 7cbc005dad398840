"""The peers that `evaluate` shows, held against their definitions."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest

from personalize_spark.artifacts.heldout import COSINE, EASE
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training import peers

USERS, ITEMS = 40, 12


@pytest.mark.parametrize("cells", [1, 1 << 20])
def test_the_lists_are_those_of_the_definitions(cells: int) -> None:
    rng = np.random.default_rng(0)
    met = rng.random((USERS, ITEMS)) < 0.3
    met[0] = True
    users, items = np.nonzero(met)
    lines, of_five = np.nonzero(met[:5])
    seen = Ragged.of_pairs(lines, of_five, 5)
    with patch.object(peers, "_CELLS", cells):
        found = peers.lists_of(users.astype(np.int32) * 7, items.astype(np.int32), ITEMS, seen)
    wide = met.astype(float)
    products = wide.T @ wide
    cosine = products / np.sqrt(np.outer(np.diag(products), np.diag(products)))
    inverse = np.linalg.inv(products + 250 * np.eye(ITEMS))
    ease = np.eye(ITEMS) - inverse / np.diag(inverse)
    for name, weights in ((COSINE, cosine), (EASE, ease)):
        assert (found[name][0] == -1).all()  # has met everything
        for user in range(1, 5):
            scores = np.where(met[user], -np.inf, wide[user] @ weights)
            expected = np.argsort(-scores, kind="stable")[: ITEMS - met[user].sum()]
            np.testing.assert_allclose(scores[found[name][user, : len(expected)]], scores[expected])
            assert (found[name][user, len(expected) :] == -1).all()


def test_ease_is_left_out_of_large_catalogues() -> None:
    seen = Ragged(np.array([0, 1]), np.array([0], np.int32))
    with patch.object(peers, "_MOST_ITEMS", 2):
        assert list(peers.lists_of(np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32), 3, seen)) == [COSINE]
