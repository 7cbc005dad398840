"""The quality of recommendations, measured on held-out items, beside popular and random recommendations.

Every user has the same weight. H is the set of a user's held-out items; the list leaves out what the user has seen.

    precision@K    |H and the first K| / K
    recall@K       |H and the first K| / |H|
    NDCG@K         sum over the hits' places p <= K of 1 / log2(1 + p), over the same sum for the places 1 .. min(K, |H|)
    MRR@25         1 / (place of the first hit), 0 if none of the first 25 is one
    coverage       the share of all items that are in anybody's first 25
    novelty        the mean of -log2(an item's share of the interactions) over all places of all first 25, in bits
    popularity     the mean percentile of an item's popularity over the same places: 0.5 if it plays no part
    log-loss       the mean of -log(the score of a held-out item), in nats

Coverage, MRR, NDCG and precision are those of the service's `GetSolutionMetrics` (developer guide, "Evaluating a solution
version with metrics"). The score is a softmax over all items, also for recipes whose jobs score only some of them: the items
that a user has seen keep their share of it. The calibration is about what is compared: there a score is divided by what the
items that the user has not seen have together. The score of "popularity" is an item's share of the interactions; that of
"random" is the same for all items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.quality.template import fragment, section, table
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection, best_of, first_of, popular_of
from personalize_spark.scoring.softmax import log_normalisers, probabilities
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import ItemMatrix, Items, TopN, products_of

DEPTHS = (5, 10, 25)
"""The K of the measures."""

_LONGEST = max(DEPTHS)
_BINS = 10
_SAMPLE = 4096
"""Users that `ItemMatrix` learns its bounds from."""
_SEED = 42


@dataclass(frozen=True)
class Measures:
    """How good the lists of one ranking are; the formulas are at the top of this module.

    Attributes:
        ndcg: NDCG@K by K.
        precision: precision@K by K.
        recall: recall@K by K.
        mrr: MRR@25.
        coverage: from 0 to 1.
        novelty: in bits.
        popularity: a mean percentile, from 0 to 1.
        log_loss: in nats.
    """

    ndcg: dict[int, float]
    precision: dict[int, float]
    recall: dict[int, float]
    mrr: float
    coverage: float
    novelty: float
    popularity: float
    log_loss: float


@dataclass(frozen=True)
class Bin:
    """A tenth of all places that the model fills, see `Evaluation.calibration`.

    Attributes:
        predicted: the mean chance that the score gives it.
        frequency: the mean chance that the recommended item is the held-out one.
        shown: how many places.
    """

    predicted: float
    frequency: float
    shown: int


@dataclass(frozen=True)
class Evaluation:
    """The quality of a model.

    Attributes:
        users: how many users have held-out items.
        items: how many items there are.
        rankings: "model", "popularity" and "random".
        peers: simple models, on the same users: "cosine" and "EASE", as far as the training has measured them. They have no
            scores, so their log-loss is not a number.
        calibration: all places of the model's first 25, in the order of their chances (the score, among the items that the user
            has not seen), cut into ten bins of equal size. A place
            counts as 1 / |H| if its item is among the |H| held-out items of its user, else as 0: that is the chance that a
            held-out item drawn at random is the recommended one, so a calibrated chance predicts its mean.
        seen_share: the mean share of the scores that the items that a user has seen keep.
        solution_version_arn: the solution version that was evaluated; empty for a model that is none yet.
        version: what was evaluated, by name: its recipe, dataset group, training.
        notes: what to know before one reads the numbers.
    """

    users: int
    items: int
    rankings: dict[str, Measures]
    calibration: list[Bin]
    seen_share: float = 0.0
    peers: dict[str, Measures] = field(default_factory=dict)
    solution_version_arn: str = ""
    version: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def solution_metrics(self) -> dict[str, float]:
        """The model's measures by the names of `GetSolutionMetrics`."""
        model = self.rankings["model"]
        return {
            "coverage": model.coverage,
            "mean_reciprocal_rank_at_25": model.mrr,
            **{f"normalized_discounted_cumulative_gain_at_{depth}": value for depth, value in model.ndcg.items()},
            **{f"precision_at_{depth}": value for depth, value in model.precision.items()},
        }

    def calibration_error(self) -> float:
        """The expected calibration error: the mean over all places of how far a bin's chance is from its frequency."""
        bins = self.calibration
        return sum(each.shown * abs(each.predicted - each.frequency) for each in bins) / sum(
            each.shown for each in bins
        )

    def verdict(self) -> list[str]:
        """Whether the model is worth having, in sentences."""
        model, popular = self.rankings["model"], self.rankings["popularity"]
        gains = f"NDCG@{_LONGEST} {model.ndcg[_LONGEST]:.4f} against {popular.ndcg[_LONGEST]:.4f}"
        losses = f"log-loss {model.log_loss:.4f} against {popular.log_loss:.4f}"
        likely = "more likely" if model.log_loss < popular.log_loss else "no more likely"
        said = [
            f"The model ranks {_against(model.ndcg[_LONGEST], popular.ndcg[_LONGEST])}: {gains}.",
            f"Its scores make what was held out {likely} than popularity does: {losses}.",
        ]
        for name, peer in self.peers.items():
            if peer.ndcg[_LONGEST] > model.ndcg[_LONGEST]:
                said.append(f"{name} ranks better still: NDCG@{_LONGEST} {peer.ndcg[_LONGEST]:.4f}.")
        return said

    def rows(self, *, peers: bool = False) -> dict[str, list[float]]:
        """The measures by their names, each of the three rankings, and of the peers where these are wanted."""
        rankings = [*self.rankings.values(), *(self.peers.values() if peers else ())]
        by_depth = {
            f"{name}@{depth}": [getattr(each, name.lower())[depth] for each in rankings]
            for name in ("NDCG", "precision", "recall")
            for depth in DEPTHS
        }
        names = {"MRR@25": "mrr", "coverage": "coverage", "novelty": "novelty", "popularity": "popularity"}
        single = {name: [getattr(each, field) for each in rankings] for name, field in names.items()}
        return {**by_depth, **single, "log-loss": [each.log_loss for each in rankings]}

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        values = asdict(self)
        for each in values["peers"].values():
            each["log_loss"] = None
        told = {"metrics": self.solution_metrics(), "calibration_error": self.calibration_error()}
        return {**values, **told, "verdict": self.verdict()}

    def __str__(self) -> str:
        head = f"{self.users:,} users, {self.items:,} items\n\n{'':<14}"
        names = "".join(f"{name:>12}" for name in (*self.rankings, *self.peers))
        rows = [f"{name:<14}" + "".join(map(_cell, values)) for name, values in self.rows(peers=True).items()]
        return "\n".join([*self.verdict(), "", head + names, *rows, "", *self._reliability()])

    def _reliability(self) -> list[str]:
        """How often a score came true, bin by bin."""
        rows = [f"{each.predicted:>14.4%}{each.frequency:>12.4%}{each.shown:>12,}" for each in self.calibration]
        error = f"expected calibration error {self.calibration_error():.4%}; items seen keep {self.seen_share:.1%} of the scores"
        return [f"{'predicted':>14}{'held out':>12}{'places':>12}", *rows, error]

    def _repr_html_(self) -> str:
        rows = [(name, *(_cell(each).strip() for each in values)) for name, values in self.rows(peers=True).items()]
        about = f"<p>{escape(self.solution_version_arn)}</p><p>{self.users:,} users, {self.items:,} items</p>"
        notes = "".join(f"<p>{escape(note)}</p>" for note in (*self.verdict(), *self.notes))
        return fragment(section("Evaluation", about + notes + table(("", *self.rankings, *self.peers), rows)))


