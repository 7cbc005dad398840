"""Exploration: new items get a part of the probability, which item how much differs from user to user.

Let Z_u be the normaliser of a user, and C the items in scope: younger than the cut-off. The exponential of an item e of C
becomes

    exp(t w_u . w_e) + weight Z_u s_u (PLACES q_e / x_ue)^(1/4),     q_e = h_e / (1 + sum_C h_c),     h_e = 1 / (1 + n_e)

where s_u is the score at place 25 of the items that are not in scope and, where the model knows a user by the newest items, not
among these, before any filter: this s_u is lower, and the weight counts by its root; n_e is how often e was met: its
interactions, and the impressions that it was in and not chosen from; and x_ue is uniform in (0, 1], drawn from a hash of user,
item and seed; an item that the model has not learned has the exponential 0 before. So weight 0 changes nothing, the order of
the other items never changes, and their scores shrink by one factor a user. An item gets more than s_u with the probability
``PLACES weight^4 q_e``, by the root ``PLACES weight^2 q_e``: the new items of a list of 25 are few however many are in scope, and fewer if each is met often. The
power keeps the tail short, as a user's best scores must not be passed. docs/decisions/0007-models.md has the measurements.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.products import paired_products
from personalize_spark.scoring.selection import Selection
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import Items, products_of
from personalize_spark.scoring.users import UserRows

PLACES = 5.0
"""New items above place 25, at most and in the mean, at weight 1."""
PLACE = 25
"""Where the score is that new items are measured with."""
MAX_ITEMS = 1_000
"""Items in scope, at most: those that were met least, then the newest, then by id."""
_CELLS = 1 << 18
_SLACK = 1e-9
"""Relative, of a score by BLAS: d 2^-52 t |w_u| |w_e| stays far below it."""
_GOLDEN, _ONE, _TWO = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@dataclass(frozen=True)
class Cold:
    """The items in scope.

    Attributes:
        rows: int64 (E,), rows of the model's items, ascending; those that the model has not learned come behind its matrix.
        exposures: int64 (E,), interactions and impressions.
        keys: uint64 (E,), a hash of each id.
        weight: 0.0 to 1.0.
        seed: of the hash.
    """

    rows: NDArray[np.int64]
    exposures: NDArray[np.int64]
    keys: NDArray[np.uint64]
    weight: float
    seed: int

    def bonuses(self, users: NDArray[np.uint64], marks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Float64 (U, E): what is added to the exponentials, in units of the user's normaliser.

        Args:
            users: uint64 (U,), a hash of each user's id.
            marks: float64 (U,), s_u, see above.
        """
        drawn = _mixed(_mixed(users + np.uint64(self.seed))[:, None] ^ self.keys) >> np.uint64(11)
        little = 1.0 / (1.0 + self.exposures)
        chances = 2.0**53 / (drawn + np.uint64(1)).astype(np.float64) * (PLACES * little / (1.0 + little.sum()))
        # two square roots, which every machine rounds alike
        bonuses: NDArray[np.float64] = np.sqrt(np.sqrt(chances)) * (self.weight * marks)[:, None]
        return bonuses


@dataclass(frozen=True)
class Audience:
    """Users that explore.

    Attributes:
        keys: uint64 (U,), a hash of each id.
        users: all of them are known.
        marks: float64 (U,), s_u, see above.
        curve: how products become exponents.
    """

    keys: NDArray[np.uint64]
    users: UserRows
    marks: NDArray[np.float64]
    curve: Curve

    def take(self, rows: NDArray[np.int64]) -> Audience:
        """Some of them."""
        return Audience(self.keys[rows], self.users.take(rows), self.marks[rows], self.curve)


@dataclass(frozen=True)
class Explored:
    """The best items in scope of each user.

    Attributes:
        items: int64 (U, n), rows of the items, best first; -1 past the end.
        scores: float64 (U, n); -inf past the end.
        masses: float64 (U,), what all items in scope got, in units of the user's normaliser.
    """

    items: NDArray[np.int64]
    scores: NDArray[np.float64]
    masses: NDArray[np.float64]


