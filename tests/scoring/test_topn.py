from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize_spark.scoring import bounds, products, search, topn
from personalize_spark.scoring.kernel import Kernel, kernels
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.topn import ItemMatrix, TopN, top_n

BEST = next(reversed([*kernels()]), None)


@pytest.fixture(scope="module", params=[None, BEST] if BEST else [None], ids=lambda native: native and native.name)
def native(request: pytest.FixtureRequest) -> Iterator[Kernel | None]:
    """All tests here run with numpy, and with the kernel where it is built."""
    with patch.object(topn, "kernel", lambda: request.param), patch.object(products, "kernel", lambda: request.param):
        yield request.param


pytestmark = pytest.mark.usefixtures("native")


def oracle(
    users: NDArray[np.float32],
    items: ItemMatrix,
    n: int,
    keep: Masks | None = None,
    excluded: Ragged[np.int32] | None = None,
) -> TopN:
    """Brute force: every product in float64 by the halving tree, every list by a full sort."""
    count = len(items.factors)
    best = TopN(np.full((len(users), n), -1, np.int32), np.full((len(users), n), -np.inf))
    for row, user in enumerate(users):
        terms = user.astype(np.float64)[:, None] * items.factors.T.astype(np.float64)
        while len(terms) & (len(terms) - 1):
            terms = np.vstack((terms, np.zeros((1, terms.shape[1]))))
        while len(terms) > 1:
            terms = terms[: len(terms) // 2] + terms[len(terms) // 2 :]
        gone = set() if excluded is None else set(excluded.row(row).tolist())
        kept = range(count) if keep is None else np.flatnonzero(keep.mask(int(keep.of[row]), count)).tolist()
        allowed = [i for i in kept if i not in gone]
        for place, item in enumerate(sorted(allowed, key=lambda i: (-terms[0, i], items.ranks[i]))[:n]):
            best.items[row, place], best.products[row, place] = item, terms[0, item]
    return best


def assert_same(found: TopN, expected: TopN) -> None:
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.products, expected.products)


