"""Products of pairs of sparse rows, by the kernel and by scipy."""

from __future__ import annotations

import numpy as np
import pytest

from personalize_spark.scoring.kernel import Kernel, kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training import row_products as module
from personalize_spark.training.row_products import row_products

ROWS, COLUMNS = 50, 30


@pytest.fixture(params=["the kernel", "scipy"])
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernel | None:
    found = kernel() if request.param == "the kernel" else None
    monkeypatch.setattr(module, "kernel", lambda: found)
    return found


@pytest.mark.parametrize("at_once", [1, 7, 1 << 15])
@pytest.mark.usefixtures("native")
def test_the_products_are_those_of_the_rows(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    from scipy.sparse import csr_array

    monkeypatch.setattr(module, "_PAIRS", at_once)
    random = np.random.default_rng(0)
    wide = random.random((ROWS, COLUMNS)) * (random.random((ROWS, COLUMNS)) < 0.3)
    lengths = random.integers(0, 9, ROWS) * (np.arange(ROWS) % 7 > 1)
    others = Ragged.of_lengths(lengths, random.integers(0, ROWS, lengths.sum()).astype(np.int32))
    found = row_products(csr_array(wide), others)
    np.testing.assert_allclose(found, np.einsum("ij,ij->i", wide[others.row_ids()], wide[others.values]), rtol=1e-14)
    assert (found == 0).any()


@pytest.mark.usefixtures("native")
def test_no_pairs_have_no_products() -> None:
    from scipy.sparse import csr_array

    assert not len(row_products(csr_array((3, 4)), Ragged(np.zeros(4, np.int64), np.empty(0, np.int32))))


def test_a_row_that_is_not_there_is_an_error(native: Kernel | None) -> None:
    from scipy.sparse import csr_array

    with pytest.raises(IndexError):
        row_products(csr_array((2, 4)), Ragged(np.array([0, 1, 1]), np.array([2], np.int32)))
