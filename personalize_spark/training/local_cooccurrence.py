"""`cooccurrence` in this process, where the interactions fit in its memory.

What followed what is counted once for each half-life: with a backward weight w, ``d = f + w f'``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training.best import best_first
from personalize_spark.training.cooccurrence import UNIT, Closeness, Cooccurrences, gaps, parts_of
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.threads import all_cores

_MOST_INTERACTIONS = 2_000_000
"""As many are counted here: up to 64 pairs of items for each."""
_ROWS = 256
"""Items whose lists are sorted together."""


def counts_here(interactions: int) -> bool:
    """Whether so many are counted in this process, in seconds."""
    return interactions <= _MOST_INTERACTIONS


@dataclass(frozen=True)
class Followed:
    """How often items followed each other: sparse float64 (I, I), whole numbers, in units. What came at once counts half each way.

    Attributes:
        forward: row i has what followed i.
        backward: row i has what i followed.
    """

    forward: csr_array
    backward: csr_array


def followed(pairs: LocalPairs, half_life: float) -> Followed:
    """The weights f of what is not held out.

    It takes some 45 bytes for each pair of items that somebody met at most 64 places apart, and keeps 24: 6 GB at most where `counts_here`.
    """
    users, items, newest = pairs.known_in_order()
    sums: list[csr_array] = []
    with all_cores() as pool:
        count = partial(_followed, users, items, newest, half_life, pairs.items.num_rows)
        for part in pool.map(count, parts_of(users)):
            sums.append(part)
            while len(sums) > 1 and sums[-2].nnz < 2 * sums[-1].nnz:  # what is large is seldom added to
                sums[-2:] = [sums[-2] + sums[-1]]
    forward = sum(sums[:-1], sums[-1])
    return Followed(forward, forward.T.tocsr())


def cooccurrences_here(weights: Followed, users: NDArray[np.int64], closeness: Closeness) -> Cooccurrences:
    """See `cooccurrence.cooccurrences`; some 20 bytes for each item that is kept beside another.

    Args:
        weights: of `followed`, with the half-life of the closeness.
        users: int64 (I,), how many met each item.
        closeness: the constants.
    """
    sizes, mean = users.astype(np.float64), 1.0
    if closeness.lift:
        sizes = (weights.forward.sum(axis=1) + closeness.backward * weights.backward.sum(axis=1)) / UNIT
    if sizes.any():
        mean = float(sizes[sizes > 0].mean())
    best = partial(_best, weights, sizes, closeness, mean)
    with all_cores() as pool:
        blocks = list(pool.map(best, (slice(each, each + _ROWS) for each in range(0, len(users), _ROWS))))
    lengths, others, scores = (np.concatenate(each) for each in zip(*blocks, strict=True))
    return Cooccurrences(Ragged.of_lengths(lengths, others), scores)


def _followed(
    users: NDArray[np.int64],
    items: NDArray[np.int32],
    newest: NDArray[np.int64],
    half_life: float,
    count: int,
    part: slice,
) -> csr_array:
    """The same of the items in some places with later ones; each user's are in the order in which they were met."""
    from scipy.sparse import coo_array

    ones, others, weights = [items[:0]], [items[:0]], [np.empty(0)]
    for gap, first in gaps(users, part):
        # np.take lets other threads go on, which an index does not
        one, other = items.take(first), items.take(first + gap)
        at_once = newest.take(first) == newest.take(first + gap)
        weight = np.where(at_once, 0.5, 1.0) * np.rint(UNIT * 0.5 ** (gap / half_life))
        ones += one, other[at_once]
        others += other, one[at_once]
        weights += weight, weight[at_once]
    pairs = np.concatenate(ones), np.concatenate(others)
    return coo_array((np.concatenate(weights), pairs), shape=(count, count)).tocsr()


def _best(
    weights: Followed, sizes: NDArray[np.float64], closeness: Closeness, mean: float, rows: slice
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Of some items how many are kept beside each, these, and their s, best first; of equal ones first that of the lower number."""
    both = weights.forward[rows] + closeness.backward * weights.backward[rows]
    both.sort_indices()
    both.eliminate_zeros()
    lengths = np.diff(both.indptr).astype(np.int64)
    scores = both.data / UNIT / closeness.divisors(np.repeat(sizes[rows], lengths), sizes.take(both.indices), mean)
    orders = [start + best_first(scores[start:stop], closeness.kept) for start, stop in pairwise(both.indptr.tolist())]
    best = np.concatenate(orders)
    return (
        np.minimum(lengths, closeness.kept),
        both.indices.take(best).astype(np.int32),
        scores.take(best).astype(np.float32),
    )
