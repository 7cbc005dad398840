"""The compiled equations of ALS, each level of instructions of this machine, held against LAPACK in float64."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import Kernel, kernels
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training import solver
from personalize_spark.training.fold_in import gram
from personalize_spark.training.solver import solve_rows

KERNELS = [*kernels()]
LEVELS = pytest.mark.parametrize("native", KERNELS, ids=lambda native: native.name)
WEIGHTS = 3.0, 0.5


def drawn(seed: int, rank: int, rows: int = 12) -> tuple[NDArray[np.float32], Ragged[np.int32], NDArray[np.float32]]:
    """Factors of 40 items; rows that met up to 200 of them, some more than once and the first one none; and how often."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 200, rows)
    lengths[0] = 0
    met = Ragged.of_lengths(lengths, random.integers(0, 40, lengths.sum()).astype(np.int32))
    factors = random.standard_normal((40, rank)).astype(np.float32)
    return factors, met, random.integers(1, 6, len(met.values)).astype(np.float32)


def by_lapack(factors: NDArray[np.float32], met: Ragged[np.int32], events: NDArray[np.float32]) -> NDArray[np.float64]:
    wide, base, result = factors.astype(np.float64), gram(factors), np.zeros((len(met), factors.shape[1]))
    for row in range(1, len(met)):
        own, confidence = wide[met.row(row)], 3.0 * events[met.indptr[row] : met.indptr[row + 1]]
        left = base + (own * confidence[:, None]).T @ own + 0.5 * len(own) * np.eye(len(base))
        result[row] = np.linalg.solve(left, (1 + confidence) @ own)
    return result


@LEVELS
@given(st.integers(0, 1000), st.integers(1, 70))
def test_rows_solve_their_equations(native: Kernel, seed: int, rank: int) -> None:
    factors, met, events = drawn(seed, rank)
    solved = solve_rows(native, factors, gram(factors), met, events, WEIGHTS)
    expected = by_lapack(factors, met, events)
    apart = np.linalg.norm(solved - expected, axis=1)
    assert (apart <= 1e-4 * np.linalg.norm(expected, axis=1)).all()  # what float32 adds up, times the condition


@LEVELS
def test_the_same_bytes_in_any_parts_on_any_threads_and_from_part_of_a_matrix(
    native: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors, met, events = drawn(1, 9, rows=60)
    whole = solve_rows(native, factors, gram(factors), met, events, WEIGHTS)
    monkeypatch.setattr(solver, "_PART", 50)
    apart = np.column_stack([factors, np.full(len(factors), np.nan, np.float32)])[:, :-1]
    with ThreadPoolExecutor(3) as pool:
        assert solve_rows(native, apart, gram(factors), met, events, WEIGHTS, pool).tobytes() == whole.tobytes()
    turned = np.asfortranarray(factors)
    assert solve_rows(native, turned, gram(factors), met, events, WEIGHTS).tobytes() == whole.tobytes()


@LEVELS
def test_what_is_not_there_is_an_error(native: Kernel) -> None:
    factors, met, events = drawn(2, 4)
    with pytest.raises(IndexError, match="of 30 vectors"):
        solve_rows(native, factors[:30], gram(factors), met, events, WEIGHTS)


@LEVELS
def test_an_equation_without_a_single_solution_ends_in_numbers_that_are_not_finite(native: Kernel) -> None:
    factors, met = np.zeros((1, 2), np.float32), Ragged.of_lengths(np.array([1]), np.zeros(1, np.int32))
    assert not np.isfinite(solve_rows(native, factors, gram(factors), met, np.ones(1, np.float32), (1.0, 0.0))).all()


@LEVELS
def test_nobody_has_no_vectors(native: Kernel) -> None:
    nothing = Ragged(np.zeros(1, np.int64), np.empty(0, np.int32))
    factors = np.ones((3, 2), np.float32)
    assert solve_rows(native, factors, gram(factors), nothing, np.empty(0, np.float32), WEIGHTS).shape == (0, 2)
