"""The sparse scorer held against sums that are written out number by number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize_spark.scoring import sparse, topn
from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.kernel import Kernel, kernels
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection, best_of
from personalize_spark.scoring.softmax import log_normalisers
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import products_of, top_n

BEST = next(reversed([*kernels()]), None)


@pytest.fixture(
    autouse=True, scope="module", params=[None, BEST] if BEST else [None], ids=lambda native: native and native.name
)
def native(request: pytest.FixtureRequest) -> Iterator[Kernel | None]:
    """All tests here run with numpy, and with the kernel where it is built."""
    with patch.object(topn, "kernel", lambda: request.param):
        yield request.param


Lists = list[list[tuple[int, float]]]


def drawn(
    seed: int, count: int = 30, users: int = 12, width: int = 4, share: float = 0.5
) -> tuple[SparseItems, NDArray[np.int32]]:
    """Items of few distinct weights, so that products tie, and users of 0 to `width` items."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, min(count, 8) + 1, count)
    leads = Ragged.of_lengths(
        lengths, np.concatenate([[], *(rng.permutation(count)[:n] for n in lengths)]).astype(np.int32)
    )
    weights = rng.choice(np.array([0.25, 0.5, 1 / 3], np.float32), len(leads.values))
    prior, ranks = rng.integers(0, 4, count).astype(np.float32), rng.permutation(count).astype(np.int32)
    decay = (0.5 ** np.arange(width)).astype(np.float32)
    of_user = [rng.permutation(count)[: rng.integers(0, width + 1)] for _ in range(users)]
    histories = Ragged.of_lengths(
        np.array([len(each) for each in of_user], np.int64), np.concatenate([[], *of_user]).astype(np.int32)
    )
    return SparseItems(leads, weights, decay, prior, ranks, share), histories.padded(width, -1)


def product(items: SparseItems, user: NDArray[np.int32], item: int) -> float:
    total = 0.0
    for place, row in enumerate(user.tolist()):
        if row >= 0:
            found = dict(
                zip(
                    items.leads.row(row).tolist(), items.weights[slice(*items.leads.indptr[row : row + 2])], strict=True
                )
            )
            total += float(items.decay[place]) * float(found.get(item, 0.0))
    return total + float(items.prior[item]) * items.share


def oracle(items: SparseItems, users: NDArray[np.int32], n: int, selection: Selection) -> Lists:
    lists = []
    for line, user in enumerate(users):
        allowed = selection.allows(np.full(len(items), line), np.arange(len(items)))
        pairs = [(item, product(items, user, item)) for item in np.flatnonzero(allowed).tolist()]
        lists.append(sorted(pairs, key=lambda pair: (-pair[1], items.ranks[pair[0]]))[:n])
    return lists


def found(items: SparseItems, users: NDArray[np.int32], n: int, selection: Selection) -> Lists:
    best = best_of(users, items, n, selection)
    return [
        [(item, value) for item, value in zip(*pair, strict=True) if item >= 0]
        for pair in zip(best.items.tolist(), best.products.tolist(), strict=True)
    ]


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 40),
    count=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.5]),
    small=st.booleans(),
)
def test_the_answer_is_that_of_brute_force_whatever_goes_together(
    seed: int, n: int, count: int, share: float, *, small: bool
) -> None:
    items, users = drawn(seed, count, share=share)
    rng = np.random.default_rng(seed)
    kept = np.packbits(rng.random((2, count)) < 0.5, axis=1)
    masks = Masks(kept, rng.integers(0, 2, len(users)))
    excluded, also = (
        Ragged.of_pairs(rng.integers(0, len(users), 20), rng.integers(0, count, 20), len(users)) for _ in range(2)
    )
    outside = also.where(~masks.contains(also.row_ids(), also.values)).difference(excluded)
    for selection in (Selection(), Selection(excluded=excluded), Selection(masks, excluded, outside)):
        expected = oracle(items, users, n, selection)
        with patch.multiple(sparse, _CELLS=50, _TERMS=9) if small else nullcontext():
            assert found(items, users, n, selection) == expected  # to the bit


def adversarial(rng: np.random.Generator, kind: str, count: int) -> tuple[SparseItems, NDArray[np.int32]]:
    """Items and users of a kind; few lists in a large catalogue, so that items are listed, and long ones, so that all are looked at."""
    longest = min(count, int(rng.choice([1, 4, 200])))
    lengths = rng.integers(0, longest + 1, count) * (rng.random(count) < rng.choice([0.1, 1.0]))
    leads = Ragged.of_lengths(
        lengths, np.concatenate([[], *(rng.permutation(count)[:n] for n in lengths)]).astype(np.int32)
    )
    size = len(leads.values)
    weights = {
        "few values": rng.choice([0.25, 0.5, 1 / 3], size),
        "one value": np.ones(size),
        "denormals": rng.integers(1, 4, size) * 2.0**-149,
        "huge spread": 10.0 ** rng.uniform(-37, 37, size),
    }[kind].astype(np.float32)
    width = int(rng.integers(1, 7))
    prior = rng.integers(0, 3, count).astype(np.float32) if rng.random() < 0.7 else np.zeros(count, np.float32)
    decay = (0.5 ** (np.arange(width) / 3)).astype(np.float32)
    users = rng.integers(0, count, (9, width)).astype(np.int32)  # an item may come twice
    users[np.arange(width) >= rng.integers(0, width + 1, 9)[:, None]] = -1
    share = float(rng.choice([0.0, 0.5, 2.0**-149, 1e30]))
    return SparseItems(leads, weights, decay, prior, rng.permutation(count).astype(np.int32), share), users


