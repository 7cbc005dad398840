"""`cooccurrence` in this process, where the interactions fit in its memory.

What followed what is counted once for each half-life: with a backward weight w, ``d = f + w f'``.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training.cooccurrence import UNIT, Closeness, Cooccurrences, gaps
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.threads import all_cores

_MOST_INTERACTIONS = 2_000_000
"""As many are counted here: up to 64 pairs of items for each."""
_TOGETHER = 1 << 14
"""Interactions whose pairs are counted together, of one user at least: some 50 MiB."""
_ROWS = 256
"""Items whose lists are sorted together."""


def counts_here(interactions: int) -> bool:
    """Whether so many are counted in this process, in seconds."""
    return interactions <= _MOST_INTERACTIONS


def followed(pairs: LocalPairs, half_life: float) -> csr_array:
    """The weights f of what is not held out, whole numbers in float64, (I, I): row i has what followed i, in units.

    What came at once counts half each way.
    """
    from scipy.sparse import csr_array

    users, items, newest = pairs.known_in_order()
    count = pairs.items.num_rows
    cuts = np.unique(np.searchsorted(users, users[::_TOGETHER]))  # no user is in two parts
    parts = [slice(*ends) for ends in pairwise([*cuts.tolist(), len(users)])]
    total = csr_array((count, count), dtype=np.float64)
    with all_cores() as pool:
        for part in pool.map(lambda rows: _followed(users[rows], items[rows], newest[rows], half_life, count), parts):
            total = total + part
    return total


def cooccurrences_here(weights: csr_array, users: NDArray[np.int64], closeness: Closeness) -> Cooccurrences:
    """See `cooccurrence.cooccurrences`.

    Args:
        weights: of `followed`, with the half-life of the closeness.
        users: int64 (I,), how many met each item.
        closeness: the constants.
    """
    turned = weights.T.tocsr()
    turned.data *= closeness.backward
    sizes = (weights.sum(axis=1) + turned.sum(axis=1)) / UNIT if closeness.lift else users.astype(np.float64)
    mean = float(sizes[sizes > 0].mean()) if sizes.any() else 1.0
    best = partial(_best, weights, turned, sizes, closeness, mean)
    with all_cores() as pool:
        blocks = list(pool.map(best, (slice(each, each + _ROWS) for each in range(0, len(users), _ROWS))))
    del best, turned  # as large as the weights
    lengths, others, scores = (np.concatenate(each) for each in zip(*blocks, strict=True))
    return Cooccurrences(Ragged.of_lengths(lengths, others), scores)


def _followed(
    users: NDArray[np.int64], items: NDArray[np.int32], newest: NDArray[np.int64], half_life: float, count: int
) -> csr_array:
    """The same of some users, whose rows are in the order in which they met the items."""
    from scipy.sparse import coo_array

    ones, others, weights = [items[:0]], [items[:0]], [np.empty(0)]
    for gap, first in gaps(users):
        one, other, at_once = items[first], items[first + gap], newest[first] == newest[first + gap]
        weight = np.where(at_once, 0.5, 1.0) * np.rint(UNIT * 0.5 ** (gap / half_life))
        ones += one, other[at_once]
        others += other, one[at_once]
        weights += weight, weight[at_once]
    pairs = np.concatenate(ones), np.concatenate(others)
    return coo_array((np.concatenate(weights), pairs), shape=(count, count)).tocsr()


def _best(
    weights: csr_array, turned: csr_array, sizes: NDArray[np.float64], closeness: Closeness, mean: float, rows: slice
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Of some items how many are kept beside each, these, and their s, best first; of equal ones first that of the lower number."""
    both = weights[rows] + turned[rows]
    both.sort_indices()
    both.eliminate_zeros()
    lengths = np.diff(both.indptr).astype(np.int64)
    scores = both.data / UNIT / closeness.divisors(np.repeat(sizes[rows], lengths), sizes[both.indices], mean)
    orders = [
        start + np.argsort(-scores[start:stop], kind="stable")[: closeness.kept]
        for start, stop in pairwise(both.indptr.tolist())
    ]
    best = np.concatenate(orders)
    return np.minimum(lengths, closeness.kept), both.indices[best].astype(np.int32), scores[best].astype(np.float32)
