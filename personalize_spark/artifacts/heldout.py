"""What a model is measured with: users, and what they came to next that the model has not learned.

heldout.vectors.npy                                        float32 (H, d): the users, learned without their targets
heldout.targets.indptr.npy  heldout.targets.items.npy      what was held out of each user's items
heldout.seen.indptr.npy  heldout.seen.items.npy            the users' other items
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.artifacts.artifact import Artifact, Entry, write_column
from personalize_spark.scoring.model import Model, Users
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.storage.store import Store

_VECTORS = "heldout.vectors"


@dataclass(frozen=True)
class HeldOut:
    """H users to measure a model with.

    Attributes:
        vectors: float32 (H, d).
        targets: by user, the items to find; at least one.
        seen: by user, the items that are not recommended.
    """

    vectors: NDArray[np.float32]
    targets: Ragged
    seen: Ragged


def write_held_out(store: Store, held_out: HeldOut) -> list[Entry]:
    """Write the columns of what was held out."""
    columns: dict[str, NDArray[Any]] = {_VECTORS: held_out.vectors}
    for name, lists in (("targets", held_out.targets), ("seen", held_out.seen)):
        columns |= {f"heldout.{name}.indptr": lists.indptr, f"heldout.{name}.items": lists.items}
    return [write_column(store, name, column) for name, column in columns.items()]


def read_held_out(artifact: Artifact) -> HeldOut | None:
    """Map what a training held out; `None` where there is nothing."""
    entry = artifact.entries.get(f"{_VECTORS}.npy")
    if entry is None or not entry.rows:
        return None
    targets, seen = (
        Ragged(artifact.column(f"heldout.{name}.indptr"), artifact.column(f"heldout.{name}.items"))
        for name in ("targets", "seen")
    )
    return HeldOut(artifact.column(_VECTORS), targets, seen)


def look_up(model: Model, users: Users, interactions: Sequence[tuple[str, str]]) -> HeldOut:
    """The users of interactions that came after a training, with these as targets; what they saw before is not known.

    Args:
        model: knows the items.
        users: the user side of the model.
        interactions: (user id, item id); those of unknown users or items are left out.

    Returns:
        The users that are left, which may be none.
    """
    places = {name: place for place, name in enumerate(dict.fromkeys(user for user, _ in interactions))}
    rows = users.lookup([name.encode() for name in places])
    lines = np.array([places[user] for user, _ in interactions], np.int64)
    items = model.rows_of([item for _, item in interactions])
    known = rows.known[lines] & (items >= 0)
    targets = Ragged.of(lines[known], items[known], len(places))
    left = np.flatnonzero(np.diff(targets.indptr))
    nothing = Ragged(np.zeros(len(left) + 1, np.int64), np.empty(0, np.int32))
    return HeldOut(rows.vectors[left], targets.of_lines(left), nothing)
