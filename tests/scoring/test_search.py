from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest

from personalize_spark.scoring import search


@pytest.mark.parametrize("place_bits", [21, 5])
def test_packed_keys_sort_as_their_parts(place_bits: int) -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2048, 3000)
    exponents = rng.integers(-149, 127, 3000)
    scores = np.ldexp(rng.choice([-1.5, -1.0, 0.0, 1.0, 1.5], 3000), exponents).astype(np.float32)
    with patch.object(search, "_PLACE_BITS", place_bits):
        order = search._by_row_then_score(rows, scores)
    assert np.array_equal(np.sort(order), np.arange(3000))
    assert (np.diff(rows[order]) >= 0).all()
    same = np.diff(rows[order]) == 0
    assert (np.diff(scores[order])[same] <= 0).all()
