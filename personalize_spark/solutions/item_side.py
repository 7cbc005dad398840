"""Factors become the item side of a model: what they were learned with does not matter any more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import ItemMatrix, Items
from personalize_spark.solutions.write_users import inverse
from personalize_spark.training.factors import Factors, Leads
from personalize_spark.training.temperature import Scale

_SAMPLE = 4096
"""Vectors that `ItemMatrix` learns its bounds from."""


def in_order(factors: Factors) -> tuple[Items | None, NDArray[np.int64]]:
    """The matrix, if there is one, and int64 (I,): the item of each row."""
    counts = factors.counts()
    popular = np.argsort(-counts, kind="stable")
    if factors.leads is not None:
        return _sparse(factors.leads, factors.prior(), popular), popular
    if factors.factors is None:
        return None, popular
    wide, sample = factors.factors, factors.sample
    if sample is None:
        sample = (wide if factors.queries is None else factors.queries)[popular[:_SAMPLE]]
    if factors.popular:
        prior = factors.prior()
        wide = np.column_stack([wide, prior / prior.max()]).astype(np.float32)
        # what the users' vectors end with is not known yet; an equal share of the length is near it
        last = np.sqrt(np.mean(sample**2)) if sample.size else 1.0
        sample = np.column_stack([sample, np.full(len(sample), last, np.float32)])
    return ItemMatrix.sort(wide, np.arange(len(wide), dtype=np.int32), sample)  # an item's number is its rank


def _sparse(leads: Leads, prior: NDArray[np.float64], order: NDArray[np.int64]) -> SparseItems:
    """The matrix whose rows are the items in this order."""
    positions = leads.items.positions(order)
    rows = positions.with_values(inverse(order).take(leads.items.values.take(positions.values)))
    shares = (prior[order] / max(prior.max(), 1.0)).astype(np.float32)
    return SparseItems(rows, leads.weights.take(positions.values), leads.decay, shares, order.astype(np.int32))


def last_of(scale: Scale, prior: NDArray[np.float64]) -> float:
    """What users' vectors end with, and sparse items have as their share, for popularity to have its share under a scale."""
    return scale.popularity * float(prior.max()) / scale.temperature


def own_factors(matrix: Items, *, popular: bool) -> NDArray[np.float32]:
    """The factors without the items' popularity; sparse items have none."""
    if isinstance(matrix, SparseItems):
        return np.zeros((len(matrix), 0), np.float32)
    return matrix.factors[:, :-1] if popular else matrix.factors
