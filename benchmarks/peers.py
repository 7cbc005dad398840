"""What others do: the score of every item for every user, by simple models and by implicit, and the settings that they are tuned over.

`Past` holds who met what, by numbers of users and items. A peer is a function from it and the rows of some users to the scores float (users, items).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix

from benchmarks.factors import RANK
from personalize_spark.training.peers import ease

SEED, ITERATIONS, EPOCHS = 42, 15, 100
MOST_ITEMS = 5_000
"""EASE knows so many items, the most popular ones: it takes a number for each two of them."""
_USERS = 512

Scores = Callable[[NDArray[np.int64]], NDArray[Any]]


@dataclass(frozen=True)
class Past:
    """What is learned from.

    Attributes:
        histories: by user the items, in the order in which they were met.
        items: how many there are.
    """

    histories: list[NDArray[np.int64]]
    items: int

    def matrix(self, half_life: float | None = None) -> csr_matrix:
        """Float32 (users, items): 1 for what a user met, or with a half-life 1 for the newest item and less for older ones."""
        ages = [np.arange(len(each))[::-1] for each in self.histories]
        weights = [np.ones(len(each)) if half_life is None else 0.5 ** (each / half_life) for each in ages]
        rows = np.repeat(np.arange(len(self.histories)), [len(each) for each in self.histories])
        values = np.concatenate(weights).astype(np.float32)
        return csr_matrix((values, (rows, np.concatenate(self.histories))), (len(self.histories), self.items))


def tuned(past: Past) -> Iterator[tuple[str, Mapping[str, float], Scores]]:
    """Each peer under each of its settings: its name, the setting, and its scores."""
    met = past.matrix()
    for each, alpha in product((10.0, 30.0), (0.25, 1.0, 4.0)):
        yield "implicit ALS", {"regularization": each, "alpha": alpha}, _als(met, each, alpha)
    for each, rate in product((0.01, 0.1), (0.01, 0.05)):
        yield "implicit BPR", {"regularization": each, "learning rate": rate}, _bpr(met, each, rate)
    for each, k1 in product((20, 100, 400), (1.2, 0.2)):
        yield "implicit BM25", {"K": each, "K1": k1}, _fitted(met, BM25Recommender(each, K1=k1))
    for each in (20, 100, 400):
        yield "implicit cosine", {"K": each}, _fitted(met, CosineRecommender(each))
    for alpha, beta in product((0.7, 1.0), (0.2, 0.4, 0.6)):
        yield "RP3beta", {"alpha": alpha, "beta": beta}, _rp3beta(met, alpha, beta)
    for ridge in (100.0, 500.0):
        weights = cache(partial(_ease, met, ridge))
        yield "EASE", {"ridge": ridge}, partial(_linear, met, weights)
        yield "EASE, recent items first", {"ridge": ridge}, partial(_linear, past.matrix(5.0), weights)


@dataclass(frozen=True)
class _Chosen:
    """Weights float32 (n, n) between n of the items."""

    chosen: NDArray[np.int64]
    weights: NDArray[np.float32]
    items: int

    def of(self, met: csr_matrix) -> NDArray[np.float32]:
        scores = np.zeros((met.shape[0], self.items), np.float32)
        scores[:, self.chosen] = met[:, self.chosen] @ self.weights
        return scores


def _linear(met: csr_matrix, weights: Callable[[], Any], users: NDArray[np.int64]) -> NDArray[Any]:
    found = weights()
    scores = found.of(met[users]) if isinstance(found, _Chosen) else met[users] @ found
    return np.asarray(scores.todense() if hasattr(scores, "todense") else scores)


def _ease(met: csr_matrix, ridge: float) -> _Chosen:
    popular = np.sort(np.argsort(-np.asarray(met.sum(axis=0)).ravel(), kind="stable")[:MOST_ITEMS])
    weights = ease(csr_array(met)[:, popular], ridge)
    return _Chosen(popular, weights, met.shape[1])


def _als(met: csr_matrix, regularization: float, alpha: float) -> Scores:
    model = AlternatingLeastSquares(
        RANK, regularization=regularization, alpha=alpha, iterations=ITERATIONS, random_state=SEED
    )
    return _by_factors(met, model)


def _bpr(met: csr_matrix, regularization: float, rate: float) -> Scores:
    model = BayesianPersonalizedRanking(
        RANK, learning_rate=rate, regularization=regularization, iterations=EPOCHS, random_state=SEED
    )
    return _by_factors(met, model)


def _by_factors(met: csr_matrix, model: Any) -> Scores:
    model.fit(met, show_progress=False)
    return lambda users: model.user_factors[users] @ model.item_factors.T


def _fitted(met: csr_matrix, model: Any) -> Scores:
    model.fit(met, show_progress=False)
    return partial(_linear, met, lambda: model.similarity)


def _rp3beta(met: csr_matrix, alpha: float, beta: float) -> Scores:
    """Paffenholz and others: the chance to come from a user's items by way of other users, against popularity."""
    counts = np.maximum(np.asarray(met.sum(axis=0)).ravel(), 1)
    lengths = np.maximum(np.asarray(met.sum(axis=1)).ravel(), 1)
    to_items, to_users = csr_array(met.multiply(1 / lengths[:, None])), csr_array(met.multiply(1 / counts)).T.tocsr()
    to_items.data, to_users.data = to_items.data**alpha, to_users.data**alpha

    def scores(users: NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray((csr_array(met)[users] @ to_users @ to_items).toarray() / counts**beta)

    return scores


def lists_of(scores: Scores, past: Past, users: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Int64 (users, n): the best items that each has not met."""
    lists = np.empty((len(users), n), np.int64)
    for start in range(0, len(users), _USERS):
        some = users[start : start + _USERS]
        found = np.array(scores(some), np.float64)
        for row, user in enumerate(some.tolist()):
            found[row, past.histories[user]] = -np.inf
        lists[start : start + len(some)] = np.argsort(-found, axis=1, kind="stable")[:, :n]
    return lists
