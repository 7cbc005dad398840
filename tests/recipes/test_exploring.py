"""Exploration against a brute force that knows every exponential."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from personalize_spark.answer import answer
from personalize_spark.filters.selector import Group
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.records import Object
from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.exploration import Cold, hashes
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.users import UserRows
from personalize_spark.testing.toy import GOLDEN, model_of, random_world
from tests.recipes.test_golden_pairs import model_of as golden_model

UP = RECIPES["aws-user-personalization"]
NEW = ["new-0", "new-1", "new-2", "new-3"]
YOUNG = ["i1", "i3", "i4", "i10", "i50"]


def exploring(model: Model, young: Sequence[str], new: Sequence[str], weight: float, seed: int = 7) -> Model:
    more = model.with_items(JsonTexts.of([json.dumps(name).encode() for name in new]))
    names = sorted([*young, *new], key=lambda name: int(more.rows_of([name])[0]))
    interactions = np.arange(len(names)) % 3
    return replace(more, cold=Cold(more.rows_of(names), interactions, hashes(names), weight, seed))


def expected(model: Model, user: str, n: int, drop: Sequence[str] = ()) -> tuple[list[str], list[float]]:
    """By the formula of the module, one user at a time and nothing left out."""
    assert model.cold is not None
    w, cold = random_world(), model.cold
    names = model.item_ids()
    logits = [
        w.temperature * float(np.dot(w.users[user], w.items[name])) if name in w.items else -np.inf for name in names
    ]
    shares = np.exp(logits) / np.exp(logits).sum()
    others = np.sort(np.delete(shares, cold.rows))
    bonus = cold.bonuses(hashes([user]), others[-25:][:1])[0]
    shares[cold.rows] += bonus
    shares /= 1 + bonus.sum()
    order = [row for row in np.argsort(-shares, kind="stable") if names[row] not in drop][:n]
    return [names[row] for row in order], [round(float(shares[row]), 7) for row in order]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model_of(random_world(), UP.name, tmp_path_factory.mktemp("catalog"))


def out(
    model: Model, users: Sequence[str], n: int, without: Selection | None = None
) -> list[tuple[list[str], list[float]]]:
    lines = [json.dumps({"userId": user}).encode() for user in users]
    line_filter = None if without is None else Always(without)
    parsed = [
        json.loads(line)["output"] for line in answer(UP, model, Settings(n), lines, line_filter).data.splitlines()
    ]
    return [(line["recommendedItems"], line["scores"]) for line in parsed]


class Always:
    """One selection for all lines, which are as many as its lists."""

    required: Sequence[str] = ()
    varies = False

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    def select(self, lines: Sequence[Object]) -> tuple[list[Group], dict[int, str]]:
        return [Group(np.arange(len(lines)), self.selection)], {}


def same(found: tuple[list[str], list[float]], wanted: tuple[list[str], list[float]]) -> bool:
    """Twins may stand in either order; all else is equal."""
    return found[1] == wanted[1] and _but_twins(found) == _but_twins(wanted)


def _but_twins(lists: tuple[list[str], list[float]]) -> list[tuple[float, str]]:
    items, scores = lists
    return [(score, item) for item, score in zip(items, scores, strict=True) if scores.count(score) == 1]


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize("n", [3, 25, 400])
def test_items_in_scope_enter_the_same_softmax(learned: Model, weight: float, n: int) -> None:
    model = exploring(learned, YOUNG, NEW, weight)
    for user, found in zip(("u1", "u2", "u3"), out(model, ["u1", "u2", "u3"], n), strict=True):
        assert same(found, expected(model, user, n))


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize("searched_by", ["kernel", "numpy"])
def test_items_in_scope_enter_the_softmax_of_what_newest_items_lead_to(
    searched_by: str, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if searched_by == "numpy":
        monkeypatch.setattr("personalize_spark.scoring.topn.kernel", lambda: None)
    model, users = sparse_model(weight), ["u1", "u2", "u3"]
    assert model.sparse is not None
    for user, (items, scores) in zip(users, out(model, users, 60), strict=True):
        wanted = sparse_shares(model, user)
        names = model.item_ids()
        order = np.argsort(-wanted, kind="stable")
        assert scores == [round(float(wanted[row]), 7) for row in order]
        assert wanted[[names.index(each) for each in items]] == pytest.approx(wanted[order], abs=1e-7)


CURVE = Curve(1.5, 0.3)


def sparse_model(weight: float) -> Model:
    """40 learned items, each with ten that it leads to; three users; six items in scope, two of them not learned."""
    chance, count = np.random.default_rng(3), 40
    leads = Ragged.of_lengths(
        np.full(count, 10), np.concatenate([chance.permutation(count)[:10] for _ in range(count)]).astype(np.int32)
    )
    weights, decay = chance.random((400, 2), np.float32)[:, 0] + np.float32(0.1), np.array([1, 0.5, 0.25], np.float32)
    prior, ranks = chance.random(count).astype(np.float32), np.arange(count, dtype=np.int32)
    items = SparseItems(leads, weights, decay, prior, ranks, 0.7)
    texts = JsonTexts.of([b'"i%02d"' % each for each in range(count)])
    order = np.arange(count, dtype=np.int32)
    model = Model(texts, order, np.full(count, 1 / count), sparse=items, users=_Newest(items), curve=CURVE)
    return exploring(model, ["i03", "i07", "i11", "i30"], NEW[:2], weight)


class _Newest:
    """Users, each of whom has met three items."""

    def __init__(self, items: SparseItems) -> None:
        self.items = items

    def lookup(self, ids: Sequence[str]) -> UserRows:
        vectors = np.array([[int(each[1:]), 4, -1] for each in ids], np.int32)
        return UserRows(np.ones(len(ids), np.bool_), vectors, self.items.log_normaliser(vectors, CURVE))


def sparse_shares(model: Model, user: str) -> NDArray[np.float64]:
    """By row, by the formula."""
    items, cold = model.sparse, model.cold
    assert items is not None
    assert cold is not None
    exponents, met = items.prior.astype(np.float64) * items.share, (int(user[1:]), 4)
    for place, item in enumerate(met):
        row = slice(*items.leads.indptr[item : item + 2])
        exponents[items.leads.values[row]] += items.decay[place] * items.weights[row].astype(np.float64)
    shares = (1 + 0.3 * 1.5 * exponents) ** (1 / 0.3)
    shares = np.append(shares / shares.sum(), [0.0, 0.0])
    mark = np.sort(np.delete(shares, [*cold.rows, *met]))[-25]
    bonus = replace(cold, weight=cold.weight**0.5).bonuses(hashes([user]), np.array([mark]))[0]
    shares[cold.rows] += bonus
    return np.asarray(shares / (1 + bonus.sum()))


def test_filters_count_for_items_in_scope_too(learned: Model) -> None:
    model = exploring(learned, YOUNG, NEW, 1.0)
    dropped = ["new-1", "i1", "i2"]
    keep = np.ones(len(model.item_ids_json), np.bool_)
    keep[model.rows_of(dropped[:2])] = False
    gone = Ragged.of_pairs(np.arange(2), np.repeat(model.rows_of(["i2"]), 2), 2)
    for user, found in zip(
        ("u1", "u2"), out(model, ["u1", "u2"], 30, Selection(Masks.same(keep, 2), gone)), strict=True
    ):
        assert same(found, expected(model, user, 30, dropped))
    only = Ragged.of_pairs(np.arange(2), np.repeat(model.rows_of(["new-2"]), 2), 2)
    for items, _ in out(model, ["u1", "u2"], 30, Selection(Masks.same(keep & False, 2), None, only)):
        assert items == ["new-2"]


def test_the_golden_cold_item(tmp_path: Path) -> None:
    """Its exponential is a quarter of the sum of the others'."""
    model = exploring(golden_model(tmp_path, UP.name), [], ["e"], 1.0)
    assert model.cold is not None
    bonus = model.cold.bonuses(hashes(["u1"]), np.array([GOLDEN["d"]]))[0, 0]
    model = replace(model, cold=replace(model.cold, weight=0.25 / bonus))
    assert b'"recommendedItems":["a","e","b"],"scores":[0.6759379,0.2,0.1166522]' in (
        answer(UP, model, Settings(3), [b'{"userId":"u1"}']).data
    )