@contextmanager
def sizes(width: int, users: int, batch: int, group: int, pool: int) -> Iterator[None]:
    """Tiles of `width` items times `users` users, batches of `batch` users, other groups and pools."""
    with (
        patch.object(search, "TILE_WIDTH", width),
        patch.object(search, "_BLOCK_USERS", users),
        patch.object(search, "_GROUP", group),
        patch.object(search, "_POOL", pool),
        patch.object(search, "_HITS", max(1, pool // 4)),
        patch.object(topn, "BATCH_USERS", batch),
    ):
        yield


SMALL = (32, 3, 5, 4, 40)


def matrix(factors: NDArray[np.float32], seed: int, users: NDArray[np.float32] | None = None) -> ItemMatrix:
    ranks = np.random.default_rng(seed).permutation(len(factors)).astype(np.int32)
    return ItemMatrix.sort(factors, ranks, users)[0]


def masks(rng: np.random.Generator, users: int, items: int) -> Masks:
    """A few masks, unlike each other or nearly equal, in runs of users, or one user here and one there."""
    count = int(rng.integers(1, 5))
    of = rng.integers(0, count, users)
    held = rng.random((count, items)) < rng.random((count, 1))
    if rng.random() < 0.5:
        held = held[:1] ^ (rng.random((count, items)) < 0.02)
    bits = np.packbits(held, axis=1)
    return Masks(bits, np.sort(of) if rng.random() < 0.5 else of)


def ragged(rng: np.random.Generator, users: int, items: int, most: int) -> Ragged[np.int32]:
    counts = rng.integers(0, most + 1, users)
    indptr = np.concatenate(([0], np.cumsum(counts)))
    return Ragged(indptr, rng.integers(0, items, int(indptr[-1])).astype(np.int32))


def normal(rng: np.random.Generator, rows: int, width: int) -> NDArray[np.float32]:
    """Vectors of very different lengths."""
    lengths = np.exp(rng.standard_normal((rows, 1)))
    vectors: NDArray[np.float32] = (rng.standard_normal((rows, width)) * lengths).astype(np.float32)
    return vectors


@settings(max_examples=2 * settings().max_examples)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(0, 12),
    items=st.integers(0, 150),
    width=st.sampled_from([1, 2, 3, 8, 17]),
    n=st.sampled_from([1, 2, 5, 30, 200]),
    scales=st.tuples(*[st.sampled_from([1e-44, 1e-30, 1.0, -1.0, 1e30])] * 2),
    whole=st.booleans(),
    spread=st.booleans(),
)
def test_the_answer_is_that_of_brute_force(
    seed: int, users: int, items: int, width: int, n: int, scales: tuple[float, float], *, whole: bool, spread: bool
) -> None:
    rng = np.random.default_rng(seed)
    people, factors = normal(rng, users, width), normal(rng, items, width)
    if whole:
        people, factors = np.round(people), np.round(factors)
    people, factors = people * np.float32(scales[0]), factors * np.float32(scales[1])
    side = matrix(factors, seed, normal(rng, 20, width) if spread else None)
    keep = masks(rng, users, items) if rng.random() < 0.7 else None
    excluded = ragged(rng, users, items, 20) if items and rng.random() < 0.5 else None
    expected = oracle(people, side, n, keep, excluded)
    assert_same(top_n(people, side, n, included=keep, excluded=excluded), expected)
    with sizes(*SMALL):
        assert_same(top_n(people, side, n, included=keep, excluded=excluded), expected)


@pytest.mark.parametrize("kept", [1, 3, 29])
@pytest.mark.parametrize("users", [57, 58])
def test_a_narrow_filter_gives_the_answer_of_brute_force_to_few_and_to_many_users(users: int, kept: int) -> None:
    """29 of 300 items are gathered; from 58 users on they are quantised for the kernel. One user's vector is zero."""
    rng = np.random.default_rng(kept)
    items, vectors = matrix(normal(rng, 300, 6), kept), normal(rng, users, 6)
    vectors[5] = 0
    mask = np.zeros(300, np.bool_)
    mask[rng.permutation(300)[:kept]] = True
    keep = Masks(np.packbits(mask)[None], np.zeros(users, np.int64))
    excluded = Ragged.of_pairs(rng.integers(0, users, 3000), rng.integers(0, 300, 3000), users)
    for gone in (None, excluded):
        assert_same(top_n(vectors, items, 10, included=keep, excluded=gone), oracle(vectors, items, 10, keep, gone))


@pytest.mark.slow
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("n", [1, 25, 100, 500])
def test_the_answer_is_that_of_brute_force_over_many_tiles(n: int, *, spread: bool) -> None:
    rng = np.random.default_rng(n)
    people, factors = normal(rng, 20, 64), normal(rng, 7000, 64)
    side = matrix(factors, n, normal(rng, 100, 64) if spread else None)
    excluded = ragged(rng, 20, 7000, 400)
    assert_same(top_n(people, side, n, excluded=excluded), oracle(people, side, n, excluded=excluded))


def near_equal(rng: np.random.Generator, width: int) -> tuple[NDArray[np.float32], ItemMatrix]:
    """Items that differ in the last bits of one vector: float32 products order them at random."""
    base = rng.uniform(1, 2, width).astype(np.float32)
    users = base * (1 + rng.integers(-3, 4, (20, width)).astype(np.float32) * np.float32(2**-20))
    ulps = rng.integers(-3, 4, (5000, width)).astype(np.float32)
    return users, matrix(base * (1 + ulps * np.float32(2**-23)), 3)


@pytest.mark.slow
@pytest.mark.parametrize("width", [2, 3, 64])
def test_products_that_float32_cannot_tell_apart_are_in_exact_order(width: int) -> None:
    users, side = near_equal(np.random.default_rng(4), width)
    expected = oracle(users, side, 25)
    assert_same(top_n(users, side, 25), expected)
    with sizes(64, 3, 5, 8, 500):
        assert_same(top_n(users, side, 25), expected)


@pytest.mark.slow
def test_without_the_margin_items_are_lost() -> None:
    users, side = near_equal(np.random.default_rng(4), 64)
    side = replace(side, screen=None)
    with patch.object(bounds, "margins", lambda lengths, _item, _width: 0 * lengths):
        assert (top_n(users, side, 25).items != oracle(users, side, 25).items).any()


def test_an_item_at_its_bound_is_found_behind_longer_ones() -> None:
    user = np.array([[1, 0]], np.float32)
    longer = np.array([[0.98, 0.4]] * 40, np.float32)
    side = matrix(np.concatenate((longer, user)), 17)
    with sizes(*SMALL):
        best = top_n(user, side, 2)
    assert best.items[0, 0] == 40
    assert best.products[0].tolist() == [1.0, float(np.float32(0.98))]


@pytest.mark.parametrize("group", [1, 4, 16])
@pytest.mark.parametrize(("width", "users", "batch"), [(16, 1, 1), (64, 7, 64), (256, 64, 9)])
def test_the_answer_does_not_depend_on_the_sizes_of_the_work(width: int, users: int, batch: int, group: int) -> None:
    rng = np.random.default_rng(5)
    people, side = normal(rng, 50, 20), matrix(normal(rng, 1500, 20), 5)
    keep, excluded = masks(rng, 50, 1500), ragged(rng, 50, 1500, 60)
    expected = top_n(people, side, 10, included=keep, excluded=excluded)
    with sizes(width, users, batch, group, 300):
        assert_same(top_n(people, side, 10, included=keep, excluded=excluded), expected)


def test_a_user_gets_the_same_list_alone_as_in_company() -> None:
    rng = np.random.default_rng(6)
    people, side = normal(rng, 300, 64), matrix(normal(rng, 5000, 64), 6)
    together = top_n(people, side, 25)
    for row in range(0, 300, 29):
        alone = top_n(people[row : row + 1], side, 25)
        assert_same(alone, TopN(together.items[row : row + 1], together.products[row : row + 1]))


def test_the_order_of_the_users_does_not_matter() -> None:
    rng = np.random.default_rng(7)
    people, side = normal(rng, 600, 16), matrix(normal(rng, 3000, 16), 7)
    together, order = top_n(people, side, 25), rng.permutation(600)
    assert_same(top_n(people[order], side, 25), TopN(together.items[order], together.products[order]))


def test_the_basis_changes_the_work_and_not_the_answer() -> None:
    rng = np.random.default_rng(8)
    people, side = normal(rng, 100, 16), matrix(normal(rng, 3000, 16), 8, normal(rng, 50, 16))
    plain = ItemMatrix(side.factors, side.norms, side.ranks)
    assert_same(top_n(people, plain, 25), top_n(people, side, 25))


@pytest.mark.slow
def test_thousands_of_ties_go_to_the_lowest_ranks() -> None:
    side = matrix(np.ones((9000, 8), np.float32), 9)
    best = top_n(np.ones((300, 8), np.float32), side, 25)
    assert (side.ranks[best.items] == np.arange(25)).all()
    assert (best.products == 8.0).all()


def test_ties_at_the_end_of_the_list_are_cut_by_rank() -> None:
    factors = np.repeat(np.arange(1, 5, dtype=np.float32), 2000)[:, None]
    side = matrix(factors, 10)
    users = np.array([[1.0], [-1.0], [2.0]], np.float32)
    assert_same(top_n(users, side, 3000), oracle(users, side, 3000))


def test_a_zero_vector_gets_the_lowest_ranks() -> None:
    rng = np.random.default_rng(11)
    side, excluded = matrix(normal(rng, 3000, 4), 11), ragged(rng, 3, 3000, 500)
    users = np.zeros((3, 4), np.float32)
    users[1] = 1
    keep = Masks.same(rng.random(3000) < 0.5, 3)
    assert_same(top_n(users, side, 25, included=keep, excluded=excluded), oracle(users, side, 25, keep, excluded))


def test_zero_items_tie() -> None:
    factors = np.zeros((5000, 4), np.float32)
    factors[::100] = -1
    side, users = matrix(factors, 12), np.array([[1, 1, 1, 1], [-1, -1, -1, -1]], np.float32)
    assert_same(top_n(users, side, 60), oracle(users, side, 60))


def test_lists_end_with_the_candidates() -> None:
    side = matrix(np.arange(1, 4, dtype=np.float32)[:, None], 13)
    best = top_n(np.ones((1, 1), np.float32), side, 5, included=Masks.same(np.array([True, False, True]), 1))
    assert best.items.tolist() == [[0, 2, -1, -1, -1]]
    assert best.products.tolist() == [[3.0, 1.0, -np.inf, -np.inf, -np.inf]]


@pytest.mark.parametrize(("users", "items"), [(0, 5), (3, 0), (0, 0)])
def test_nothing_to_do_gives_empty_lists(users: int, items: int) -> None:
    best = top_n(np.ones((users, 2), np.float32), matrix(np.ones((items, 2), np.float32), 14), 4)
    assert best.items.shape == best.products.shape == (users, 4)
    assert (best.items[:, items:] == -1).all()


def test_a_filter_may_keep_nothing() -> None:
    side = matrix(np.ones((9, 2), np.float32), 15)
    best = top_n(np.ones((2, 2), np.float32), side, 3, included=Masks.same(np.zeros(9, np.bool_), 2))
    assert (best.items == -1).all()


def test_factors_may_be_a_read_only_map(tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(16)
    side, people = matrix(normal(rng, 3000, 8), 16), normal(rng, 5, 8)
    path = tmp_path_factory.mktemp("map") / "factors.npy"
    np.save(path, side.factors)
    mapped = ItemMatrix(np.load(path, mmap_mode="r"), side.norms, side.ranks)
    assert_same(top_n(people, mapped, 25), top_n(people, side, 25))


def test_the_matrix_is_sorted_by_norm_then_rank() -> None:
    side, order = ItemMatrix.sort(
        np.array([[1, 0], [3, 4], [0, 1], [0, 0]], np.float32), np.array([3, 2, 1, 0], np.int32)
    )
    assert order.tolist() == [1, 2, 0, 3]
    assert side.ranks.tolist() == [2, 1, 3, 0]
    assert (np.diff(side.norms) <= 0).all()
    assert side.factors.tolist() == [[3, 4], [0, 1], [1, 0], [0, 0]]


@pytest.mark.slow
def test_ties_under_many_masks_cost_no_memory() -> None:
    items, users = 8_192, 512
    tied = matrix(np.ones((items, 2), np.float32), 0)
    bits = np.full((users, items // 8), 0xFF, np.uint8)
    bits[:, 0] = np.arange(users) & 0xFF
    tracemalloc.start()
    top_n(np.ones((users, 2), np.float32), tied, 3, included=Masks(bits, np.arange(users)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 48 << 20  # 16 MiB of them are candidates; all ties together are 84
