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
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.artifacts.heldout import Asked, HeldOut, Ranking
from personalize_spark.quality.evaluation import DEPTHS, LONGEST, Bin, Evaluation, Measures
from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection, best_of, first_of, popular_of
from personalize_spark.scoring.softmax import log_normalisers, probabilities
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import ItemMatrix, Items, TopN, products_of

_BINS = 10
_SAMPLE = 4096
"""Users that `ItemMatrix` learns its bounds from."""
_SEED = 42


Values = dict[str, NDArray[np.float64]]
"""By measure, float64 (H,): its value for each user."""


def rank(asked: Asked, items: Items, curve: Curve) -> HeldOut:
    """What a model says to users, to be measured.

    Args:
        asked: the users, learned without their targets; no target is an item that its user has seen.
        items: the item side, with its rows in any order.
        curve: how products become exponents.

    Raises:
        ValueError: there is no user, or one without a target.
    """
    vectors, targets, wanted = asked.vectors, asked.targets, asked.targets.lengths
    if not len(wanted) or not wanted.all():
        raise ValueError("each of at least one user needs a target")
    best = _best(vectors, items, asked.seen)
    normalisers = log_normalisers(vectors, items, curve)
    lines = targets.row_ids()
    products = products_of(vectors, lines, items, targets.values.astype(np.int64))
    seen_shares = _shares(vectors, items, asked.seen, normalisers, curve)
    scores = probabilities(best.products, normalisers, curve)
    chances = scores / np.maximum(1 - seen_shares, scores.sum(axis=1))[:, None]
    losses = normalisers[lines] - curve.exponents(products)
    return HeldOut(targets, asked.seen, Ranking(best.items, chances, losses, seen_shares))


def measure(
    out: HeldOut,
    shares: NDArray[np.float64],
    ranks: NDArray[np.int32],
    peers: Mapping[str, NDArray[np.int32]] | None = None,
) -> Evaluation:
    """Measure what a model said.

    Args:
        out: what was held out, and what the model said of it.
        shares: float64 (I,), the items' shares of the interactions, all above 0, total 1: see `known_shares`.
        ranks: int32 (I,), which of two equally popular items comes first.
        peers: by name, lists without scores for the same users, int32 (H, 25), -1 past the end.
    """
    targets, ranking = out.targets, out.ranking
    losses = {
        "model": ranking.losses,
        "popularity": -np.log(shares[targets.values]),
        "random": np.full(len(ranking.losses), np.log(len(shares))),
    }
    evaluation = measure_lists(ranking.lists, targets, out.seen, shares, ranks, peers, losses)
    calibration = _calibration(ranking.lists, ranking.chances, targets)
    return replace(evaluation, calibration=calibration, seen_share=float(ranking.seen_shares.mean()))


def measure_lists(
    lists: NDArray[np.int32],
    targets: Ragged[np.int32],
    seen: Ragged[np.int32],
    shares: NDArray[np.float64],
    ranks: NDArray[np.int32],
    peers: Mapping[str, NDArray[np.int32]] | None = None,
    losses: Mapping[str, NDArray[np.float64]] | None = None,
) -> Evaluation:
    """Measure a model by its lists, int32 (H, 25), -1 past the end, and the rankings beside it.

    Args:
        lists: of the model.
        targets: by user, the held-out items, at least one.
        seen: what no list has.
        shares: see `measure`, as are `ranks` and `peers`.
        ranks: of the items.
        peers: more lists.
        losses: by ranking, float64 (m,), the -log of the score of each target; of rankings that have scores.
    """
    popular = np.lexsort((ranks, -shares)).astype(np.int32)
    rankings = {
        "model": lists,
        "popularity": popular_of(popular, len(targets), LONGEST, Selection(excluded=seen)),
        "random": _random(len(shares), seen),
    }
    everything = {**rankings, **(peers or {})}
    values = {name: values_of(rows, targets, (losses or {}).get(name)) for name, rows in everything.items()}
    measured = {name: _measured(rows, values[name], shares) for name, rows in everything.items()}
    beside = {name: measured.pop(name) for name in peers or ()}
    return Evaluation(len(targets), len(shares), measured, [], values=values, peers=beside)