def test_weight_zero_and_no_items_change_nothing(learned: Model) -> None:
    plain = out(learned, ["u1", "u2", "u3"], 25)
    assert out(exploring(learned, YOUNG, [], 0.0), ["u1", "u2", "u3"], 25) == plain


def test_a_bonus_depends_on_nothing_but_user_and_items(learned: Model) -> None:
    cold = exploring(learned, YOUNG, NEW, 0.3).cold
    assert cold is not None
    users = hashes([f"u{n}" for n in range(50)])
    marks = np.linspace(0.01, 0.1, 50)
    together = cold.bonuses(users, marks)
    one_by_one = [cold.bonuses(users[n : n + 1], marks[n : n + 1]) for n in range(50)]
    np.testing.assert_array_equal(np.concatenate(one_by_one), together)
    assert (together != replace(cold, seed=8).bonuses(users, marks)).all()


def test_an_item_passes_the_mark_as_often_as_the_formula_says(learned: Model) -> None:
    """Nine items that nobody has met have a tenth each of the 5 w^4 places, and little of them once all are known."""
    cold = exploring(learned, YOUNG, NEW, 0.8).cold
    assert cold is not None
    fresh = replace(cold, exposures=np.zeros(9, np.int64))
    users = hashes([f"u{n}" for n in range(20_000)])
    above = (fresh.bonuses(users, np.ones(20_000)) > 1).mean(axis=0)
    np.testing.assert_allclose(above, 5 * 0.8**4 / (1 + 9), atol=0.015)
    known = replace(cold, exposures=np.full(9, 99))
    assert (known.bonuses(users, np.ones(20_000)) > 1).mean() == pytest.approx(5 * 0.8**4 * 0.01 / 1.09, rel=0.1)


