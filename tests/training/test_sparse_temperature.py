"""The temperature of sparse scores, fitted: held against the same scores as factors. It needs scipy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.kernel import Kernel, kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.softmax import log_normalisers
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import products_of
from personalize_spark.training import temperature
from personalize_spark.training.temperature import Scale, ScaleFit, fit_bend, fit_scale, sparse_fit
from tests.scoring.test_sparse import drawn, product
from tests.training.test_temperature import singles


@pytest.mark.slow
def test_the_scale_is_that_of_the_same_products_as_factors() -> None:
    items, users = drawn(5, count=40, users=200, share=0.0)
    dense = np.array([[product(items, user, item) for item in range(40)] for user in users], np.float32)
    prior = np.log1p(np.arange(40.0))
    rng = np.random.default_rng(0)
    targets = np.argmax(4 * dense + 0.7 * prior + rng.gumbel(size=dense.shape), axis=1)
    expected = fit_scale(dense, singles(targets), np.eye(40, dtype=np.float32), prior)
    fitted = sparse_fit(users, singles(targets), items, prior)(None)
    assert fitted.log_loss == pytest.approx(expected.log_loss, abs=1e-7)
    assert fitted.scale.temperature == pytest.approx(expected.scale.temperature, rel=1e-3)
    assert fitted.scale.popularity == pytest.approx(expected.scale.popularity, rel=1e-3)


def test_a_given_ratio_is_kept_and_the_temperature_is_the_best_with_it() -> None:
    items, users = drawn(5, count=40, users=200, share=0.0)
    prior, rng = np.log1p(np.arange(40.0)), np.random.default_rng(0)
    dense = np.array([[product(items, user, item) for item in range(40)] for user in users], np.float32)
    targets = np.argmax(4 * dense + 0.7 * prior + rng.gumbel(size=dense.shape), axis=1)
    factors = np.eye(40, dtype=np.float32)
    for found in (
        sparse_fit(users, singles(targets), items, prior)(0.3),
        fit_scale(dense, singles(targets), factors, prior, 0.3),
    ):
        losses = [
            float(np.mean(np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(200), targets]))
            for factor in (0.98, 1.0, 1.02)
            for scores in [found.scale.temperature * factor * (dense.astype(np.float64) + 0.3 * prior)]
        ]
        assert found.scale.popularity == pytest.approx(0.3 * found.scale.temperature)
        assert min(losses) == losses[1] == pytest.approx(found.log_loss, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_what_misleads_leaves_the_scores_to_popularity(seed: int) -> None:
    """Everybody shuns what the history leads to, and takes what is popular: the log-loss is popularity's all the same."""
    items, users = drawn(seed, count=40, users=300, share=0.0)
    dense = np.array([[product(items, user, item) for item in range(40)] for user in users])
    prior = np.log1p(np.arange(40.0))
    gumbel = np.random.default_rng(seed).gumbel(size=dense.shape)
    targets = np.argmax(prior - 2 * dense + gumbel, axis=1)
    popularity = float(np.log(np.exp(prior).sum()) - prior[targets].mean())
    fitted = sparse_fit(users, singles(targets), items, prior)(None)
    assert fitted.log_loss <= popularity + 1e-5
    # and the scores of the model that is written have it
    share = fitted.scale.popularity * prior.max() / fitted.scale.temperature
    written = replace(items, prior=(prior / prior.max()).astype(np.float32), share=share)
    chosen = products_of(users, np.arange(len(users)), written, targets)
    losses = log_normalisers(users, written, fitted.scale.curve) - fitted.scale.curve.exponents(chosen)
    assert losses.mean() <= popularity + 2e-5


@cache
def _choices(
    seed: int, curve: Curve, users: int = 600
) -> tuple[SparseItems, NDArray[np.int32], NDArray[np.float64], NDArray[np.int64]]:
    """Users who choose by a curve of the sums and 0.02 times the logarithm of the popularity."""
    items, rows = drawn(seed, count=40, users=users, share=0.0)
    prior, rng = np.log1p(np.arange(40.0)), np.random.default_rng(seed)
    sums = np.array([[product(items, row, item) for item in range(40)] for row in rows]) + 0.02 * prior
    return items, rows, prior, np.argmax(curve.exponents(sums) + rng.gumbel(size=sums.shape), axis=1)