def values_of(lists: NDArray[np.int32], targets: Ragged[np.int32], losses: NDArray[np.float64] | None = None) -> Values:
    """What each user has of lists, int32 (H, 25); `losses` are those of the targets."""
    hits, wanted = _hits(lists, targets), targets.lengths
    discounts = 1 / np.log2(np.arange(2, LONGEST + 2))
    found, gains, ideal = np.cumsum(hits, axis=1), np.cumsum(hits * discounts, axis=1), np.cumsum(discounts)
    values = {f"NDCG@{depth}": gains[:, depth - 1] / ideal[np.minimum(wanted, depth) - 1] for depth in DEPTHS}
    values |= {f"precision@{depth}": found[:, depth - 1] / depth for depth in DEPTHS}
    values |= {f"recall@{depth}": found[:, depth - 1] / wanted for depth in DEPTHS}
    values["MRR@25"] = hits.any(axis=1) / (hits.argmax(axis=1) + 1)
    if losses is not None:
        values["log-loss"] = np.bincount(targets.row_ids(), losses / wanted[targets.row_ids()], len(wanted))
    return values


def known_shares(counts: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Each item's share of the interactions that a model has learned from, int (I,), plus one for each item, so that none is 0."""
    known: NDArray[np.float64] = (counts + 1) / (counts.sum() + len(counts))
    return known


def _shares(
    vectors: NDArray[Any],
    items: Items,
    seen: Ragged[np.int32],
    normalisers: NDArray[np.float64],
    curve: Curve,
) -> NDArray[np.float64]:
    """Float64 (H,): the sum of the scores of what each user has seen."""
    users = seen.row_ids()
    products = products_of(vectors, users, items, seen.values.astype(np.int64))
    scores: NDArray[np.float64] = np.exp(curve.exponents(products) - normalisers[users])
    return np.bincount(users, scores, len(vectors)).astype(np.float64)


def _best(vectors: NDArray[Any], items: Items, seen: Ragged[np.int32]) -> TopN:
    """The model's lists."""
    if isinstance(items, SparseItems):
        return best_of(vectors, items, LONGEST, Selection(excluded=seen))
    matrix, order = ItemMatrix.sort(items.factors, items.ranks, vectors[:_SAMPLE])
    excluded = seen.with_values(np.argsort(order)[seen.values].astype(np.int32))
    best = best_of(vectors, matrix, LONGEST, Selection(excluded=excluded))
    return TopN(np.where(best.items < 0, -1, order[best.items]).astype(np.int32), best.products)


def _random(items: int, seen: Ragged[np.int32]) -> NDArray[np.int32]:
    """int32 (H, 25): for each user items drawn at random, the same on every run; -1 past the end."""
    generator = np.random.default_rng(_SEED)
    counts = np.minimum(seen.lengths + LONGEST, items)  # enough, even if all that was seen is drawn
    drawn = [generator.choice(items, count, replace=False) for count in counts.tolist()]
    lists = Ragged.of_lengths(counts, np.concatenate(drawn).astype(np.int32))
    return first_of(lists, LONGEST, Selection(excluded=seen))


def _measured(lists: NDArray[np.int32], values: Values, shares: NDArray[np.float64]) -> Measures:
    """The means of the values, and what is measured on the lists alone."""
    shown = lists[lists >= 0]
    means = {name: float(np.mean(each)) for name, each in values.items()}
    ndcg, precision, recall = (
        {depth: means[f"{name}@{depth}"] for depth in DEPTHS} for name in ("NDCG", "precision", "recall")
    )
    return Measures(
        ndcg,
        precision,
        recall,
        mrr=means["MRR@25"],
        coverage=len(np.unique(shown)) / len(shares),
        novelty=float(-np.mean(np.log2(shares[shown]))),
        popularity=float(np.mean(_percentiles(shares)[shown])),
        log_loss=means.get("log-loss", float("nan")),
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
