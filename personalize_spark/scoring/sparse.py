"""Exact top N of many users over a sparse item side: what the user's newest items lead to, and the items' popularity.

    p_ui = sum over k of decay_k s_(h_k, i)  +  share prior_i        h_1 is the user's newest item, h_K the last that counts

The products of two float32 numbers are exact in float64, and the sum goes in the order of k; then comes the share of popularity. So
a result depends on its user alone, and the compiled kernel, where there is one, gives the same bits. An item that none of the
user's items leads to has the second term only: of these the search needs no more than the first n in the order of popularity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.ragged import Ragged

_CELLS = 1 << 20
"""Float64 sums that are held at once, 8 MiB, of one user at least."""
_TERMS = 1 << 18
"""Terms that are added up at once, of one user at least."""


@dataclass(frozen=True)
class SparseItems:
    """The item side, in any order of I rows. A user is a row of int32 (K,): the rows of the newest items, -1 past the end.

    Attributes:
        leads: by item, those that it leads to, none twice.
        weights: float32 (m,), parallel to the values of `leads`, above 0: how much.
        decay: float32 (K,), above 0: what the k-th newest item of a user counts.
        prior: float32 (I,), the popularity of each item, at least 0.
        ranks: int32 (I,), rank of the item's id in ascending id order: the tie break.
        share: of the popularity, at least 0.
    """

    leads: Ragged[np.int32]
    weights: NDArray[np.float32]
    decay: NDArray[np.float32]
    prior: NDArray[np.float32]
    ranks: NDArray[np.int32]
    share: float = 0.0

    def __len__(self) -> int:
        return len(self.ranks)

    @property
    def width(self) -> int:
        """K."""
        return len(self.decay)

    @cached_property
    def offsets(self) -> NDArray[np.float64]:
        """float64 (I,): what popularity adds."""
        return self.prior.astype(np.float64) * self.share

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """int32 (I,): the rows by descending offset, equal ones by ascending rank."""
        order: NDArray[np.int32] = np.lexsort((self.ranks, -self.offsets)).astype(np.int32)
        return order

    def sums(self, users: NDArray[np.int32]) -> Iterator[tuple[slice, Ragged[np.int32], NDArray[np.float64]]]:
        """What the users' items lead to, some users at a time.

        Args:
            users: int32 (U, K).

        Yields:
            Some of the users; by user the items whose sum is above 0, ascending; and the sums, float64 (m,), parallel.
        """
        start, count = 0, len(self)
        lengths = np.where(users >= 0, self.leads.lengths[users], 0) if count else np.zeros(users.shape, np.int64)
        ends = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))])
        while start < len(users):
            enough = int(np.searchsorted(ends, ends[start] + _TERMS, "right")) - 1
            stop = min(max(start + 1, enough), start + max(1, _CELLS // max(1, count)), len(users))
            lines, places = np.nonzero(users[start:stop] >= 0)
            found = self.leads.positions(users[start:stop][lines, places].astype(np.int64))
            # np.take lets other threads go on, which an index does not
            terms = self.weights.take(found.values) * np.repeat(self.decay[places].astype(np.float64), found.lengths)
            cells = np.repeat(lines * count, found.lengths) + self.leads.values.take(found.values)
            # in the order of the terms
            totals = np.bincount(cells, terms, (stop - start) * count).astype(np.float64, copy=False)
            there, firsts = np.flatnonzero(totals), np.arange(stop - start + 1) * count
            indptr = np.searchsorted(there, firsts)
            items = there - np.repeat(firsts[:-1], np.diff(indptr))
            yield slice(start, stop), Ragged(indptr, items.astype(np.int32)), totals.take(there)
            start = stop

    def products(
        self, users: NDArray[np.int32], rows: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Float64 (m,): the products of listed pairs of a user's row and an item, in any order."""
        result = self.offsets[items]
        order = np.argsort(rows, kind="stable")
        asked = rows[order]
        for part, found, sums in self.sums(users):
            own = order[slice(*np.searchsorted(asked, [part.start, part.stop]))]
            keys = np.append(found.row_ids() * len(self) + found.values, -1)
            wanted = (rows[own] - part.start) * len(self) + items[own]
            places = np.searchsorted(keys[:-1], wanted)
            result[own] += np.where(keys[places] == wanted, np.append(sums, 0.0)[places], 0.0)
        return result

    def log_normaliser(self, users: NDArray[np.int32], curve: Curve) -> NDArray[np.float64]:
        """float64 (U,): ``log sum_j exp(e(p_uj))``, j over all items; -inf where there are none."""
        result = np.full(len(users), -np.inf)
        if not len(self):
            return result
        base = curve.exponents(self.offsets)
        for part, found, sums in self.sums(users):
            own, rows, filled = base[found.values], found.row_ids(), np.flatnonzero(found.lengths)
            full, peaks = curve.exponents(sums + self.offsets[found.values]), np.full(len(found), base.max())
            peaks[filled] = np.maximum(peaks[filled], np.maximum.reduceat(full, found.indptr[filled]))
            more = np.exp(full - peaks[rows]) - np.exp(own - peaks[rows])
            rest = np.exp(base - base.max()).sum() * np.exp(base.max() - peaks)
            result[part] = peaks + np.log(rest + np.bincount(rows, more, len(found)))
        return result

    def search(
        self,
        users: NDArray[np.int32],
        lists: tuple[NDArray[np.int32], NDArray[np.float64]],
        included: Masks | None,
        excluded: Ragged[np.int32] | None,
    ) -> None:
        """Fill lists, int32 (U, n) of -1 and float64 (U, n) of -inf, with the best items of each user; see `topn.top_n`."""
        allowed, number = np.ones(len(self), np.bool_), -1
        for part, found, sums in self.sums(users):
            for user in range(part.start, part.stop):
                if included is not None and number != included.of[user]:
                    number = int(included.of[user])
                    allowed = included.mask(number, len(self))
                of_user = slice(*found.indptr[user - part.start : user - part.start + 2])
                banned = None if excluded is None else excluded.row(user)
                best = self._best(found.values[of_user], sums[of_user], allowed, banned, lists[0].shape[1])
                lists[0][user, : len(best[0])], lists[1][user, : len(best[0])] = best

    def _best(
        self,
        items: NDArray[np.int32],
        sums: NDArray[np.float64],
        allowed: NDArray[np.bool_],
        banned: NDArray[np.int32] | None,
        n: int,
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The best n at most of one user, and their products."""
        free = allowed.copy()
        if banned is not None:
            free[banned[banned < len(free)]] = False
        own = free[items]
        free[items] = False
        others = self.order[free[self.order]][:n]
        rows = np.concatenate([items[own], others])
        products = np.concatenate([sums[own] + self.offsets[items[own]], self.offsets[others]])
        if len(rows) > n:
            good = np.flatnonzero(products >= np.partition(products, len(rows) - n)[len(rows) - n])
            rows, products = rows[good], products[good]
        order = np.lexsort((self.ranks[rows], -products))[:n]
        return rows[order], products[order]