def _against(value: float, popular: float) -> str:
    """How a measure of the model compares with that of popularity."""
    if value == popular:
        return "as well as popularity"
    times = f" by {abs(value / popular - 1):.0%}" if popular else ""
    return f"{'better' if value > popular else 'worse'} than popularity{times}"


def _cell(value: float) -> str:
    return f"{value:>12.4f}" if np.isfinite(value) else f"{'-':>12}"


def measure(
    vectors: NDArray[Any],
    items: Items,
    targets: Ragged[np.int32],
    seen: Ragged[np.int32],
    shares: NDArray[np.float64],
    temperature: float,
) -> Evaluation:
    """Measure a model.

    Args:
        vectors: float32 (H, d) or int32 (H, K), users learned without their targets; H >= 1.
        items: the item side, with its rows in any order.
        targets: the held-out items of each of the H users, at least one.
        seen: the items that each user is not to get; no target is one of them.
        shares: float64 (I,), the items' shares of the interactions, all above 0, total 1: see `known_shares`.
        temperature: the factor of the products.

    Raises:
        ValueError: there is no user, or one without a target.
    """
    wanted = targets.lengths
    if not len(wanted) or not wanted.all():
        raise ValueError("each of at least one user needs a target")
    best = _best(vectors, items, seen)
    normalisers = log_normalisers(vectors, items, temperature)
    lines = targets.row_ids()
    products = products_of(vectors, lines, items, targets.values.astype(np.int64))
    popular = np.lexsort((items.ranks, -shares)).astype(np.int32)
    rankings = {
        "model": (best.items, normalisers[lines] - temperature * products),
        "popularity": (
            popular_of(popular, len(wanted), _LONGEST, Selection(excluded=seen)),
            -np.log(shares[targets.values]),
        ),
        "random": (_random(len(shares), seen), np.full(len(lines), np.log(len(shares)))),
    }
    measured = {name: _measured(lists, losses, targets, shares) for name, (lists, losses) in rankings.items()}
    seen_share = _shares(vectors, items, seen, normalisers, temperature)
    scores = probabilities(best.products, normalisers, temperature)
    chances = scores / np.maximum(1 - seen_share, scores.sum(axis=1))[:, None]
    calibration = _calibration(best.items, chances, targets)
    return Evaluation(len(wanted), len(shares), measured, calibration, float(seen_share.mean()))