def _losses(
    items: SparseItems, users: NDArray[np.int32], prior: NDArray[np.float64], targets: NDArray[np.int64], scale: Scale
) -> NDArray[np.float64]:
    """Those of the model that is written."""
    share = scale.popularity * prior.max() / scale.temperature
    written = replace(items, prior=(prior / prior.max()).astype(np.float32), share=share)
    chosen = products_of(users, np.arange(len(users)), written, targets)
    return log_normalisers(users, written, scale.curve) - scale.curve.exponents(chosen)


@pytest.mark.parametrize("given", [None, 0.02])
def test_scores_that_rise_less_at_the_top_are_found_and_no_order_changes(given: float | None) -> None:
    items, users, prior, targets = _choices(3, Curve(200.0, 0.3))
    straight = sparse_fit(users, singles(targets), items, prior)(given)
    bent = fit_bend(users, singles(targets), items, prior, straight)
    scale = bent.scale
    assert bent.log_loss < straight.log_loss - 0.05
    assert scale.popularity / scale.temperature == pytest.approx(straight.scale.popularity / straight.scale.temperature)
    assert _losses(items, users, prior, targets, scale).mean() == pytest.approx(bent.log_loss, abs=1e-5)
    for other in (replace(scale, bend=0.9 * scale.bend), replace(scale, bend=1.1 * scale.bend)):
        assert _losses(items, users, prior, targets, other).mean() > bent.log_loss
    if given is not None:
        assert scale.bend == pytest.approx(0.3, rel=0.15)


@pytest.mark.parametrize("seed", range(4))
def test_a_bend_never_explains_less(seed: int) -> None:
    items, users, prior, targets = _choices(seed, Curve(3.0), users=50)
    straight = sparse_fit(users, singles(targets), items, prior)(None)
    bent = fit_bend(users, singles(targets), items, prior, straight)
    assert bent == straight or bent.log_loss < straight.log_loss - 1 / 50


def test_where_nothing_leads_anywhere_nothing_is_bent() -> None:
    items, users, prior, targets = _choices(1, Curve(3.0), users=20)
    fit = ScaleFit(Scale(1.0, 0.9), 3.0)
    assert fit_bend(np.full_like(users, -1), singles(targets), items, prior, fit) is fit


def test_the_kernel_and_numpy_find_the_same_scale_of_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    items, users = drawn(5, count=40, users=200, share=0.0)
    prior, rng = np.log1p(np.arange(40.0)), np.random.default_rng(0)
    targets = rng.integers(0, 40, 200) // 2
    native = sparse_fit(users, singles(targets), items, prior)(None)
    monkeypatch.setattr(temperature, "kernel", lambda: None)
    numpy = sparse_fit(users, singles(targets), items, prior)(None)
    assert native.log_loss == pytest.approx(numpy.log_loss, rel=1e-12)
    assert native.scale.temperature == pytest.approx(numpy.scale.temperature, rel=1e-5)
    assert native.scale.popularity == pytest.approx(numpy.scale.popularity, abs=1e-5)


@pytest.mark.parametrize("used", [kernel, lambda: None])
def test_what_was_held_out_of_a_user_counts_as_one_however_much_it_is(
    used: Callable[[], Kernel | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temperature, "kernel", used)
    items, users, prior, targets = _choices(3, Curve(200.0, 0.3), users=300)
    others = np.random.default_rng(2).integers(0, 40, 200)
    rows = Ragged.grouped(np.append(np.arange(300), np.arange(200)), np.append(targets, others).astype(np.int32), 300)
    both = np.concatenate([users, users])
    # the same with each user twice, those with one item with it in both
    twice = singles(np.append(targets, np.append(others, targets[200:])))
    found, expected = sparse_fit(users, rows, items, prior)(None), sparse_fit(both, twice, items, prior)(None)
    assert found.log_loss == pytest.approx(expected.log_loss, rel=1e-12)
    bent, expected_bent = (
        fit_bend(users, rows, items, prior, found),
        fit_bend(both, twice, items, prior, expected),
    )
    assert bent.log_loss < found.log_loss
    assert bent.log_loss == pytest.approx(expected_bent.log_loss, rel=1e-6)
    assert bent.scale.bend == pytest.approx(expected_bent.scale.bend, rel=1e-3)
