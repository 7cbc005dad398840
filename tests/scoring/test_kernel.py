"""The compiled search and product, each level of instructions of this machine, held against numpy; `test_topn` runs on them too."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize_spark.scoring.items import ItemMatrix
from personalize_spark.scoring.kernel import VARIABLE, Kernel, kernels
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.products import products
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.screen import Screen
from personalize_spark.scoring.topn import TopN, top_n

KERNELS = [*kernels()]
LEVELS = pytest.mark.parametrize("native", KERNELS, ids=lambda native: native.name)


def found(
    native: Kernel,
    users: NDArray[np.float32],
    items: ItemMatrix,
    n: int,
    included: NDArray[np.bool_] | None = None,
    excluded: Ragged[np.int32] | None = None,
) -> TopN:
    best = TopN(np.full((len(users), n), -1, np.int32), np.full((len(users), n), -np.inf))
    native.top_n(users, items, (best.items, best.products), included, excluded)
    return best


def by_numpy(
    users: NDArray[np.float32],
    items: ItemMatrix,
    n: int,
    included: NDArray[np.bool_] | None = None,
    excluded: Ragged[np.int32] | None = None,
) -> TopN:
    masks = None if included is None else Masks.same(included, len(users))
    return top_n(users, replace(items, screen=None), n, included=masks, excluded=excluded)


def assert_same_bytes(left: TopN, right: TopN) -> None:
    np.testing.assert_array_equal(left.items, right.items)
    assert left.products.tobytes() == right.products.tobytes()


def sorted_items(factors: NDArray[np.float32], seed: int, users: NDArray[np.float32] | None = None) -> ItemMatrix:
    ranks = np.random.default_rng(seed).permutation(len(factors)).astype(np.int32)
    return ItemMatrix.sort(factors, ranks, users)[0]


def adversarial(rng: np.random.Generator, kind: str, rows: int, width: int) -> NDArray[np.float32]:
    vectors = rng.standard_normal((rows, width))
    match kind:
        case "equal norms":
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        case "one large coordinate":
            vectors[np.arange(rows), rng.integers(0, width, rows)] *= 1e6
        case "denormals":
            vectors *= 1e-42
        case "zeros":
            vectors[rng.random(rows) < 0.5] = 0
        case "huge spread":
            vectors *= 10.0 ** rng.uniform(-40, 37, (rows, 1))
        case "few values":
            vectors = np.round(vectors)
        case "one huge item":
            vectors[0] *= 1e35
        case "copies":
            vectors[rng.integers(0, rows, rows // 2)] = vectors[0]
    result: NDArray[np.float32] = np.clip(vectors, -1e38, 1e38).astype(np.float32)
    return result


KINDS = st.sampled_from(
    (
        "normal",
        "equal norms",
        "one large coordinate",
        "denormals",
        "zeros",
        "huge spread",
        "few values",
        "one huge item",
        "copies",
    )
)


@pytest.mark.slow
@pytest.mark.skipif(not KERNELS, reason="there is no compiled kernel")
@given(
    seed=st.integers(0, 2**32 - 1),
    kinds=st.tuples(KINDS, KINDS),
    width=st.sampled_from([1, 2, 3, 4, 5, 31, 64, 100, 512]),
    items=st.sampled_from([1, 63, 64, 65, 700, 1500]),
    n=st.sampled_from([1, 2, 7, 25, 200, 2048]),
    limits=st.tuples(*[st.booleans()] * 3),
)
def test_the_lists_are_those_of_numpy(
    seed: int, kinds: tuple[str, str], width: int, items: int, n: int, limits: tuple[bool, bool, bool]
) -> None:
    rng = np.random.default_rng(seed)
    people, factors = adversarial(rng, kinds[0], 15, width), adversarial(rng, kinds[1], items, width)
    people = people[people.any(axis=1)]
    side = sorted_items(factors, seed, adversarial(rng, kinds[0], 40, width) if limits[0] else None)
    included = rng.random(items) < rng.random() if limits[1] else None
    counts = rng.integers(0, min(items, 300) + 1, len(people))
    excluded = Ragged.of_lengths(counts, rng.integers(0, items, int(counts.sum())).astype(np.int32))
    asked = included, excluded if limits[2] else None
    expected = by_numpy(people, side, n, *asked)
    for native in KERNELS:
        assert_same_bytes(found(native, people, side, n, *asked), expected)


@LEVELS
@pytest.mark.parametrize("n", [1, 25, 100])
def test_long_users_whose_bounds_cover_more_than_a_pool(native: Kernel, n: int) -> None:
    """All items of nearly one direction: the screen cannot tell them apart, and the exact products must."""
    rng = np.random.default_rng(n)
    base = rng.standard_normal(64)
    factors = (base * (1 + 1e-4 * rng.standard_normal((6000, 64)))).astype(np.float32)
    people = (base * 50 + rng.standard_normal((9, 64))).astype(np.float32)
    side = sorted_items(factors, n)
    assert_same_bytes(found(native, people, side, n), by_numpy(people, side, n))


@LEVELS
def test_more_exact_ties_than_a_pool_holds_go_to_the_lowest_ranks(native: Kernel) -> None:
    side = sorted_items(np.ones((9000, 8), np.float32), 9)
    best = found(native, np.ones((20, 8), np.float32), side, 25)
    assert (side.ranks[best.items] == np.arange(25)).all()
    assert (best.products == 8.0).all()


@pytest.mark.slow
@LEVELS
def test_more_users_than_go_over_the_tiles_together(native: Kernel) -> None:
    rng = np.random.default_rng(3)
    people, side = (adversarial(rng, "normal", rows, 8) for rows in (700, 2000))
    matrix = sorted_items(side, 3, people)
    for n in (5, 1000):
        assert_same_bytes(found(native, people, matrix, n), by_numpy(people, matrix, n))


def near_each_other(rng: np.random.Generator) -> tuple[NDArray[np.float32], ItemMatrix]:
    """Two coordinates: the error of a product comes near its bound."""
    people = adversarial(rng, "equal norms", 2000, 2)
    return people, sorted_items(adversarial(rng, "equal norms", 3000, 2), 3)


@LEVELS
def test_with_half_the_margin_items_are_lost(native: Kernel) -> None:
    people, side = near_each_other(np.random.default_rng(4))
    expected = by_numpy(people, side, 1)
    assert_same_bytes(found(native, people, side, 1), expected)
    assert side.screen is not None
    half = replace(side, screen=replace(side.screen, blocks=side.screen.blocks * [1, 0.5, 0.5]))
    assert (found(native, people, half, 1).items != expected.items).any()


@LEVELS
def test_bounds_that_float32_cannot_hold_beside_a_huge_item_lose_nothing(native: Kernel) -> None:
    rng = np.random.default_rng(6)
    people, factors = np.abs(rng.standard_normal((20, 8))), -np.abs(rng.standard_normal((5000, 8)))
    factors *= 1e-9
    factors[0] = -1e37
    side = sorted_items(factors.astype(np.float32), 6)
    for n in (1, 25):
        assert_same_bytes(
            found(native, people.astype(np.float32), side, n), by_numpy(people.astype(np.float32), side, n)
        )


@LEVELS
@pytest.mark.parametrize("width", [1, 2, 3, 8, 33, 64, 65, 512])
def test_paired_products_have_the_bits_of_numpy(native: Kernel, width: int) -> None:
    rng = np.random.default_rng(width)
    for kind in ("normal", "huge spread", "denormals", "few values"):
        users, items = adversarial(rng, kind, 20, width), adversarial(rng, kind, 60, width)
        rows, columns = np.sort(rng.integers(0, 20, 333)), rng.integers(0, 60, 333)
        assert (
            native.paired_products(users, rows, items, columns).tobytes()
            == products(users[rows], items[columns]).tobytes()
        )


@LEVELS
@pytest.mark.parametrize(("row", "column"), [(2, 0), (-1, 0), (0, 3), (0, -1)])
def test_a_pair_that_is_not_there_is_refused(native: Kernel, row: int, column: int) -> None:
    users, items = np.ones((2, 4), np.float32), np.ones((3, 4), np.float32)
    with pytest.raises(IndexError):
        native.paired_products(users, np.array([row]), items, np.array([column]))


def test_the_bound_of_the_screen_holds() -> None:
    rng = np.random.default_rng(8)
    people, factors = adversarial(rng, "normal", 30, 17), adversarial(rng, "huge spread", 300, 17)
    side = sorted_items(factors, 8, people)
    screen = side.screen
    assert screen is not None
    whole = screen.rows.swapaxes(2, 3).reshape(-1, 64, 20)[:, :, :17].astype(np.float64)
    near = (whole * screen.blocks[:, 0, None, None]).reshape(-1, 17)[:300]
    turned = people @ screen.turn
    error = np.abs(turned @ near.T - products(people[:, None], side.factors[None]))
    margin = np.linalg.norm(turned, axis=1)[:, None] * np.repeat(screen.blocks[:, 2], 64)[:300]
    assert (error <= margin).all()
    assert (np.linalg.norm(near, axis=1) <= np.repeat(screen.blocks[:, 1], 64)[:300]).all()


def test_a_rank_that_whole_numbers_cannot_add_up_has_no_screen() -> None:
    assert Screen.of(np.zeros((3, 0), np.float32), None) is None


def run(value: str) -> subprocess.CompletedProcess[str]:
    code = "from personalize_spark.scoring.kernel import kernel; found = kernel(); print(found and found.name)"
    environment = os.environ | {VARIABLE: value}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_variable_says_what_runs() -> None:
    best = KERNELS[-1].name if KERNELS else None
    assert run("numpy").stdout == "None\n"
    assert run("auto").stdout == f"{best}\n"
    native = run("native")
    assert native.stdout == f"{best}\n" if best else "no compiled kernel" in native.stderr
    assert "set it to numpy, native or auto" in run("fast").stderr


def test_the_kernel_is_built_where_make_installs() -> None:
    assert KERNELS or not os.environ.get("CI")


@LEVELS
@pytest.mark.parametrize("longest", [1, 40, 700])
def test_lists_are_in_the_order_of_their_values_then_ranks(native: Kernel, longest: int) -> None:
    rng = np.random.default_rng(longest)
    for kind in (1.0, 1e-40, 1e300):
        lengths = rng.integers(0, longest + 1, 50)
        values = Ragged.of_lengths(lengths, np.round(rng.standard_normal(int(lengths.sum())), 2) * kind)
        ranks = rng.permutation(len(values.values)).astype(np.int32)
        expected = np.lexsort((ranks, -values.values, values.row_ids()))
        np.testing.assert_array_equal(native.order_of_lists(values, ranks), expected)
    with pytest.raises(ValueError, match="ranks for"):
        native.order_of_lists(values, ranks[1:])


@LEVELS
@pytest.mark.parametrize("n", [5, 40, 500])
def test_products_that_float32_does_not_part_are_in_their_order(native: Kernel, n: int) -> None:
    """The order is counted by products rounded to float32, where none of these are equal."""
    factors = np.ones((600, 2), np.float32)
    factors[:, 1] = np.random.default_rng(1).permutation(600) * 2.0**-40
    items, users = sorted_items(factors, 3), np.array([[1, 1], [-1, 2], [1e30, 1e30]], np.float32)
    lists = found(native, users, items, n)
    assert len(np.unique(lists.products[0].astype(np.float32))) == 1
    assert_same_bytes(lists, by_numpy(users, items, n))
