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
from personalize_spark.training.cooccurrence import GAP, UNIT, Closeness, Cooccurrences
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.threads import all_cores

_MOST_INTERACTIONS = 2_000_000
"""As many are counted here: up to 64 pairs of items for each."""
_ROWS = 256
"""Items whose lists are sorted together."""
_PLACES = 1 << 13
"""Places whose neighbours a thread looks at together: some 100 MiB."""


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

    It takes some 36 bytes for each pair of items that somebody met at most 64 places apart, and keeps 24: 5 GB at most where `counts_here`.
    """
    from scipy.sparse import vstack

    places, count = _Places.of(*pairs.known_in_order()), pairs.items.num_rows
    met = Ragged.grouped(places.items, np.arange(len(places.items)), count)
    cuts = np.searchsorted(met.indptr, np.arange(0, len(places.items), _PLACES))
    blocks = (met.part(slice(*each)) for each in pairwise(np.unique([*cuts, count]).tolist()))
    with all_cores() as pool:
        forward = vstack([*pool.map(partial(places.followed, half_life, count), blocks)], "csr")
    return Followed(forward, forward.T.tocsr())


@dataclass(frozen=True)
class _Places:
    """The n items of all users, each user's in the order in which they were met.

    Attributes:
        items: int32 (n,).
        newest: int64 (n,), when.
        first: int64 (n,), the first place that counts beside each: what was met at once with it, at most 64 places before it.
        stop: int64 (n,), the end of those that do: what the same user met later, at most 64 places after it.
    """

    items: NDArray[np.int32]
    newest: NDArray[np.int64]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]

    @classmethod
    def of(cls, users: NDArray[np.int64], items: NDArray[np.int32], newest: NDArray[np.int64]) -> _Places:
        places = np.arange(len(items))
        later = (np.diff(users, prepend=-1) != 0) | (np.diff(newest, prepend=0) != 0)
        first = np.maximum.accumulate(np.where(later, places, 0))
        stop = np.searchsorted(users, users, "right")
        return cls(items, newest, np.maximum(first, places - GAP), np.minimum(stop, places + GAP + 1))

    def followed(self, half_life: float, count: int, rows: Ragged[np.int64]) -> csr_array:
        """Some rows of f, of so many items, from the places of each."""
        from scipy.sparse import csr_array

        owners, found = rows.row_ids(), csr_array((len(rows), count))
        for start in range(0, len(owners), _PLACES):
            some = slice(start, start + _PLACES)
            ends = np.searchsorted(owners[some], np.arange(len(rows) + 1)).astype(np.int32)
            adding = csr_array((np.ones(ends[-1]), np.arange(ends[-1], dtype=np.int32), ends), (len(rows), ends[-1]))
            found += adding @ self._beside(half_life, count, rows.values[some])
        found.eliminate_zeros()
        found.sort_indices()
        return found

    def _beside(self, half_life: float, count: int, places: NDArray[np.int64]) -> csr_array:
        """Float64 (p, I), whole numbers or halves, in units: what counts beside each of some places, an item perhaps more than once."""
        from scipy.sparse import csr_array

        firsts, lengths = self.first[places], (self.stop - self.first)[places]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        others = np.arange(indptr[-1]) + np.repeat(firsts - indptr[:-1], lengths)
        gaps = np.abs(others - np.repeat(places, lengths))
        at_once = self.newest.take(others) == np.repeat(self.newest[places], lengths)
        decays = np.rint(UNIT * 0.5 ** (np.arange(GAP + 1) / half_life))
        decays[0] = 0.0  # nothing follows itself
        weights = decays.take(gaps) * np.where(at_once, 0.5, 1.0)
        return csr_array((weights, self.items.take(others), indptr), (len(places), count))


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
