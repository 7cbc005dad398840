"""How good a model is: what it says to the users that calibrate its scores, before it has learned what is held out of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from personalize_spark.artifacts.heldout import Asked, HeldOut, renumbered
from personalize_spark.quality.measures import known_shares, measure, rank
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import Items
from personalize_spark.solutions.calibration import Calibration, calibrate_held_out
from personalize_spark.solutions.item_side import in_order, last_of, own_factors
from personalize_spark.solutions.write_users import inverse, with_last
from personalize_spark.spark import collect_arrow
from personalize_spark.training.factors import Factors
from personalize_spark.training.fold_in import Histories
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.peers import peer_lists

Calibrating = tuple[Histories, Ragged[np.int32]]
"""Users by their ids: what is known of them, and what is held out; by numbers of items."""


@dataclass(frozen=True)
class Judged:
    """What was found.

    Attributes:
        calibration: the scale, and the metrics.
        out: what was held out and what the model says, by rows of the items; `None`: nobody has anything to hold out.
        peers: by name, what simple models say to the same users.
    """

    calibration: Calibration
    out: HeldOut | None = None
    peers: dict[str, NDArray[np.int32]] = field(default_factory=dict)


def calibrating(pairs: DataFrame | LocalPairs) -> Calibrating:
    """Those that interactions tell, with the column `held` of `interactions`."""
    histories, held = pairs.calibrating() if isinstance(pairs, LocalPairs) else _calibrating(pairs)
    return histories.where(~held), histories.items.where(held)


def _calibrating(pairs: DataFrame) -> tuple[Histories, NDArray[np.bool_]]:
    names = ("user", "item", "events", "newest", "held")
    rows = pairs.where("held IS NOT NULL").select("user_id", *names)
    table = collect_arrow(rows).sort_by([("user_id", "ascending"), ("item", "ascending")])
    users, items, events, newest, held = (table.column(each).to_numpy() for each in names)
    lengths = np.diff(np.flatnonzero(np.diff(users, prepend=-1)), append=len(users)).astype(np.int64)
    return Histories(Ragged.of_lengths(lengths, items.astype(np.int32)), events.astype(np.float32), newest), held


def asked(factors: Factors, matrix: Items, users: Calibrating) -> Asked:
    """The users, by rows of the items, without the last component that is popularity's."""
    assert factors.users is not None  # noqa: S101  # they have a fold-in
    assert factors.users.fold_in is not None  # noqa: S101
    (histories, targets), rows = users, inverse(matrix.ranks)
    own = own_factors(matrix, popular=factors.popular)
    source = own if factors.queries is None else factors.queries[matrix.ranks]
    seen = histories.items.with_values(rows[histories.items.values])
    vectors = factors.users.fold_in(own).vectors(source, replace(histories, items=seen))
    return Asked(vectors, targets.with_values(rows[targets.values]), seen)


def ending_with(users: Asked, matrix: Items, last: float) -> tuple[Asked, Items]:
    """The same with a share of popularity: each user's last component, or that of the lists, see `item_side.last_of`."""
    if isinstance(matrix, SparseItems):
        return users, replace(matrix, share=last)
    return replace(users, vectors=with_last(users.vectors, last)), matrix


def judge(factors: Factors, matrix: Items) -> Judged:
    """Fit the scale of a model that has not learned what is held out, if it has none yet, and measure the model.

    Args:
        factors: the model; it has users, who are folded in, and popularity.
        matrix: its items.
    """
    assert factors.users is not None  # noqa: S101
    prior, known = factors.prior()[matrix.ranks], factors.known()[matrix.ranks]
    users = asked(factors, matrix, calibrating(factors.users.rows))
    calibration = calibrate_held_out(*ending_with(users, matrix, 0.0), prior, factors.fitted)
    if not len(users.targets):
        return Judged(calibration)
    out = rank(*ending_with(users, matrix, last_of(calibration.scale, prior)), calibration.scale.curve)
    metrics = measure(out, known_shares(known), matrix.ranks).solution_metrics()
    peers = peer_lists(factors.users.rows, inverse(matrix.ranks), out.seen)
    return Judged(replace(calibration, metrics=calibration.metrics | metrics), out, peers)


def judge_twin(twin: Factors, matrix: Items) -> Judged:
    """The same of a model whose twin has not learned what is held out; by rows of the model's own items."""
    its_own, _ = in_order(twin)
    assert its_own is not None  # noqa: S101  # it is of the same kind
    judged, rows = judge(twin, its_own), inverse(matrix.ranks)[its_own.ranks]
    peers = {name: renumbered(lists, rows) for name, lists in judged.peers.items()}
    return replace(judged, out=None if judged.out is None else judged.out.renumbered(rows), peers=peers)