@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["few values", "one value", "denormals", "huge spread"]),
    count=st.sampled_from([1, 7, 8, 9, 64, 700, 1500]),
    n=st.sampled_from([1, 2, 25, 100, 700]),
    limits=st.tuples(st.booleans(), st.booleans()),
)
def test_lists_of_adversarial_models_have_the_bytes_of_brute_force(
    seed: int, kind: str, count: int, n: int, limits: tuple[bool, bool]
) -> None:
    rng = np.random.default_rng(seed)
    items, users = adversarial(rng, kind, count)
    masks = Masks(np.packbits(rng.random((2, count)) < rng.choice([0.02, 0.9]), axis=1), rng.integers(0, 2, len(users)))
    banned = Ragged.of_pairs(rng.integers(0, len(users), 90), rng.integers(0, count, 90), len(users))
    selection = Selection(masks if limits[0] else None, banned if limits[1] else None)
    best = best_of(users, items, n, selection)
    for line, user in enumerate(users):
        sums = np.zeros(count)
        for place, row in enumerate(user[user >= 0]):
            found = slice(*items.leads.indptr[row : row + 2])
            sums[items.leads.values[found]] += items.weights[found].astype(np.float64) * items.decay[place]
        products = sums + items.offsets
        allowed = np.flatnonzero(selection.allows(np.full(count, line), np.arange(count)))
        expected = allowed[np.lexsort((items.ranks[allowed], -products[allowed]))][:n]
        assert best.items[line].tolist() == [*expected, *[-1] * (n - len(expected))]
        assert best.products[line, : len(expected)].tobytes() == products[expected].tobytes()


@pytest.mark.parametrize("count", [800, 20_000])
@pytest.mark.parametrize("n", [1, 25, 200, 700])
def test_equal_products_go_by_rank_whether_led_to_or_popular(count: int, n: int) -> None:
    """300 items are led to, 300 others are as popular; the kernel looks at all 800 items, and lists what it touched of 20,000."""
    leads = Ragged.of_lengths(np.array([300] + [0] * (count - 1)), np.arange(300, dtype=np.int32))
    prior = ((np.arange(count) >= 300) & (np.arange(count) < 600)).astype(np.float32)
    ranks = np.random.default_rng(n).permutation(count).astype(np.int32)
    items = SparseItems(leads, np.ones(300, np.float32), np.ones(1, np.float32), prior, ranks, 1.0)
    best = top_n(np.zeros((2, 1), np.int32), items, n)
    expected = [*(np.argsort(ranks[:600])), *(600 + np.argsort(ranks[600:]))][:n]
    assert best.items.tolist() == [expected, expected]


def test_an_excluded_item_that_the_model_has_not_learned_is_no_error() -> None:
    items, users = drawn(0)
    excluded = Ragged.of_pairs(np.arange(len(users)), np.full(len(users), len(items)), len(users))
    assert found(items, users, 5, Selection(excluded=excluded)) == found(items, users, 5, Selection())


@given(seed=st.integers(0, 10_000))
def test_listed_pairs_have_the_products_of_the_lists(seed: int) -> None:
    items, users = drawn(seed)
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(0, len(users), 50), rng.integers(0, len(items), 50)
    expected = [product(items, users[row], int(column)) for row, column in zip(rows, columns, strict=True)]
    assert products_of(users, rows, items, columns).tolist() == expected
    with patch.multiple(sparse, _CELLS=50, _TERMS=9):
        assert products_of(users, rows, items, columns).tolist() == expected


@pytest.mark.parametrize("curve", [Curve(0.1), Curve(3.0), Curve(200.0), Curve(3.0, 0.01), Curve(200.0, 0.3)])
def test_the_normaliser_is_that_of_all_products(curve: Curve) -> None:
    items, users = drawn(3)
    for user, value in zip(users, log_normalisers(users, items, curve), strict=True):
        exponents = curve.exponents(np.array([product(items, user, item) for item in range(len(items))]))
        assert value == pytest.approx(np.logaddexp.reduce(exponents), rel=1e-12)


def test_no_items_and_no_users_are_no_error() -> None:
    items, users = drawn(1)
    assert top_n(users[:0], items, 3).items.shape == (0, 3)
    empty = replace(
        items, leads=Ragged(np.zeros(1, np.int64), np.empty(0, np.int32)), ranks=items.ranks[:0], prior=items.prior[:0]
    )
    assert (top_n(np.full((2, 4), -1, np.int32), empty, 3).items == -1).all()
    assert log_normalisers(np.full((1, 4), -1, np.int32), empty, Curve())[0] == -math.inf
