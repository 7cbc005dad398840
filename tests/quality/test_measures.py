"""Evaluation: numbers worked by hand, and the definitions written out in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize_spark.artifacts.heldout import Asked
from personalize_spark.quality import measures as module
from personalize_spark.quality.evaluation import Bin, Evaluation
from personalize_spark.quality.measures import known_shares, measure, rank
from personalize_spark.scoring.curve import STRAIGHT, Curve
from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.ragged import Ragged

LOG2 = math.log(2)


def ragged(*lists: Sequence[int]) -> Ragged[np.int32]:
    indptr = np.cumsum([0, *map(len, lists)])
    return Ragged(indptr, np.array([item for each in lists for item in each], np.int32))


def column(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None]


def items_of(factors: NDArray[np.float32], ranks: NDArray[np.integer[Any]]) -> ItemMatrix:
    """In this order; `measure` needs no norms."""
    return ItemMatrix(factors, np.zeros(len(factors), np.float32), ranks.astype(np.int32))


def evaluation_of(
    vectors: NDArray[np.float32],
    items: ItemMatrix,
    targets: Ragged[np.int32],
    seen: Ragged[np.int32],
    shares: NDArray[np.float64],
    curve: Curve,
) -> Evaluation:
    return measure(rank(Asked(vectors, targets, seen), items, curve), shares, items.ranks)


def golden() -> Evaluation:
    """The model gives the first user 1 2 3, the second one 3 2 1 0; popularity gives 1 3 2 and 0 1 3 2."""
    shares, ranks = np.array([4, 2, 1, 1]) / 8, np.array([0, 1, 3, 2], np.int32)
    targets, seen = ragged([1], [0, 3]), ragged([0], [])
    return evaluation_of(column(1, -1), items_of(column(3, 2, 1, 0), ranks), targets, seen, shares, Curve(LOG2))


def test_a_tiny_case_is_as_worked_by_hand() -> None:
    evaluation = golden()
    model = evaluation.rankings["model"]
    both = 1 + 1 / math.log2(3)  # two hits at the first two places
    assert (evaluation.users, evaluation.items) == (2, 4)
    assert model.ndcg == pytest.approx(dict.fromkeys((5, 10, 25), (1 + (1 + 1 / math.log2(5)) / both) / 2))
    assert model.precision == pytest.approx({5: 0.3, 10: 0.15, 25: 0.06})
    assert model.recall == {5: 1, 10: 1, 25: 1}
    assert (model.mrr, model.coverage) == (1, 1)
    assert model.novelty == pytest.approx((2 + 3 + 3 + 3 + 3 + 2 + 1) / 7)
    assert model.popularity == pytest.approx((5 + 2 + 2 + 2 + 2 + 5 + 7) / 8 / 7)
    assert model.log_loss == pytest.approx((math.log(15 / 4) + (math.log(15 / 8) + math.log(15)) / 2) / 2)


def test_popularity_breaks_ties_by_id_and_is_as_worked_by_hand() -> None:
    popularity = golden().rankings["popularity"]
    assert popularity.ndcg[5] == pytest.approx((1 + 1.5 / (1 + 1 / math.log2(3))) / 2)
    assert (popularity.mrr, popularity.coverage) == (1, 1)
    assert popularity.log_loss == pytest.approx(2 * LOG2)
    assert golden().rankings["random"].log_loss == pytest.approx(math.log(4))


def test_the_calibration_is_as_worked_by_hand() -> None:
    bins = golden().calibration
    assert [each.predicted for each in bins] == sorted(each.predicted for each in bins)
    # the first user's scores are 8, 4, 2, 1 of 15, and the first of them is seen: what is left are 7
    assert sorted((round(each.predicted, 9), each.frequency, each.shown) for each in bins) == [
        *((round(1 / 15, 9), 0.5, 1), (round(2 / 15, 9), 0, 1), (round(1 / 7, 9), 0, 1), (round(4 / 15, 9), 0, 1)),
        *((round(2 / 7, 9), 0, 1), (round(8 / 15, 9), 0.5, 1), (round(4 / 7, 9), 1, 1)),
    ]
    assert golden().seen_share == pytest.approx(8 / 15 / 2)


def test_the_calibration_error_is_the_mean_distance_of_chance_and_frequency() -> None:
    distances = [0.5 - 1 / 15, 2 / 15, 1 / 7, 4 / 15, 2 / 7, 8 / 15 - 0.5, 1 - 4 / 7]
    assert golden().calibration_error() == pytest.approx(sum(distances) / 7)
    assert "expected calibration error 24.6259%" in str(golden())


def test_the_service_has_names_for_it() -> None:
    evaluation = golden()
    model = evaluation.rankings["model"]
    assert evaluation.solution_metrics() == {
        "coverage": model.coverage,
        "mean_reciprocal_rank_at_25": model.mrr,
        "normalized_discounted_cumulative_gain_at_5": model.ndcg[5],
        "normalized_discounted_cumulative_gain_at_10": model.ndcg[10],
        "normalized_discounted_cumulative_gain_at_25": model.ndcg[25],
        "precision_at_5": model.precision[5],
        "precision_at_10": model.precision[10],
        "precision_at_25": model.precision[25],
    }


def test_what_was_held_out_was_not_known_and_no_share_is_zero() -> None:
    assert known_shares(np.array([3, 1, 0, 0])).tolist() == pytest.approx([4 / 8, 2 / 8, 1 / 8, 1 / 8])
    assert known_shares(np.array([1, 0, 0, 0])).tolist() == pytest.approx([2 / 5, 1 / 5, 1 / 5, 1 / 5])


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 30), st.integers(1, 5))
def test_it_is_what_the_definitions_say(seed: int, items: int, users: int, rank: int) -> None:
    generator = np.random.default_rng(seed)
    factors = generator.normal(size=(items, rank)).astype(np.float32)
    factors[generator.integers(items, size=items // 4)] = factors[0]  # ties
    vectors = generator.normal(size=(users, rank)).astype(np.float32)
    shares = known_shares(np.isin(np.arange(items), generator.permutation(items)[1::2], invert=True).astype(np.int64))
    targets, seen = [], []
    for _ in range(users):
        order, wanted = generator.permutation(items).tolist(), int(generator.integers(1, min(items, 8) + 1))
        targets.append(sorted(order[:wanted]))
        seen.append(sorted(order[wanted:][: generator.integers(items)]))
    ranks = generator.permutation(items).astype(np.int32)
    evaluation = evaluation_of(vectors, items_of(factors, ranks), ragged(*targets), ragged(*seen), shares, Curve(0.7))

    scores = [
        softmax([0.7 * math.fsum(map(float.__mul__, user, item)) for item in factors.tolist()])
        for user in vectors.tolist()
    ]
    lists = [listed(line, ranks.tolist(), gone) for line, gone in zip(scores, seen, strict=True)]
    popular = [listed(shares.tolist(), ranks.tolist(), gone) for gone in seen]
    flat = [shares.tolist()] * users
    for name, ranking, of_ranking in (("model", lists, scores), ("popularity", popular, flat)):
        measured = asdict(evaluation.rankings[name])
        for name_, value in definitions(ranking, targets, shares.tolist(), of_ranking).items():
            assert measured[name_] == pytest.approx(value, abs=1e-9), (name, name_)
    unseen = [1 - math.fsum(line[item] for item in gone) for line, gone in zip(scores, seen, strict=True)]
    chances = [[each / left for each in line] for line, left in zip(scores, unseen, strict=True)]
    assert [tuple(asdict(each).values()) for each in evaluation.calibration] == [
        pytest.approx(each, abs=1e-9) for each in tenths(lists, targets, chances)
    ]


def softmax(exponents: Sequence[float]) -> list[float]:
    total = math.fsum(map(math.exp, exponents))
    return [math.exp(each) / total for each in exponents]


def listed(scores: Sequence[float], ranks: Sequence[int], gone: Sequence[int]) -> list[int]:
    candidates = [item for item in range(len(scores)) if item not in gone]
    return sorted(candidates, key=lambda item: (-round(scores[item], 14), ranks[item]))[:25]


def definitions(
    lists: list[list[int]], targets: list[list[int]], shares: list[float], scores: list[list[float]]
) -> dict[str, object]:
    pairs = list(zip(lists, targets, strict=True))
    shown = [item for each in lists for item in each]
    below = [sum(other < share for other in shares) + sum(other == share for other in shares) / 2 for share in shares]
    depths = (5, 10, 25)
    return {
        "ndcg": {k: mean([gain(items, wanted, k) for items, wanted in pairs]) for k in depths},
        "precision": {k: mean([len({*items[:k]} & {*wanted}) / k for items, wanted in pairs]) for k in depths},
        "recall": {k: mean([len({*items[:k]} & {*wanted}) / len(wanted) for items, wanted in pairs]) for k in depths},
        "mrr": mean(
            [
                max((1 / (items.index(item) + 1) for item in wanted if item in items), default=0)
                for items, wanted in pairs
            ]
        ),
        "coverage": len(set(shown)) / len(shares),
        "novelty": mean([-math.log2(shares[item]) for item in shown]),
        "popularity": mean([below[item] / len(shares) for item in shown]),
        "log_loss": mean(
            [mean([-math.log(line[item]) for item in wanted]) for line, wanted in zip(scores, targets, strict=True)]
        ),
    }


def gain(items: list[int], wanted: list[int], depth: int) -> float:
    discounts = [1 / math.log2(1 + place) for place in range(1, depth + 1)]
    hit = [discount for discount, item in zip(discounts, items, strict=False) if item in wanted]
    return sum(hit) / sum(discounts[: len(wanted)])


def tenths(lists: list[list[int]], targets: list[list[int]], scores: list[list[float]]) -> list[tuple[float, ...]]:
    places = [
        (line[item], (item in wanted) / len(wanted))
        for items, wanted, line in zip(lists, targets, scores, strict=True)
        for item in items
    ]
    places.sort(key=lambda place: round(place[0], 14))
    longer = len(places) % 10
    ends = [part * (len(places) // 10) + min(part, longer) for part in range(11)]
    parts = [places[start:end] for start, end in pairwise(ends) if end > start]
    return [(mean([p for p, _ in part]), mean([chance for _, chance in part]), len(part)) for part in parts]


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


@pytest.mark.slow
def test_random_is_fair_never_what_was_seen_and_always_the_same() -> None:
    users, items = 4000, 100
    seen = ragged(*([0, 99] if user % 2 else range(90) for user in range(users)))
    lists = module._random(items, seen)
    assert (lists == module._random(items, seen)).all()
    for user, (row, gone) in enumerate(
        zip(lists.tolist(), (seen.take(np.array([u])) for u in range(users)), strict=True)
    ):
        shown = [item for item in row if item >= 0]
        assert len(shown) == len(set(shown)) == (25 if user % 2 else 10)
        assert not set(shown) & set(gone.values.tolist())
    frequency = np.bincount(lists[1::2].ravel(), minlength=items)[1:99] / (users / 2)
    assert np.abs(frequency - 25 / 98).max() < 0.05


def test_more_than_the_best_is_random_at_the_least() -> None:
    """500 users who come to what the model tells: the model finds it, popularity and random do not."""
    generator = np.random.default_rng(1)
    factors, vectors = (generator.normal(size=(count, 8)).astype(np.float32) for count in (400, 500))
    scores = softmax_rows(3.0 * vectors.astype(np.float64) @ factors.T)
    targets = ragged(*([int(generator.choice(400, p=line))] for line in scores))
    shares = known_shares(np.full(400, 10))
    nothing = ragged(*[[]] * 500)
    evaluation = evaluation_of(vectors, items_of(factors, np.arange(400)), targets, nothing, shares, Curve(3.0))
    model, random = evaluation.rankings["model"], evaluation.rankings["random"]
    assert model.recall[25] > 0.9
    assert random.recall[25] == pytest.approx(25 / 400, abs=0.04)
    assert random.popularity == pytest.approx(0.5)
    assert evaluation.rankings["popularity"].coverage == 25 / 400
    assert model.log_loss < random.log_loss == pytest.approx(math.log(400))
    # the model is the truth here, so what it predicts is how often it happens
    assert all(abs(each.predicted - each.frequency) < 0.03 for each in evaluation.calibration)
    assert sum(each.shown for each in evaluation.calibration) == 500 * 25


def softmax_rows(exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def test_a_user_without_a_target_is_refused() -> None:
    shares, ranks = np.array([0.5, 0.5]), np.arange(2, dtype=np.int32)
    for vectors, targets in ((column(), ragged()), (column(1, 1), ragged([0], []))):
        with pytest.raises(ValueError, match="needs a target"):
            evaluation_of(
                vectors, items_of(column(1, 2), ranks), targets, ragged(*[[]] * len(vectors)), shares, STRAIGHT
            )


def test_a_bin_holds_at_least_one_place() -> None:
    shares, ranks = np.array([0.5, 0.5]), np.arange(2, dtype=np.int32)
    evaluation = evaluation_of(column(0), items_of(column(1, 2), ranks), ragged([1]), ragged([0]), shares, STRAIGHT)
    assert evaluation.calibration == [Bin(1.0, 1.0, 1)]
