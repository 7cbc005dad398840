"""Exact top N of many users over one item matrix, without ever holding a users x items matrix.

A float32 matrix product *selects*, tile by tile (`search`); the few items that can still be among the best are multiplied
again in float64 in a fixed order (`products`), and only that second product decides the order, the ties and every printed
digit. Items are sorted by norm, so a user is done at the first tile whose bound is below the user's N-th best. That no item
is lost is proved in `bounds`; why it is done this way, with numbers, is in docs/decisions/0002-exact-top-n.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.candidates import BATCH_USERS, Candidates, Exclusions
from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.products import paired_products, products
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.search import Room, Search

__all__ = ["ItemMatrix", "TopN", "paired_products", "products", "top_n"]

_BATCH = 1 << 16
"""Results of the users that go over the tiles together: what they hold fits in a few MB."""
_POSITIONS = 1 << 22
"""Candidates of searches that go over the tiles side by side: 16 MiB of row numbers."""


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
    users: NDArray[np.float32],
    items: ItemMatrix,
    n: int,
    *,
    keep: Masks | None = None,
    excluded: Ragged | None = None,
) -> TopN:
    """The best ``n`` items of every user: by descending product, equal products by ascending rank.

    A user's list depends on nothing but that user's vector and candidates: not on the other users, their order or number.

    Args:
        users: float32 (U, d), finite.
        items: the item side.
        n: length of the lists, at least 1.
        keep: of the U users, which items are candidates. None: all are.
        excluded: of the U users, what each must not get, in rows of ``items``, in any order. None: nothing.

    Returns:
        The lists; shorter ones, where a user has fewer than ``n`` candidates, are filled with -1 and -inf.
    """
    best = TopN(np.full((len(users), n), -1, np.int32), np.full((len(users), n), -np.inf))
    room = Room(users.shape[1])
    for batch in _batches(items, keep, len(users), max(1, min(BATCH_USERS, _BATCH // n))):
        searches = [
            Search(users[part], candidates, n, Exclusions.of(excluded, part, candidates), len(batch))
            for part, candidates in batch
        ]
        going = searches
        while going:  # side by side, so that a tile's items are still in cache for the next search
            going = [search for search in going if search.step(room)]
        for (part, candidates), search in zip(batch, searches, strict=True):
            rows, places, found, exact = search.settle()
            best.items[part.start + rows, places] = found
            best.products[part.start + rows, places] = exact
            _list_by_rank(best, part.start + np.flatnonzero(~users[part].any(axis=1)), candidates, excluded)
    return best


def _batches(items: ItemMatrix, keep: Masks | None, users: int, most: int) -> Iterator[list[tuple[slice, Candidates]]]:
    """Users in runs of equal candidates, as many runs at a time as hold at most ``most`` users and `_POSITIONS` candidates."""
    batch: list[tuple[slice, Candidates]] = []
    held = 0
    for run, candidates in _runs(items, keep, users):
        for start in range(run.start, run.stop, most):
            part = slice(start, min(start + most, run.stop))
            if batch and (part.stop - batch[0][0].start > most or held + len(candidates) > _POSITIONS):
                yield batch
                batch, held = [], 0
            batch.append((part, candidates))
            held += len(candidates)
    if batch:
        yield batch


def _runs(items: ItemMatrix, keep: Masks | None, users: int) -> Iterator[tuple[slice, Candidates]]:
    if keep is None:
        yield slice(0, users), Candidates.of(items, None)
        return
    starts = np.flatnonzero(np.diff(keep.of, prepend=-1)).tolist()
    for start, stop in pairwise([*starts, users]):
        yield slice(start, stop), Candidates.of(items, keep.mask(int(keep.of[start]), len(items.factors)))


def _list_by_rank(best: TopN, users: NDArray[np.int64], candidates: Candidates, excluded: Ragged | None) -> None:
    """The lists of users with a zero vector: all items tie, and the search would have to hold them all."""
    if not len(users):
        return
    ordered, n = candidates.by_rank(), best.items.shape[1]
    for user in users:
        gone = np.empty(0, np.int32) if excluded is None else excluded.line(int(user))
        head = ordered[: n + len(gone)]
        head = head[~np.isin(head, gone)][:n]
        best.items[user, : len(head)] = head
        best.products[user, : len(head)] = 0.0
