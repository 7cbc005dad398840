"""The end of every training of users: scores become probabilities, and all users are written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from personalize_spark.artifacts.artifact import Entry
from personalize_spark.artifacts.heldout import HeldOut, write_held_out
from personalize_spark.quality.measures import known_shares, measure
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.training.fold_in import FoldIn
from personalize_spark.training.popularity import counts_of
from personalize_spark.training.temperature import fit_temperature
from personalize_spark.training.training import Trained, Training
from personalize_spark.training.users import UserSide, write_users


@dataclass(frozen=True)
class Calibrated:
    """The temperature, and how good the scores are as probabilities."""

    temperature: float
    metrics: dict[str, Any]


def user_side(
    training: Training, entries: list[Entry], fold_in: FoldIn, source: str, scored: int | None = None
) -> UserSide:
    """The user side over an item side that is written."""
    named = {entry.name: entry for entry in entries}
    return UserSide(training.store.root, training.store.access, named, fold_in, source, scored)


def finish_users(
    training: Training,
    items: pa.Table,
    pairs: DataFrame,
    side: UserSide,
    entries: list[Entry],
    out: HeldOut,
    calibration: Calibrated,
) -> Trained:
    """Write all users, and those that were held out.

    Args:
        training: the training.
        items: the table of `interactions.collect_items`.
        pairs: the frame of `interactions.number_pairs`.
        side: the user side.
        entries: the files that are written.
        out: the users that were held out.
        calibration: what they taught.
    """
    users = write_users(pairs, side, calibration.temperature, training.totals.users, training.store)
    metrics = calibration.metrics | _measured(items, side.matrix(), out, calibration.temperature)
    properties = {
        "items": items.num_rows,
        "users": training.totals.users,
        "rank": out.vectors.shape[1],
        "temperature": calibration.temperature,
        "hyperparameters": asdict(training.hyperparameters),
        "metrics": metrics,
        "foldIn": side.fold_in.properties(),
    }
    if side.scored is not None:
        properties["scored"] = side.scored
    return Trained([*entries, *write_held_out(training.store, out), *users], properties)


def calibrate(
    out: HeldOut, matrix: ItemMatrix, counts: NDArray[np.int64], prior: NDArray[np.float64] | None = None
) -> Calibrated:
    """The temperature, and the mean losses in nats of the held-out items, beside those of simpler scores.

    Args:
        out: users and what they met next.
        matrix: the items.
        counts: int64 (I,), the interactions of each row.
        prior: float64 (I,), added to the exponents whatever the temperature.
    """
    targets = out.targets.values.astype(np.int64)
    if not len(targets):
        return Calibrated(1.0, {"heldOutUsers": 0})
    fitted = fit_temperature(out.vectors, targets, matrix.factors, prior)
    # plus one, as the held-out interaction of an item may be its only one
    popularity = counts + 1 - np.bincount(targets, minlength=len(counts))
    metrics = {
        "heldOutUsers": len(targets),
        "logLoss": fitted.log_loss,
        "logLossUniform": float(np.log(len(counts))),
        "logLossPopularity": float(np.mean(np.log(popularity.sum()) - np.log(popularity[targets]))),
    }
    return Calibrated(fitted.temperature, metrics)


def _measured(items: pa.Table, matrix: ItemMatrix, out: HeldOut, temperature: float) -> dict[str, float]:
    """What `GetSolutionMetrics` tells; nothing where nobody was held out."""
    if not len(out.vectors):
        return {}
    counts = counts_of(items)[matrix.ranks]  # an item's number is its rank
    shares = known_shares(counts / counts.sum(), int(counts.sum()), out.targets)
    measured = measure(out.vectors, matrix.factors, out.targets, out.seen, shares, temperature, matrix.ranks)
    return measured.solution_metrics()
