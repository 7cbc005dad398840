"""A training chooses its model among candidates, by what some users came to next: a few by default, many where they are asked for.

The users are those that calibrate the scores: the newest tenth of their items is held out, and no candidate learns from it. Of the candidates whose
NDCG@25 is within 2 % of the highest, which is less than what chance does to it, the one whose scores explain the held-out items best is
taken. A candidate is measured with the share of popularity that its scores have by likelihood, and with half of it and less: the items that a user has met
keep their part of the likelihood, and none of the lists, so a smaller share often gives a better order. It
counts where that is beyond chance. A share under which the scores explain
less than popularity does is not eligible. Where popularity's own NDCG@25 is as high, or fewer than 25 users tell anything, nothing is chosen: the simplest model is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.quality.evaluation import LONGEST
from personalize_spark.quality.measures import known_shares, values_of
from personalize_spark.recipes import ModelKind
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection, best_of, popular_of
from personalize_spark.solutions.calibration import loss_of_popularity
from personalize_spark.solutions.item_side import in_order, last_of
from personalize_spark.solutions.judging import asked, calibrating, ending_with
from personalize_spark.training.als import train_als
from personalize_spark.training.factors import Factors
from personalize_spark.training.fold_in import Histories
from personalize_spark.training.local_cooccurrence import counts_here
from personalize_spark.training.sequences import SequenceForm, forms, popularity_alone, train_forms
from personalize_spark.training.temperature import Scale, ScaleFit, fit_of
from personalize_spark.training.training import Trainer, Training

_DEPTH, _NEAR, _FEWEST = 25, 0.98, 25
_ALS = "ALS"
_PARTS, _ERRORS = (0.5, 0.35), 4.0
"""Of the fitted share of popularity, these are tried, too; one counts where the order gains more than so many standard errors."""


@dataclass(frozen=True)
class Measured:
    """A candidate.

    Attributes:
        form: what it is, as the version tells it.
        ndcg: NDCG@25 on what was held out.
        log_loss: in nats.
        popularity: NDCG@25 of popularity on the same.
        share: of popularity in its exponents.
        ratio: of this to the temperature, where it is not the one that explains most.
    """

    form: Any
    ndcg: float
    log_loss: float
    popularity: float
    share: float | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class _Known:
    """The users of whom something is held out.

    Attributes:
        histories: without it, by numbers of items.
        targets: what is held out of each.
        popularity: NDCG@25 of popularity.
    """

    histories: Histories
    targets: Ragged[np.int32]
    popularity: float


def train_measured(training: Training, trainer: Trainer) -> Factors:
    """The model of a trainer, or the best of as many candidates as `jobs` says; learned again of all interactions where that takes seconds.

    Its twin, by which it is measured, has not learned what is held out. Of more interactions, what is held out is a small part.
    """
    several = jobs(training) > 1
    factors = train_best(training) if several else trainer(training)
    if training.here is None or not counts_here(training.totals.interactions):
        return factors
    everything = replace(training, here=training.here.with_nothing_held_out())
    again = _of_form(everything, factors.properties["form"]) if several else trainer(everything)
    return replace(again, twin=factors, properties=factors.properties)


def _of_form(training: Training, form: Any) -> Factors:
    if isinstance(form, str):
        return _als(training) if form == _ALS else popularity_alone(training)
    return next(train_forms(training, [SequenceForm(**form)]))


def train_best(training: Training) -> Factors:
    """The best of as many candidates as `jobs` says.

    The factors' properties tell it: `chosen`, `candidates`, and `choice`, why.
    """
    held = _known(training)
    if len(held.targets) < _FEWEST:
        why = f"Only {len(held.targets)} users have an item to hold out: nothing can be told, and the simplest model is taken."
        return _told(_simplest(training), [], why)
    measured: list[Measured] = []
    simplest = [0] if training.recipe.model is ModelKind.USER_FACTORS else []  # ALS's place, where it is the simplest
    eligible: dict[int, Factors] = {}  # those that can still be taken: the others' memory is let go
    for factors in _candidates(training, jobs(training)):
        for each, fitted in _measured(factors, held):
            eligible[len(measured)] = replace(factors, fitted=fitted)
            measured.append(each)
        del factors
        eligible = {place: eligible[place] for place in (*simplest, *_near(measured)) if place in eligible}
    best = chosen(measured)
    if best is None:
        why = "No candidate orders what users did next better than popularity does: the simplest model is taken."
        return _told(eligible[0] if simplest else popularity_alone(training), measured, why)
    why = (
        f"The best of {len({str(each.form) for each in measured})} candidates on {len(held.targets)} users, by NDCG@25 and log-loss: "
        f"{_name(measured[best].form)}."
    )
    return _told(eligible[best], measured, why)


def _name(form: Any) -> str:
    if isinstance(form, str):
        return form
    return f"what follows a user's items ({', '.join(f'{name} {value:g}' for name, value in form.items() if value)})"


def jobs(training: Training) -> int:
    """How many candidates: as many as was asked for, else four where no setting of ALS is given and counting takes seconds."""
    settings = training.hyperparameters
    several = counts_here(training.totals.interactions) and not settings.als_is_set
    return settings.training_jobs or (4 if several else 1)


def _near(candidates: list[Measured]) -> list[int]:
    """The places of those whose order is as good as the best."""
    highest = max(each.ndcg for each in candidates)
    return [place for place, each in enumerate(candidates) if each.ndcg >= _NEAR * highest]


def chosen(candidates: list[Measured]) -> int | None:
    """The place of the one that is taken; `None`: popularity is as good as any."""
    if max(each.ndcg for each in candidates) <= max(each.popularity for each in candidates):
        return None
    return min(_near(candidates), key=lambda place: candidates[place].log_loss)


def _candidates(training: Training, most: int) -> Iterator[Factors]:
    """The forms, with ALS as the second, so that a small budget knows it; for `USER_FACTORS` it is the first."""
    wanted = forms(training.hyperparameters.rank)
    if training.recipe.model is ModelKind.USER_FACTORS:
        yield _als(training)
        yield from train_forms(training, wanted[: most - 1])
        return
    trained = train_forms(training, wanted[: most - 1])
    yield next(trained)
    yield _als(training)
    yield from trained


def _simplest(training: Training) -> Factors:
    return popularity_alone(training) if training.recipe.model is ModelKind.SEQUENCES else _als(training)


def _als(training: Training) -> Factors:
    als = train_als(training)
    return replace(als, scored=training.recipe.scored, properties={**als.properties, "form": _ALS})


def _told(factors: Factors, candidates: list[Measured], why: str) -> Factors:
    told = {"chosen": factors.properties["form"], "candidates": [asdict(each) for each in candidates], "choice": why}
    return replace(factors, properties=factors.properties | told)


def _known(training: Training) -> _Known:
    items, pairs = training.source
    (histories, targets), shares = calibrating(pairs), known_shares(items.column("known").to_numpy())
    popular = np.argsort(-shares, kind="stable").astype(np.int32)
    lists = popular_of(popular, len(targets), LONGEST, Selection(excluded=histories.items))
    ndcg = _ndcg(lists, targets)
    return _Known(histories, targets, float(ndcg.mean()) if len(ndcg) else 0.0)


def _measured(factors: Factors, held: _Known) -> Iterator[tuple[Measured, ScaleFit]]:
    """Measure a candidate as its model would be measured, on the driver: with the fitted share of popularity, and with less of it."""
    matrix, _ = in_order(factors)
    assert matrix is not None  # noqa: S101  # all candidates have users
    users, prior = asked(factors, matrix, (held.histories, held.targets)), factors.prior()[matrix.ranks]

    def ordered(scale: Scale) -> NDArray[np.float64]:
        """Float64 (H,): the NDCG of each user's list under a scale."""
        of_scale, scaled = ending_with(users, matrix, last_of(scale, prior))
        lists = best_of(of_scale.vectors, scaled, LONGEST, Selection(excluded=users.seen))
        return _ndcg(lists.items, users.targets)

    def told(fit: ScaleFit, ndcg: NDArray[np.float64], ratio: float | None = None) -> tuple[Measured, ScaleFit]:
        form, share = factors.properties["form"], fit.scale.popularity
        return Measured(form, float(ndcg.mean()), fit.log_loss, held.popularity, share, ratio), fit

    fit = fit_of(ending_with(users, matrix, 0.0)[0].vectors, users.targets, matrix, prior)
    fitted = fit(None)
    ndcg = ordered(fitted.scale)
    yield told(fitted, ndcg)
    for part in _PARTS:
        less = replace(fitted.scale, popularity=part * fitted.scale.popularity)
        of_less = ordered(less)
        if not _surely(of_less - ndcg):
            return
        ratio = less.popularity / less.temperature
        of_ratio = fit(ratio)
        if of_ratio.log_loss > loss_of_popularity(prior, users.targets):
            return
        yield told(of_ratio, of_less, ratio)


def _ndcg(lists: NDArray[np.int32], targets: Ragged[np.int32]) -> NDArray[np.float64]:
    return values_of(lists, targets)[f"NDCG@{_DEPTH}"]


def _surely(gains: NDArray[np.float64]) -> bool:
    """Whether the mean of so many users is above 0 by more than chance."""
    return bool(gains.mean() * np.sqrt(len(gains)) > _ERRORS * gains.std())
