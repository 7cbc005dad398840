"""Scores become probabilities: the scale that explains best what users chose, and how well it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.artifacts.heldout import Asked
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import Items
from personalize_spark.solutions.write_users import inverse
from personalize_spark.training.factors import Choices
from personalize_spark.training.temperature import Scale, ScaleFit, fit_bend, fit_of


@dataclass(frozen=True)
class Calibration:
    """The scale, and how good the scores are as probabilities."""

    scale: Scale
    metrics: dict[str, Any] = field(default_factory=dict)


def calibrate_choices(choices: Choices | None, matrix: Items, prior: NDArray[np.float64] | None = None) -> Calibration:
    """The scale that explains what users chose; a temperature of 1 where that is not known.

    Args:
        choices: users and what they chose.
        matrix: the items.
        prior: float64 (I,), what popularity adds to the exponent of each row, times its share; `None`: nothing.
    """
    if choices is None:
        return Calibration(Scale(1.0))
    targets = Ragged.singles(inverse(matrix.ranks)[choices.items])
    fitted = fit_of(choices.vectors, targets, matrix, prior)(None)
    return Calibration(fitted.scale, {"calibratingUsers": len(targets), **_losses(fitted, matrix)})


def calibrate_held_out(
    users: Asked, matrix: Items, prior: NDArray[np.float64], fitted: ScaleFit | None = None
) -> Calibration:
    """The scale that explains what was held out, bent where users are lists of items.

    Where nothing was held out, it has a temperature of 1 and a full share of popularity.

    Args:
        users: and what they met next.
        matrix: the items.
        prior: float64 (I,), ``log(1 + n)`` of the interactions of each row that are not held out.
        fitted: what was fitted to the same, not bent yet; `None`: it is fitted.
    """
    targets = users.targets
    if not len(targets):
        return Calibration(Scale(1.0, 1.0), {"heldOutUsers": 0})
    found = fitted or fit_of(users.vectors, targets, matrix, prior)(None)
    if isinstance(matrix, SparseItems):
        found = fit_bend(users.vectors, targets, matrix, prior, found)
    losses = {**_losses(found, matrix), "logLossPopularity": loss_of_popularity(prior, targets)}
    return Calibration(found.scale, {"heldOutUsers": len(targets), **losses})


def loss_of_popularity(prior: NDArray[np.float64], targets: Ragged[np.int32]) -> float:
    """The mean loss in nats over users, of the rows of each, under popularity alone."""
    return float(np.log(np.exp(prior).sum()) - targets.with_values(prior[targets.values]).means().mean())


def _losses(fitted: ScaleFit, matrix: Items) -> dict[str, float]:
    """The mean loss in nats of the targets, beside that of equal scores."""
    return {"logLoss": fitted.log_loss, "logLossUniform": float(np.log(len(matrix)))}
