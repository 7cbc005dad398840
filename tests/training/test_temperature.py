from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import Kernel, kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training import temperature
from personalize_spark.training.temperature import fit_scale

Choices = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]


def drawn(temperature: float, users: int = 3000, items: int = 50) -> Choices:
    """Users, the items that they chose at this temperature, and the items."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((users, 4)).astype(np.float32)
    factors = rng.standard_normal((items, 4)).astype(np.float32)
    gumbel = rng.gumbel(size=(users, items))
    return vectors, np.argmax(temperature * (vectors @ factors.T) + gumbel, axis=1), factors


def singles(targets: NDArray[np.int64]) -> Ragged[np.int32]:
    """One for each user."""
    return Ragged.singles(targets.astype(np.int32))


def loss(vectors: NDArray[np.float32], targets: NDArray[np.int64], factors: NDArray[np.float32], t: float) -> float:
    scores = t * (vectors.astype(np.float64) @ factors.astype(np.float64).T)
    chosen = scores[np.arange(len(targets)), targets]
    return float((np.logaddexp.reduce(scores, axis=1) - chosen).mean())


@pytest.mark.parametrize("temperature", [0.05, 1.0, 7.0])
def test_the_temperature_of_choices_is_found_again(temperature: float) -> None:
    vectors, targets, factors = drawn(temperature)
    assert fit_scale(vectors, singles(targets), factors).scale.temperature == pytest.approx(temperature, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_no_other_temperature_explains_the_choices_better(scale: float) -> None:
    vectors, targets, factors = drawn(1.5)
    vectors = vectors * np.float32(scale)
    found = fit_scale(vectors, singles(targets), factors)
    assert found.log_loss == pytest.approx(loss(vectors, targets, factors, found.scale.temperature), rel=1e-12)
    grid = found.scale.temperature * np.linspace(0.9, 1.1, 21)
    assert min(loss(vectors, targets, factors, t) for t in grid) >= found.log_loss - 1e-12


@pytest.mark.slow
def test_many_tiles_give_the_same_as_the_definition() -> None:
    rng = np.random.default_rng(1)
    vectors, factors = (rng.standard_normal((n, 3)).astype(np.float32) for n in (300, 5000))
    targets = np.argmax(vectors @ factors.T + rng.gumbel(size=(300, 5000)), axis=1)
    found = fit_scale(vectors, singles(targets), factors)
    assert found.log_loss == pytest.approx(loss(vectors, targets, factors, found.scale.temperature), rel=1e-12)


def test_products_that_mislead_give_nearly_uniform_scores() -> None:
    vectors, targets, factors = drawn(1.0)
    found = fit_scale(-vectors, singles(targets), factors)
    assert found.scale.temperature > 0
    assert type(found.scale.temperature) is float  # it goes into JSON
    assert found.log_loss == pytest.approx(np.log(50), abs=1e-2)


def test_products_that_are_all_equal_give_uniform_scores() -> None:
    found = fit_scale(np.ones((5, 2), np.float32), singles(np.arange(5)), np.ones((7, 2), np.float32))
    assert found.scale.temperature == 1.0
    assert found.log_loss == pytest.approx(np.log(7))


def test_choices_that_are_always_the_best_end_at_a_finite_temperature() -> None:
    vectors = np.eye(4, dtype=np.float32)
    found = fit_scale(vectors, singles(np.arange(4)), vectors)
    assert 1.0 < found.scale.temperature < 1e6
    assert found.log_loss == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.3])
def test_temperature_and_share_of_choices_are_found_again(share: float) -> None:
    vectors, _, factors = drawn(1.0)
    prior = np.log1p(np.arange(50.0))
    gumbel = np.random.default_rng(3).gumbel(size=(len(vectors), 50))
    targets = np.argmax(0.5 * (vectors @ factors.T) + share * prior + gumbel, axis=1)
    found = fit_scale(vectors, singles(targets), factors, prior)
    assert found.scale.temperature == pytest.approx(0.5, rel=0.15)
    assert found.scale.popularity == pytest.approx(share, abs=0.1)
    offsets = np.column_stack([factors, prior]).astype(np.float32), found.scale.temperature
    near = [
        loss(np.column_stack([vectors, np.full(len(vectors), each / offsets[1])]).astype(np.float32), targets, *offsets)
        for each in found.scale.popularity + np.array([0.0, 0.02, -0.02])
    ]
    assert near[0] == pytest.approx(found.log_loss, rel=1e-6)
    if share:
        assert found.log_loss <= min(near[1:])


def test_products_that_mislead_leave_the_scores_to_popularity() -> None:
    """Everybody hates what the products praise, and takes what is popular."""
    vectors, _, factors = drawn(1.0)
    prior = np.log1p(np.arange(50.0))
    gumbel = np.random.default_rng(3).gumbel(size=(len(vectors), 50))
    targets = np.argmax(prior - 0.5 * (vectors @ factors.T) + gumbel, axis=1)
    popularity = float(np.log(np.exp(prior).sum()) - prior[targets].mean())
    assert fit_scale(vectors, singles(targets), factors, prior).log_loss <= popularity + 1e-5


def test_the_kernel_and_numpy_find_the_same_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    users, targets, items = drawn(0.7)
    prior = np.log1p(np.random.default_rng(1).integers(1, 900, len(items)))
    native = fit_scale(
        users, singles(targets), items + 100, prior
    )  # what is alike in all products takes no digits away
    monkeypatch.setattr(temperature, "kernel", lambda: None)
    numpy = fit_scale(users, singles(targets), items + 100, prior)
    assert native.log_loss == pytest.approx(numpy.log_loss, rel=1e-12)
    assert native.scale.temperature == pytest.approx(numpy.scale.temperature, rel=1e-5)
    assert native.scale.popularity == pytest.approx(numpy.scale.popularity, abs=1e-5)


@pytest.mark.parametrize("used", [kernel, lambda: None])
def test_what_was_held_out_of_a_user_counts_as_one_however_much_it_is(
    used: Callable[[], Kernel | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temperature, "kernel", used)
    users, targets, items = drawn(0.7, users=300)
    prior = np.log1p(np.random.default_rng(1).integers(1, 900, len(items)))
    others = np.random.default_rng(2).integers(0, len(items), 200)
    rows = Ragged.grouped(np.append(np.arange(300), np.arange(200)), np.append(targets, others).astype(np.int32), 300)
    found = fit_scale(users, rows, items, prior)
    # the same with each user twice, those with one item with it in both
    twice = np.append(targets, np.append(others, targets[200:]))
    expected = fit_scale(np.concatenate([users, users]), singles(twice), items, prior)
    assert found.log_loss == pytest.approx(expected.log_loss, rel=1e-12)
    assert found.scale.temperature == pytest.approx(expected.scale.temperature, rel=1e-5)
    assert found.scale.popularity == pytest.approx(expected.scale.popularity, abs=1e-5)
