"""Exact top N of many users over one item matrix, without ever holding a users x items matrix.

A float32 matrix product *selects*, tile by tile (`search`); the few items that can still be among the best are multiplied
again in float64 in a fixed order (`products`), and only that second product decides the order, the ties and every printed
digit. Items are sorted by norm, so a user is done at the first tile whose bound is below the user's N-th best. That no item
is lost is proved in `bounds`; why it is done this way, with numbers, is in docs/decisions/0002-exact-top-n.md.

Where the compiled kernel is there, it searches instead (`kernel`): an 8-bit product selects, the same float64 product decides, so the
answers are the same. See docs/decisions/0009-int8-screen.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.candidates import BATCH_USERS, Candidates, Exclusions
from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.kernel import MOST, Kernel, kernel
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.products import paired_products, products
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.search import Search, Workspace
from personalize_spark.scoring.sparse import SparseItems

__all__ = ["ItemMatrix", "Items", "TopN", "paired_products", "products", "products_of", "top_n"]

Items = ItemMatrix | SparseItems
"""The item side of a model."""

_BATCH = 1 << 16
"""Results of the users that go over the tiles together: what they hold fits in a few MB."""
_POSITIONS = 1 << 22
"""Candidates of searches that go over the tiles side by side: 16 MiB of row numbers."""
_SPARSE = 8
"""Less than one of so many items: those that a filter keeps are gathered."""
_GATHERED = 8
"""Items a user, at most, that are gathered and quantised for the kernel: each takes two thirds of a microsecond."""
_MOST_GATHERED = 1 << 16
"""Of these items: 20 MB of rank 64."""


@dataclass(frozen=True)
class TopN:
    """The best items of each user.

    Attributes:
        items: int32 (U, n), row numbers in the `ItemMatrix`, best first; -1 past the end of a shorter list.
        products: float64 (U, n), ``w_u . w_i`` as `products` computes it; -inf past the end.
    """

    items: NDArray[np.int32]
    products: NDArray[np.float64]


def top_n(
    users: NDArray[Any],
    items: Items,
    n: int,
    *,
    included: Masks | None = None,
    excluded: Ragged[np.int32] | None = None,
) -> TopN:
    """The best ``n`` items of every user: by descending product, equal products by ascending rank.

    A user's list depends on nothing but that user's vector and candidates: not on the other users, their order or number.

    Args:
        users: float32 (U, d), finite; over `SparseItems` int32 (U, K).
        items: the item side.
        n: length of the lists, at least 1.
        included: of the U users, which items are candidates. None: all are.
        excluded: of the U users, what each must not get, in rows of ``items``, in any order. None: nothing.

    Returns:
        The lists; shorter ones, where a user has fewer than ``n`` candidates, are filled with -1 and -inf.
    """
    best = TopN(np.full((len(users), n), -1, np.int32), np.full((len(users), n), -np.inf))
    if isinstance(items, SparseItems):
        lists = best.items, best.products
        if (native := kernel()) is None:
            items.search(users, lists, included, excluded)
        else:
            native.sparse_top_n(users, items, lists, included, excluded)
        return best
    workspace = Workspace(users.shape[1])
    runs = _runs(items, included, excluded, len(users))
    if (native := kernel()) is not None and items.screen is not None and n <= MOST:
        runs = _unanswered(runs, native, users, best)
    for batch in _batches(runs, max(1, min(BATCH_USERS, _BATCH // n))):
        searches = [
            Search(users[run.users], run.candidates, n, Exclusions.of(run.excluded, run.candidates), len(batch))
            for run in batch
        ]
        going = searches
        while going:  # side by side, so that a tile's items are still in cache for the next search
            going = [search for search in going if search.step(workspace)]
        for run, search in zip(batch, searches, strict=True):
            rows, places, found, exact = search.settle()
            best.items[run.users.start + rows, places] = found
            best.products[run.users.start + rows, places] = exact
            _list_by_rank(best, users, run)
    return best


def products_of(
    users: NDArray[Any], rows: NDArray[np.int64], items: Items, columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """float64 (M,): the products of listed pairs of a user's row and an item, as `top_n` has them."""
    if isinstance(items, SparseItems):
        native = kernel()
        return (
            items.products(users, rows, columns)
            if native is None
            else native.sparse_products(users, rows, items, columns)
        )
    return paired_products(users, rows, items.factors, columns)