def test_the_others_shrink_by_one_factor_and_a_filter_changes_no_score(learned: Model) -> None:
    model = exploring(learned, YOUNG, NEW, 0.6)
    plain, found = out(learned, ["u1", "u2"], 300), out(model, ["u1", "u2"], 304)
    keep = np.arange(len(model.item_ids_json)) % 3 > 0
    filtered = out(model, ["u1", "u2"], 30, Selection(Masks.same(keep, 2)))
    for before, after, some in zip(plain, found, filtered, strict=True):
        scores = dict(zip(*after, strict=True))
        factors = [
            scores[item] / score for item, score in zip(*before, strict=True) if item not in YOUNG and score > 1e-3
        ]
        assert max(factors) == pytest.approx(min(factors), rel=1e-3)
        assert max(factors) < 1
        assert all(scores[item] == score for item, score in zip(*some, strict=True))


def test_the_share_of_items_in_scope_grows_with_the_weight(learned: Model) -> None:
    users = [f"u{n}" for n in range(40)]
    shares: list[float] = []
    for weight in (0.0, 0.1, 0.3, 0.6, 1.0):
        lists = out(exploring(learned, YOUNG, NEW, weight), users, 25)
        shares.append(float(np.mean([len({*YOUNG, *NEW} & set(items)) for items, _ in lists])))
    assert shares == sorted(shares)
    assert shares[0] < shares[2] < shares[-1]


def test_items_that_many_have_met_are_explored_less(learned: Model) -> None:
    cold = exploring(learned, [], NEW, 0.3).cold
    assert cold is not None
    mean: NDArray[np.float64] = np.mean(cold.bonuses(hashes([f"u{n}" for n in range(2000)]), np.ones(2000)), axis=0)
    np.testing.assert_allclose(mean[1:3] / mean[0], np.array([1 / 2, 1 / 3]) ** 0.25, rtol=0.02)
