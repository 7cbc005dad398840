"""Generated interactions of three kinds, as large as a test can be and as sparse as published sets of their kind.

In each, items lie in groups, within which some are popular. A user likes some groups. Of the next item of a user it is drawn whether it

    follows     it is one of at most five items that go with the item before, five draws by popularity from its group, which may hit itself
    is broad    it is any item, by popularity
    or else     it is of a group that the user likes; with `stay` of the group before

and what the user has met already does not count. What differs is which of these are how likely, and how many items a user has (log-normal):

    cosmetics   8.9 items a user in the mean and 5 at least, as in Amazon's reviews of Beauty (5-core); visits in which one thing goes with another
    music       50 items a user, as in HetRec's Last.fm; many groups liked, and not much order: the next item is of the same one with 0.3
    businesses  10 items a user and 5 at least, as in Yelp's reviews (5-core); what is liked lies in the user's own city, in no order
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SUCCESSORS = 5


@dataclass(frozen=True)
class Kind:
    """What a set is like; see the module."""

    users: int
    mean: float
    least: int
    groups: int
    liked: int
    popularity: float
    follows: float
    broad: float
    stay: float
    spread: float = 1.0
    cities: int = 0
    items: int = 5_000


KINDS: Mapping[str, Kind] = {
    "cosmetics": Kind(9_000, 8.9, 5, 250, 3, 0.8, follows=0.25, broad=0.15, stay=0.5),
    "music": Kind(1_500, 50, 10, 120, 8, 0.9, follows=0.0, broad=0.25, stay=0.3, spread=0.8),
    "businesses": Kind(9_000, 10, 5, 400, 8, 0.7, follows=0.0, broad=0.05, stay=0.0, cities=30),
}


def generated(kind: Kind, seed: int) -> list[tuple[int, int, int]]:
    """(user, item, place in the user's order)."""
    chance = np.random.default_rng(seed)
    shelves = _Shelves.of(kind, chance)
    lengths = np.exp(chance.normal(0, kind.spread, kind.users))
    wanted = np.maximum(kind.least, np.rint(kind.least + lengths / lengths.mean() * (kind.mean - kind.least)))
    return [
        (user, item, place)
        for user, length in enumerate(wanted.astype(int).tolist())
        for place, item in enumerate(_history(kind, shelves, length, chance))
    ]


@dataclass(frozen=True)
class _Shelves:
    """Items: the members of each group and their shares of it, each group's share of all, its city, all shares added up, and what goes with what."""

    members: list[NDArray[np.int64]]
    shares: list[NDArray[np.float64]]
    of_groups: NDArray[np.float64]
    city: NDArray[np.int64]
    total: NDArray[np.float64]
    successors: NDArray[np.int64]

    @classmethod
    def of(cls, kind: Kind, chance: np.random.Generator) -> _Shelves:
        popular = 1 / np.arange(1, kind.items + 1) ** kind.popularity
        chance.shuffle(popular)
        group = chance.permutation(np.arange(kind.items) % kind.groups)
        members = [np.flatnonzero(group == each) for each in range(kind.groups)]
        sums = np.array([popular[each].sum() for each in members])
        shares = [popular[each] / each_sum for each, each_sum in zip(members, sums, strict=True)]
        successors = np.array(
            [chance.choice(members[each], SUCCESSORS, p=shares[each]) for each in group.tolist()], np.int64
        )
        city = chance.integers(0, max(1, kind.cities), kind.groups)
        return cls(members, shares, sums / sums.sum(), city, np.cumsum(popular / popular.sum()), successors)


def _history(kind: Kind, shelves: _Shelves, length: int, chance: np.random.Generator) -> list[int]:
    near = np.flatnonzero(shelves.city == chance.choice(shelves.city)) if kind.cities else np.arange(kind.groups)
    odds = shelves.of_groups[near] / shelves.of_groups[near].sum()
    liked = chance.choice(near, min(kind.liked, len(near)), p=odds)
    shares = chance.dirichlet(np.full(len(liked), 0.7))
    items: dict[int, None] = {}
    group = liked[0]
    for drawn in chance.random(3 * length).tolist():
        if len(items) == length:
            break
        if items and drawn < kind.follows:
            item = chance.choice(shelves.successors[next(reversed(items))])
        elif drawn < kind.follows + kind.broad:
            item = min(np.searchsorted(shelves.total, chance.random()), kind.items - 1)
        else:
            if not items or chance.random() >= kind.stay:
                group = chance.choice(liked, p=shares)
            item = chance.choice(shelves.members[group], p=shelves.shares[group])
        items.setdefault(int(item))
    return list(items)