@dataclass(frozen=True)
class _Run:
    """Users that go over the same candidates, and of each what it must not get of them."""

    users: slice
    candidates: Candidates
    excluded: Ragged[np.int32] | None

    def positions_excluded(self) -> Ragged[np.int32] | None:
        """What the users must not get, as positions of the candidates."""
        if self.excluded is None:
            return None
        positions = self.candidates.positions(self.excluded.values)
        return self.excluded.with_values(positions.astype(np.int32)).where(positions >= 0)

    def part(self, start: int, stop: int) -> _Run:
        """Some of the users."""
        inside = slice(start - self.users.start, stop - self.users.start)
        return _Run(slice(start, stop), self.candidates, self.excluded and self.excluded.part(inside))


def _batches(runs: Iterable[_Run], most: int) -> Iterator[list[_Run]]:
    """As many runs at a time as hold at most ``most`` users and `_POSITIONS` candidates."""
    batch: list[_Run] = []
    held = 0
    for run in runs:
        for start in range(run.users.start, run.users.stop, most):
            stop = min(start + most, run.users.stop)
            if batch and (stop - batch[0].users.start > most or held + len(run.candidates) > _POSITIONS):
                yield batch
                batch, held = [], 0
            batch.append(run.part(start, stop))
            held += len(run.candidates)
    if batch:
        yield batch


def _runs(items: ItemMatrix, included: Masks | None, excluded: Ragged[np.int32] | None, users: int) -> Iterator[_Run]:
    if included is None:
        yield _Run(slice(0, users), Candidates.of(items, None), excluded)
        return
    for part, mask, exclusions in included.unions(len(items.factors)):
        parts = [each for each in (excluded and excluded.part(part), exclusions) if each is not None]
        yield _Run(part, Candidates.of(items, mask), reduce(Ragged.union, parts) if parts else None)


def _unanswered(runs: Iterable[_Run], native: Kernel, users: NDArray[np.float32], best: TopN) -> Iterator[_Run]:
    """Let the kernel answer the runs that it is faster for; yields the others."""
    for run in runs:
        asking, candidates = users[run.users], run.candidates
        lists = best.items[run.users], best.products[run.users]
        if 0 < len(candidates) <= min(_GATHERED * len(asking), len(candidates.items) // 2, _MOST_GATHERED):
            native.top_n(asking, candidates.gathered(), lists, None, run.positions_excluded())
            lists[0][:] = np.where(lists[0] < 0, -1, candidates.at(lists[0]))
        elif _SPARSE * len(candidates) >= len(candidates.items):
            native.top_n(asking, candidates.items, lists, candidates.included(), run.excluded)
        else:
            yield run
            continue
        _list_by_rank(best, users, run)


def _list_by_rank(best: TopN, users: NDArray[np.float32], run: _Run) -> None:
    """The lists of a run's users with a zero vector: all items tie, and the search would have to hold them all."""
    zero = np.flatnonzero(~users[run.users].any(axis=1))
    if not len(zero):
        return
    ordered, n = run.candidates.by_rank(), best.items.shape[1]
    for user in zero.tolist():
        excluded = np.empty(0, np.int32) if run.excluded is None else run.excluded.row(user)
        head = ordered[: n + len(excluded)]
        head = head[~np.isin(head, excluded)][:n]
        best.items[run.users.start + user, : len(head)] = head
        best.products[run.users.start + user, : len(head)] = 0.0
