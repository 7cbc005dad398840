from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.job.splits import MAX_PIECE, MAX_PIECES, MAX_TASK, splits_of, tasks_of
from personalize_spark.storage.store import Object


@given(
    sizes=st.lists(st.integers(0, 10_000_000), max_size=20),
    line=st.floats(1, 1_000),
    cores=st.integers(1, 64),
)
def test_splits_cover_every_byte_once_and_in_order(sizes: list[int], line: float, cores: int) -> None:
    files = [[Object(f"{number}.json", size, "e")] for number, size in enumerate(sizes)]
    splits = list(splits_of(files, [False] * len(files), line, 500, cores))
    assert sorted(splits, key=lambda split: split.key) == splits
    for number, size in enumerate(sizes):
        ranges = [split.range for split in splits if split.file == number]
        assert sum(split.end - split.start for split in ranges) == size
        assert all(left.end == right.start for left, right in itertools.pairwise(ranges))


def test_a_huge_file_stays_below_the_parts_of_an_upload() -> None:
    splits = list(splits_of([[Object("huge.json", 50 << 30, "e")]], [False], 20, 500, 2))
    assert MAX_PIECES * 0.9 < len(splits) <= MAX_PIECES


def test_what_was_inflated_stays_below_the_parts_of_an_upload() -> None:
    parts = [Object(f"inflated/{part}", 64 << 20, "e") for part in range(5_000)]
    assert len(list(splits_of([parts], [True], 20, 500, 2))) <= MAX_PIECES


def test_long_answers_make_small_pieces() -> None:
    splits = list(splits_of([[Object("a.json", 20 << 20, "e")]], [False], 20, 10_000, 2))
    assert max(split.range.end - split.range.start for split in splits) / 20 * 10_000 <= MAX_PIECE * 1.01


def test_a_compressed_object_is_one_split() -> None:
    assert len(list(splits_of([[Object("a.json.gz", 50 << 20, "e")]], [False], 20, 500, 2))) == 1


@given(
    sizes=st.lists(st.integers(1, 5_000_000), max_size=50).map(lambda sizes: sizes * 40),
    cores=st.integers(1, 16),
)
def test_tasks_hold_all_splits_and_are_bounded(sizes: list[int], cores: int) -> None:
    files = [[Object(f"{number}.json.gz", size, "e")] for number, size in enumerate(sizes)]
    splits = list(splits_of(files, [False] * len(files), 20, 500, cores))
    tasks = tasks_of(splits, cores)
    assert sorted((split for each in tasks for split in each), key=lambda split: split.key) == splits
    for each in tasks:
        lines = [(split.range.end - split.range.start) // 20 for split in each]
        assert sum(lines[:-1]) < MAX_TASK
        assert 0 < len(each) <= MAX_TASK // 500


@pytest.mark.parametrize(("count", "cores"), [(43, 2), (400, 2), (300, 8), (17, 5)])
def test_cores_that_take_the_next_task_when_they_are_free_end_together(count: int, cores: int) -> None:
    files = [[Object(f"{number}.json.gz", 2_000_000, "e")] for number in range(count)]
    splits = list(splits_of(files, [False] * count, 20, 500, 2))
    until = [0] * cores
    for each in tasks_of(splits, cores):
        until[until.index(min(until))] += len(each)
    assert max(until) - min(until) <= 1


def test_the_largest_split_begins_first() -> None:
    sizes = [10, 10, 60_000_000, 10, 10]
    files = [[Object(f"{number}.json.gz", size, "e")] for number, size in enumerate(sizes)]
    splits = list(splits_of(files, [False] * len(files), 20, 500, 2))
    assert tasks_of(splits, 2)[0] == [splits[2]]


def test_all_cores_have_work_when_there_is_some() -> None:
    splits = list(splits_of([[Object("a.json", 2_000_000, "e")]], [False], 20, 500, 4))
    assert len(tasks_of(splits, 4)) >= 12