def measure_peers(
    lists: Mapping[str, NDArray[np.int32]], targets: Ragged[np.int32], shares: NDArray[np.float64]
) -> dict[str, Measures]:
    """Measure lists without scores, int32 (H, 25), by name; see `measure`."""
    nothing = np.full(len(targets.values), np.nan)
    return {name: _measured(np.asarray(rows), nothing, targets, shares) for name, rows in lists.items()}


def known_shares(
    shares: NDArray[np.float64], interactions: int, targets: Ragged[np.int32] | None = None
) -> NDArray[np.float64]:
    """Each item's share of the interactions that a model has learned from, plus one for each item, so that none is 0.

    Args:
        shares: float64 (I,), each item's share of all interactions.
        interactions: how many there are.
        targets: the items held out, if they are part of `shares`: an interaction of each is taken away.
    """
    counts = np.rint(shares * interactions) + 1
    if targets is not None:
        counts -= np.bincount(targets.values, minlength=len(counts))
    known: NDArray[np.float64] = counts / counts.sum()
    return known


def _shares(
    vectors: NDArray[Any],
    items: Items,
    seen: Ragged[np.int32],
    normalisers: NDArray[np.float64],
    temperature: float,
) -> NDArray[np.float64]:
    """Float64 (H,): the sum of the scores of what each user has seen."""
    users = seen.row_ids()
    products = products_of(vectors, users, items, seen.values.astype(np.int64))
    scores: NDArray[np.float64] = np.exp(temperature * products - normalisers[users])
    return np.bincount(users, scores, len(vectors)).astype(np.float64)


def _best(vectors: NDArray[Any], items: Items, seen: Ragged[np.int32]) -> TopN:
    """The model's lists."""
    if isinstance(items, SparseItems):
        return best_of(vectors, items, _LONGEST, Selection(excluded=seen))
    matrix, order = ItemMatrix.sort(items.factors, items.ranks, vectors[:_SAMPLE])
    excluded = seen.with_values(np.argsort(order)[seen.values].astype(np.int32))
    best = best_of(vectors, matrix, _LONGEST, Selection(excluded=excluded))
    return TopN(np.where(best.items < 0, -1, order[best.items]).astype(np.int32), best.products)


def _random(items: int, seen: Ragged[np.int32]) -> NDArray[np.int32]:
    """int32 (H, 25): for each user items drawn at random, the same on every run; -1 past the end."""
    generator = np.random.default_rng(_SEED)
    counts = np.minimum(seen.lengths + _LONGEST, items)  # enough, even if all that was seen is drawn
    drawn = [generator.choice(items, count, replace=False) for count in counts.tolist()]
    lists = Ragged.of_lengths(counts, np.concatenate(drawn).astype(np.int32))
    return first_of(lists, _LONGEST, Selection(excluded=seen))


def _measured(
    lists: NDArray[np.int32], losses: NDArray[np.float64], targets: Ragged[np.int32], shares: NDArray[np.float64]
) -> Measures:
    """Measure lists, int32 (H, 25); `losses` are those of the targets."""
    hits, wanted = _hits(lists, targets), targets.lengths
    discounts = 1 / np.log2(np.arange(2, _LONGEST + 2))
    found, gains, ideal = np.cumsum(hits, axis=1), np.cumsum(hits * discounts, axis=1), np.cumsum(discounts)
    shown = lists[lists >= 0]
    return Measures(
        {depth: float(np.mean(gains[:, depth - 1] / ideal[np.minimum(wanted, depth) - 1])) for depth in DEPTHS},
        {depth: float(np.mean(found[:, depth - 1] / depth)) for depth in DEPTHS},
        {depth: float(np.mean(found[:, depth - 1] / wanted)) for depth in DEPTHS},
        float(np.mean(hits.any(axis=1) / (hits.argmax(axis=1) + 1))),
        len(np.unique(shown)) / len(shares),
        float(-np.mean(np.log2(shares[shown]))),
        float(np.mean(_percentiles(shares)[shown])),
        float(np.sum(losses / wanted[targets.row_ids()]) / len(wanted)),
    )


def _hits(lists: NDArray[np.int32], targets: Ragged[np.int32]) -> NDArray[np.bool_]:
    """Bool (H, 25): whether the item at this place is a target."""
    lines = np.repeat(np.arange(len(lists)), lists.shape[1])
    return targets.contains(lines, lists.ravel()).reshape(lists.shape)


def _percentiles(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 (I,): the share of items that are less popular, of those that are as popular (itself included) half."""
    ascending = np.sort(shares)
    return (np.searchsorted(ascending, shares) + np.searchsorted(ascending, shares, "right")) / (2 * len(shares))


def _calibration(lists: NDArray[np.int32], scores: NDArray[np.float64], targets: Ragged[np.int32]) -> list[Bin]:
    there = lists >= 0
    chances = (_hits(lists, targets) / targets.lengths[:, None])[there]
    predicted = scores[there]
    parts = np.array_split(np.argsort(predicted, kind="stable"), _BINS)
    return [Bin(float(predicted[part].mean()), float(chances[part].mean()), len(part)) for part in parts if len(part)]
