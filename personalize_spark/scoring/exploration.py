"""Exploration: new items take a share of the probability, which item gets how much differs from user to user.

Let Z_u be the normaliser of a user, and C the items in scope: younger than the cut-off. The exponential of an item e of C
becomes

    exp(t w_u . w_e) + g Z_u a_ue / sum_C a_uc,     a_ue = 1 / ((1 + n_e) x_ue),     g = weight / 4

where n_e is how often it was met: its interactions, and the impressions that it was in and not chosen from; and x_ue is uniform in (0, 1], drawn from a hash of user, item and seed; an item that the model
has not learned has the exponential 0 before. The new normaliser is ``(1 + g) Z_u``. So weight 0 changes nothing, the order of
the other items never changes, their scores shrink by one factor, and what items in scope hold grows with the weight.
That is what two runs of the service show whose outputs are published; there, cold items held 6.5 % on average at the default
weight 0.3: g = 0.23 times the weight. The tail of 1 / x is heavy: few items get most of it, and they reach the lists.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.products import paired_products
from personalize_spark.scoring.selection import Selection
from personalize_spark.scoring.users import UserRows

MASS_PER_WEIGHT = 0.25
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
        mass: g, see above.
        seed: of the hash.
    """

    rows: NDArray[np.int64]
    exposures: NDArray[np.int64]
    keys: NDArray[np.uint64]
    mass: float
    seed: int

    def bonuses(self, users: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Float64 (U, E): ``g a_ue / sum_C a_uc``, in units of the user's normaliser.

        Args:
            users: uint64 (U,), a hash of each user's id.
        """
        drawn = _mixed(_mixed(users + np.uint64(self.seed))[:, None] ^ self.keys) >> np.uint64(11)
        appeal = 2.0**53 / ((drawn + np.uint64(1)).astype(np.float64) * (1.0 + self.exposures))
        bonuses: NDArray[np.float64] = appeal * (self.mass / appeal.sum(axis=1))[:, None]
        return bonuses


@dataclass(frozen=True)
class Audience:
    """Users that explore: `keys` uint64 (U,), a hash of each id; all `users` are known; temperature t > 0."""

    keys: NDArray[np.uint64]
    users: UserRows
    temperature: float

    def take(self, rows: NDArray[np.int64]) -> Audience:
        """Some of them."""
        return Audience(self.keys[rows], self.users.take(rows), self.temperature)


def hashes(ids: Sequence[str]) -> NDArray[np.uint64]:
    """uint64 (n,): a hash of each id."""
    return _mixed(np.fromiter((zlib.crc32(each.encode()) for each in ids), np.uint64, len(ids)))


def explored(
    audience: Audience, matrix: ItemMatrix, cold: Cold, selection: Selection, n: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best n items in scope of each user: (rows of the items, scores), each (U, n), best first; -1 and -inf past the end.

    Args:
        audience: the users.
        matrix: the item factors.
        cold: the items in scope.
        selection: what each user may get.
        n: length of the lists.
    """
    users, count = len(audience.keys), len(cold.rows)
    items, scores = np.full((users, n), -1, np.int64), np.full((users, n), -np.inf)
    step = max(1, _CELLS // max(count, 1))
    for start in range(0, users, step):
        some = np.arange(start, min(start + step, users))
        found = _scores(audience.take(some), matrix, cold, _allowed(selection.take(some), cold, len(some)), n)
        order = np.argsort(-found, axis=1, kind="stable")[:, :n]
        best = np.take_along_axis(found, order, axis=1)
        items[some, : order.shape[1]] = np.where(best > -np.inf, cold.rows[order], -1)
        scores[some, : order.shape[1]] = best
    return items, scores


def _allowed(selection: Selection, cold: Cold, users: int) -> NDArray[np.bool_]:
    """Bool (U, E): which of the items in scope each user may get."""
    lines, items = np.repeat(np.arange(users), len(cold.rows)), np.tile(cold.rows, users)
    return selection.allows(lines, items).reshape(users, len(cold.rows))


def _scores(
    audience: Audience, matrix: ItemMatrix, cold: Cold, allowed: NDArray[np.bool_], n: int
) -> NDArray[np.float64]:
    """Float64 (U, E): the scores, exact where one can be among the best n; -inf where an item must not be.

    A product by BLAS differs from the exact one in its last bits, and not in every block alike: what is near the n-th best
    score or above it is multiplied again.
    """
    bonuses = cold.bonuses(audience.keys)
    learned = np.flatnonzero(cold.rows < len(matrix.factors))
    factors = matrix.factors[cold.rows[learned]]
    products = audience.users.vectors.astype(np.float64) @ factors.T.astype(np.float64)
    scores = bonuses.copy()
    scores[:, learned] += _exponentials(audience, products, np.arange(len(products))[:, None])
    scores[~allowed] = -np.inf
    place = max(0, scores.shape[1] - n)
    cut = np.partition(scores, place, axis=1)[:, place] * (1 - _SLACK) if scores.size else np.zeros(len(scores))
    users, items = np.nonzero((scores[:, learned] >= cut[:, None]) & allowed[:, learned])
    exact = paired_products(audience.users.vectors, users, factors, items)
    scores[users, learned[items]] = bonuses[users, learned[items]] + _exponentials(audience, exact, users)
    return scores / (1 + cold.mass)


def _exponentials(audience: Audience, products: NDArray[np.float64], users: NDArray[np.int64]) -> NDArray[np.float64]:
    """``exp(t w_u . w_e) / Z_u`` of products of these users."""
    result: NDArray[np.float64] = np.exp(products * audience.temperature - audience.users.log_normalisers[users])
    return result


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood, 2014): close numbers become independent ones."""
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * _ONE
    values = (values ^ (values >> np.uint64(27))) * _TWO
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
