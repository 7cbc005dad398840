from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.products import products
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection, best_of, popular_of
from personalize_spark.scoring.topn import ItemMatrix

ITEMS, LINES = 12, 5
MATRIX, _ = ItemMatrix.sort(
    np.random.default_rng(2).integers(-2, 3, (ITEMS, 3)).astype(np.float32), np.arange(ITEMS, dtype=np.int32)
)
VECTORS = np.random.default_rng(3).integers(-2, 3, (LINES, 3)).astype(np.float32)
POPULAR = np.random.default_rng(4).permutation(ITEMS).astype(np.int32)

MASK = st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS).map(np.array)
PAIRS = st.lists(st.tuples(st.integers(0, LINES - 1), st.integers(0, ITEMS - 1)), max_size=25)


def ragged(pairs: list[tuple[int, int]]) -> Ragged[np.int32]:
    lines, items = np.array([line for line, _ in pairs], np.int64), np.array([item for _, item in pairs], np.int64)
    return Ragged.of_pairs(lines, items, LINES)


def selection(
    keep: list[NDArray[np.bool_]], of: list[int], gone: list[tuple[int, int]] | None, more: list[tuple[int, int]] | None
) -> Selection:
    masks = Masks(np.packbits(np.array(keep), axis=1), np.array(of) % len(keep)) if keep else None
    also = None
    if more is not None and masks is not None:
        also = ragged([(line, item) for line, item in more if not keep[masks.of[line]][item]])
    return Selection(masks, None if gone is None else ragged(gone), also)


def candidates(chosen: Selection, line: int) -> list[int]:
    may = (
        np.ones(ITEMS, np.bool_)
        if chosen.included is None
        else chosen.included.mask(int(chosen.included.of[line]), ITEMS)
    )
    if chosen.excluded is not None:
        may[chosen.excluded.values[chosen.excluded.row_ids() == line]] = False
    if chosen.also_included is not None:
        may[chosen.also_included.values[chosen.also_included.row_ids() == line]] = True
    return [int(item) for item in np.flatnonzero(may)]


OF = st.lists(st.integers(0, 3), min_size=LINES, max_size=LINES)
SELECTION = st.builds(selection, st.lists(MASK, max_size=3), OF, st.none() | PAIRS, st.none() | PAIRS)


@given(SELECTION, st.integers(1, ITEMS + 2))
def test_the_best_are_those_of_brute_force(chosen: Selection, n: int) -> None:
    best = best_of(VECTORS, MATRIX, n, chosen)
    for line in range(LINES):
        scored = [(float(products(VECTORS[line], MATRIX.factors[item])), item) for item in candidates(chosen, line)]
        ordered = sorted(scored, key=lambda pair: (-pair[0], MATRIX.ranks[pair[1]]))[:n]
        expected = [item for _, item in ordered] + [-1] * (n - len(ordered))
        assert best.items[line].tolist() == expected
        assert best.products[line][: len(ordered)].tolist() == [product for product, _ in ordered]


@given(SELECTION, st.integers(1, ITEMS + 2))
def test_the_popular_are_those_of_brute_force(chosen: Selection, n: int) -> None:
    found = popular_of(POPULAR, LINES, n, chosen)
    for line in range(LINES):
        may = set(candidates(chosen, line))
        expected = [item for item in POPULAR.tolist() if item in may][:n]
        assert found[line].tolist() == expected + [-1] * (n - len(expected))


@given(SELECTION)
def test_no_lines_get_no_lists(chosen: Selection) -> None:
    none = chosen.take(np.empty(0, np.int64))
    assert popular_of(POPULAR, 0, 4, none).shape == (0, 4)
    assert best_of(VECTORS[:0], MATRIX, 4, none).items.shape == (0, 4)


@given(SELECTION, st.sets(st.integers(0, LINES - 1)))
def test_a_part_of_the_lines_may_get_what_it_might(chosen: Selection, lines: set[int]) -> None:
    part = chosen.take(np.array(sorted(lines), np.int64))
    for number, line in enumerate(sorted(lines)):
        assert candidates(part, number) == candidates(chosen, line)


@given(SELECTION)
def test_how_many_items_a_line_may_get(chosen: Selection) -> None:
    assert chosen.sizes(ITEMS, LINES).tolist() == [len(candidates(chosen, line)) for line in range(LINES)]
