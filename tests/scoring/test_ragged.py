"""Ragged lists against lists of lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.scoring.ragged import Ragged

LISTS = st.lists(st.lists(st.integers(0, 9), unique=True), max_size=6)


def ragged(lists: list[list[int]]) -> Ragged[np.int32]:
    pairs = [(line, item) for line, items in enumerate(lists) for item in items]
    lines, items = np.array(pairs, np.int64).reshape(-1, 2).T
    return Ragged.of_pairs(lines, items, len(lists))


def lists_of(found: Ragged[np.int32]) -> list[list[int]]:
    return [part.tolist() for part in np.split(found.values, found.indptr[1:-1])] if len(found.indptr) > 1 else []


@given(LISTS, st.randoms(use_true_random=False))
def test_pairs_in_any_order_and_doubled_are_lists(lists: list[list[int]], random: object) -> None:
    pairs = [(line, item) for line, items in enumerate(lists) for item in items] * 2
    random.shuffle(pairs)  # type: ignore[attr-defined]
    lines, items = np.array(pairs, np.int64).reshape(-1, 2).T
    assert lists_of(Ragged.of_pairs(lines, items, len(lists))) == [sorted(items) for items in lists]


@given(LISTS, LISTS)
def test_lists_are_joined_and_taken_away(mine: list[list[int]], theirs: list[list[int]]) -> None:
    count = min(len(mine), len(theirs))
    mine, theirs = mine[:count], theirs[:count]
    pairs = list(zip(mine, theirs, strict=True))
    assert lists_of(ragged(mine).union(ragged(theirs))) == [sorted({*a, *b}) for a, b in pairs]
    assert lists_of(ragged(mine).difference(ragged(theirs))) == [sorted({*a} - {*b}) for a, b in pairs]


@given(LISTS, st.integers(0, 9))
def test_parts_of_lists(lists: list[list[int]], limit: int) -> None:
    of = ragged(lists)
    lines = np.arange(len(lists))[::2]
    assert lists_of(of.take(lines)) == [sorted(items) for items in lists[::2]]
    below = of.where(of.values < limit)
    assert lists_of(below) == [sorted(item for item in items if item < limit) for items in lists]


@given(st.lists(LISTS, min_size=1, max_size=4))
def test_rows_of_parts_are_stacked(parts: list[list[list[int]]]) -> None:
    everything = [row for part in parts for row in part]
    assert lists_of(Ragged.stacked([ragged(part) for part in parts])) == [sorted(row) for row in everything]


def test_stacked_rows_keep_the_type_of_their_places() -> None:
    one = Ragged(np.array([0, 2], np.int32), np.frombuffer(b"ab", np.uint8))
    both = Ragged.stacked([one, one])
    assert both.indptr.dtype == np.int32
    assert both.values.tobytes() == b"abab"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 99))))
def test_grouped_values_keep_their_order(pairs: list[tuple[int, int]]) -> None:
    rows, values = np.array(pairs, np.int64).reshape(-1, 2).T
    found = Ragged.grouped(rows, values, 6)
    assert [found.row(row).tolist() for row in range(6)] == [[v for r, v in pairs if r == row] for row in range(6)]


@given(LISTS, st.integers(0, 4))
def test_every_value_knows_its_row_and_its_place(lists: list[list[int]], width: int) -> None:
    of = Ragged.of_lengths(
        np.array([len(each) for each in lists], np.int64),
        np.array([value for each in lists for value in each], np.int64),
    )
    assert len(of) == len(lists)
    assert of.lengths.tolist() == [len(each) for each in lists]
    places = zip(of.row_ids().tolist(), of.place_in_row().tolist(), of.values.tolist(), strict=True)
    assert list(places) == [(row, place, value) for row, each in enumerate(lists) for place, value in enumerate(each)]
    padded = [(each + [-1] * width)[:width] for each in lists]
    assert of.padded(width, -1).tolist() == padded


@given(LISTS, st.integers(0, 6), st.integers(0, 6))
def test_neighbouring_rows_are_a_part(lists: list[list[int]], start: int, stop: int) -> None:
    start, stop = sorted(min(each, len(lists)) for each in (start, stop))
    assert lists_of(ragged(lists).part(slice(start, stop))) == [sorted(row) for row in lists[start:stop]]


@given(LISTS)
def test_what_a_list_holds(lists: list[list[int]]) -> None:
    lines, items = (each.ravel() for each in np.meshgrid(np.arange(len(lists)), np.arange(10), indexing="ij"))
    expected = [item in lists[line] for line, item in zip(lines.tolist(), items.tolist(), strict=True)]
    assert ragged(lists).contains(lines, items).tolist() == expected


@given(st.lists(st.lists(st.floats(-5, 5)), max_size=8))
def test_each_list_is_sorted_by_itself(lists: list[list[float]]) -> None:
    values = np.array([value for each in lists for value in each])
    counts = np.array([len(each) for each in lists], np.int64)
    order = Ragged.of_lengths(counts, values).argsort()
    assert values[order].tolist() == [value for each in lists for value in sorted(each)]