def hashes(ids: Sequence[str]) -> NDArray[np.uint64]:
    """uint64 (n,): a hash of each id."""
    return _mixed(np.fromiter((zlib.crc32(each.encode()) for each in ids), np.uint64, len(ids)))


def explored(audience: Audience, matrix: Items, cold: Cold, selection: Selection, n: int) -> Explored:
    """The best n items in scope of each user.

    Args:
        audience: the users.
        matrix: the items.
        cold: the items in scope.
        selection: what each user may get.
        n: length of the lists.
    """
    users, count = len(audience.keys), len(cold.rows)
    items, scores, masses = np.full((users, n), -1, np.int64), np.full((users, n), -np.inf), np.empty(users)
    step = max(1, _CELLS // max(count, 1))
    for start in range(0, users, step):
        some = np.arange(start, min(start + step, users))
        part = audience.take(some)
        bonuses = cold.bonuses(part.keys, part.marks)
        masses[some] = bonuses.sum(axis=1)
        found = _scores(part, matrix, cold, bonuses, _allowed(selection.take(some), cold, len(some)), n)
        order = np.argsort(-found, axis=1, kind="stable")[:, :n]
        best = np.take_along_axis(found, order, axis=1)
        items[some, : order.shape[1]] = np.where(best > -np.inf, cold.rows[order], -1)
        scores[some, : order.shape[1]] = best
    return Explored(items, scores / (1 + masses)[:, None], masses)


def _allowed(selection: Selection, cold: Cold, users: int) -> NDArray[np.bool_]:
    """Bool (U, E): which of the items in scope each user may get."""
    lines, items = np.repeat(np.arange(users), len(cold.rows)), np.tile(cold.rows, users)
    return selection.allows(lines, items).reshape(users, len(cold.rows))


def _scores(
    audience: Audience,
    matrix: Items,
    cold: Cold,
    bonuses: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    n: int,
) -> NDArray[np.float64]:
    """Float64 (U, E): the scores, in units of the user's normaliser, exact where one can be among the best n; -inf where an item must not be.

    A product by BLAS differs from the exact one in its last bits, and not in every block alike: what is near the n-th best
    score or above it is multiplied again.
    """
    learned, scores = np.flatnonzero(cold.rows < len(matrix)), bonuses.copy()
    if isinstance(matrix, SparseItems):
        users, items = np.divmod(np.arange(len(scores) * len(learned)), max(1, len(learned)))
        exact = products_of(audience.users.vectors, users, matrix, cold.rows[learned][items])
        scores[users, learned[items]] += _exponentials(audience, exact, users)
        scores[~allowed] = -np.inf
        return scores
    factors = matrix.factors[cold.rows[learned]]
    products = audience.users.vectors.astype(np.float64) @ factors.T.astype(np.float64)
    scores[:, learned] += _exponentials(audience, products, np.arange(len(products))[:, None])
    scores[~allowed] = -np.inf
    place = max(0, scores.shape[1] - n)
    cut = np.partition(scores, place, axis=1)[:, place] * (1 - _SLACK) if scores.size else np.zeros(len(scores))
    users, items = np.nonzero((scores[:, learned] >= cut[:, None]) & allowed[:, learned])
    exact = paired_products(audience.users.vectors, users, factors, items)
    scores[users, learned[items]] = bonuses[users, learned[items]] + _exponentials(audience, exact, users)
    return scores


def _exponentials(audience: Audience, products: NDArray[np.float64], users: NDArray[np.int64]) -> NDArray[np.float64]:
    """``exp(e(w_u . w_e)) / Z_u`` of products of these users."""
    result: NDArray[np.float64] = np.exp(audience.curve.exponents(products) - audience.users.log_normalisers[users])
    return result


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood, 2014): close numbers become independent ones."""
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * _ONE
    values = (values ^ (values >> np.uint64(27))) * _TWO
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
