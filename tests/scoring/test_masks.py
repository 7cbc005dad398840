from __future__ import annotations

from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from personalize_spark.scoring import masks as module
from personalize_spark.scoring.masks import Masks

MASKS = st.tuples(st.integers(1, 4), st.integers(1, 40)).flatmap(lambda shape: arrays(np.bool_, shape))
LINES = st.lists(st.integers(0, 3), max_size=12)


def packed(held: NDArray[np.bool_], of: list[int]) -> Masks:
    return Masks(np.packbits(held, axis=1), np.array(of, np.int64) % len(held))


def unpacked(masks: Masks, items: int) -> list[list[bool]]:
    """By line, its mask."""
    return [masks.mask(int(number), items).tolist() for number in masks.of]


@given(MASKS, LINES)
def test_a_line_has_the_items_of_its_mask(held: NDArray[np.bool_], of: list[int]) -> None:
    masks, (_, items) = packed(held, of), held.shape
    expected = [held[number % len(held)].tolist() for number in of]
    assert unpacked(masks, items) == expected
    lines, columns = np.divmod(np.arange(len(of) * items), items)
    assert masks.contains(lines, columns).tolist() == [each for line in expected for each in line]


@given(MASKS, LINES, st.sets(st.integers(0, 39)))
def test_items_are_taken_out_of_every_mask(held: NDArray[np.bool_], of: list[int], gone: set[int]) -> None:
    items = np.array(sorted(each for each in gone if each < held.shape[1]), np.int64)
    without, fewer = held.copy(), packed(held, of).without(items)
    without[:, items] = False
    assert unpacked(fewer, held.shape[1]) == unpacked(packed(without, of), held.shape[1])


@given(MASKS, LINES)
def test_lines_are_grouped_by_their_mask(held: NDArray[np.bool_], of: list[int]) -> None:
    masks = packed(held, of)
    groups = {number: lines.tolist() for number, lines in masks.groups()}
    assert groups == {number: np.flatnonzero(masks.of == number).tolist() for number in set(masks.of.tolist())}


@given(MASKS, LINES, st.sampled_from([0, 3, 1 << 18]))
def test_a_union_without_what_a_line_is_excluded_from_is_its_mask(
    held: NDArray[np.bool_], of: list[int], most: int
) -> None:
    masks, items = packed(held, of), held.shape[1]
    found: list[list[bool]] = []
    with patch.object(module, "_MOST_EXCLUDED", most):
        for lines, union, excluded in masks.unions(items):
            assert lines.start == len(found)
            assert excluded is None or len(excluded.values) <= most
            for line in range(lines.stop - lines.start):
                mask = union.copy()
                mask[[] if excluded is None else excluded.row(line)] = False
                found.append(mask.tolist())
    assert found == unpacked(masks, items)


def test_nearly_equal_masks_go_together() -> None:
    held = np.ones((6, 1_000), np.bool_)
    held[1, 5] = held[2, 7] = False
    held[4:] = ~held[4:]
    held[5, :3] = True
    masks = packed(held, [0, 0, 1, 2, 3, 4, 5])
    runs = [
        (lines.start, lines.stop, excluded and excluded.values.tolist()) for lines, _, excluded in masks.unions(1_000)
    ]
    assert runs == [(0, 5, [5, 7]), (5, 6, None), (6, 7, None)]


def test_one_mask_is_that_of_all_lines() -> None:
    mask = np.array([True] * 9 + [False])
    assert unpacked(Masks.same(mask, 3), 10) == [mask.tolist()] * 3
