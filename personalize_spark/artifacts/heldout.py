"""What a model is measured by: users, what they came to next, and what was recommended to them before that was learned.

heldout.targets.indptr.npy  heldout.targets.values.npy     what was held out of each user's items
heldout.seen.indptr.npy  heldout.seen.values.npy           the users' other items
heldout.lists.npy                                          int32 (H, 25): what was recommended, -1 past the end
heldout.chances.npy                                        float64 (H, 25): the chance that the scores give each place
heldout.losses.npy                                         float64 (m,): -log of the score of each target, in nats
heldout.seenshares.npy                                     float64 (H,): the part of the scores that a user's other items have
heldout.known.npy                                          int64 (I,): the interactions of each item that are not held out
heldout.peers.NAME.npy                                     int32 (H, 25): what a simple model would recommend, -1 past the end
itempeers.NAME.npy                                         int32 (I, 25): the same of a model of related items, for each item
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.artifacts.artifact import Artifact, Entry, write_column, write_ragged
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.users import Users
from personalize_spark.storage.store import Store

_RANKING = ("lists", "chances", "losses", "seenshares")
_KNOWN = "heldout.known"
_PEERS, _ITEM_PEERS = "heldout.peers.", "itempeers."
COSINE, EASE = "cosine", "ease"
"""Names of peers."""


@dataclass(frozen=True)
class Asked:
    """H users to measure a model with.

    Attributes:
        vectors: float32 (H, d), or int32 (H, K) for `SparseItems`.
        targets: by user, the items to find; at least one.
        seen: by user, the items that are not recommended.
    """

    vectors: NDArray[Any]
    targets: Ragged[np.int32]
    seen: Ragged[np.int32]


@dataclass(frozen=True)
class Ranking:
    """What a model says to H users.

    Attributes:
        lists: int32 (H, 25), the rows of the recommended items, -1 past the end.
        chances: float64 (H, 25), the chance that the scores give each, among the items that the user has not seen.
        losses: float64 (m,), -log of the score of each target, in nats.
        seen_shares: float64 (H,), the sum of the scores of what each user has seen.
    """

    lists: NDArray[np.int32]
    chances: NDArray[np.float64]
    losses: NDArray[np.float64]
    seen_shares: NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """What was held out of H users, and what a model that has not learned it says to them.

    Attributes:
        targets: by user, the items to find; at least one.
        seen: by user, the items that are not recommended.
        ranking: of the model.
    """

    targets: Ragged[np.int32]
    seen: Ragged[np.int32]
    ranking: Ranking

    def renumbered(self, rows: NDArray[np.int32]) -> HeldOut:
        """The same by other rows of the items: int32 (I,), by row the other one."""
        targets, seen = (each.with_values(rows[each.values]) for each in (self.targets, self.seen))
        return HeldOut(targets, seen, replace(self.ranking, lists=renumbered(self.ranking.lists, rows)))


def renumbered(lists: NDArray[np.int32], rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Lists of items, -1 past the end, by other rows of these: int32 (I,), by row the other one."""
    found: NDArray[np.int32] = np.append(rows, np.int32(-1))[lists]
    return found


def write_held_out(store: Store, held_out: HeldOut, known: NDArray[np.int64]) -> list[Entry]:
    """Write the columns of what was held out, and of the interactions that are left of each item, int64 (I,)."""
    ranking = held_out.ranking
    columns: Sequence[NDArray[Any]] = (ranking.lists, ranking.chances, ranking.losses, ranking.seen_shares)
    return [
        write_column(store, _KNOWN, known),
        *write_ragged(store, "heldout.targets", held_out.targets),
        *write_ragged(store, "heldout.seen", held_out.seen),
        *(write_column(store, f"heldout.{name}", column) for name, column in zip(_RANKING, columns, strict=True)),
    ]


def read_held_out(artifact: Artifact) -> HeldOut | None:
    """Map what a training held out; `None` where there is nothing."""
    if f"heldout.{_RANKING[0]}.npy" not in artifact.entries:
        return None
    ranking = Ranking(*(artifact.column(f"heldout.{name}") for name in _RANKING))
    return HeldOut(artifact.ragged("heldout.targets"), artifact.ragged("heldout.seen"), ranking)


def read_known(artifact: Artifact) -> NDArray[np.int64]:
    """Map the interactions of each item that are not held out, int64 (I,), of an artifact that has what was."""
    return artifact.column(_KNOWN)


def write_peers(store: Store, lists: Mapping[str, NDArray[np.int32]]) -> list[Entry]:
    """Write the lists of simple models for the held-out users."""
    return [write_column(store, f"{_PEERS}{name}", rows) for name, rows in lists.items()]


def read_peers(artifact: Artifact) -> dict[str, NDArray[np.int32]]:
    """Map what `write_peers` wrote, by name."""
    return _read(artifact, _PEERS)


def write_item_peers(store: Store, lists: Mapping[str, NDArray[np.int32]]) -> list[Entry]:
    """Write the lists of simple models for all items."""
    return [write_column(store, f"{_ITEM_PEERS}{name}", rows) for name, rows in lists.items()]


def read_item_peers(artifact: Artifact) -> dict[str, NDArray[np.int32]]:
    """Map what `write_item_peers` wrote, by name."""
    return _read(artifact, _ITEM_PEERS)


def _read(artifact: Artifact, prefix: str) -> dict[str, NDArray[np.int32]]:
    names = [each for each in (COSINE, EASE) if f"{prefix}{each}.npy" in artifact.entries]
    return {name: artifact.column(f"{prefix}{name}") for name in names}


def look_up(model: Model, users: Users, interactions: Sequence[tuple[str, str]]) -> Asked:
    """The users of interactions that came after a training, with these as targets; what they saw before is not known.

    Args:
        model: knows the items.
        users: the user side of the model.
        interactions: (user id, item id); those of unknown users or items are left out.

    Returns:
        The users that are left, which may be none.
    """
    places = {name: place for place, name in enumerate(dict.fromkeys(user for user, _ in interactions))}
    rows = users.lookup(list(places))
    lines = np.array([places[user] for user, _ in interactions], np.int64)
    items = model.rows_of([item for _, item in interactions])
    known = rows.known[lines] & (items >= 0)
    targets = Ragged.of_pairs(lines[known], items[known], len(places))
    left = np.flatnonzero(targets.lengths)
    nothing = Ragged.of_lengths(np.zeros(len(left), np.int64), np.empty(0, np.int32))
    return Asked(rows.vectors[left], targets.take(left), nothing)
