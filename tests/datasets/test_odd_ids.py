from __future__ import annotations

import pytest

from personalize_spark.datasets.odd_ids import notes_of_ids

NUMBERED = [f"i{n}" for n in range(100)]
FIXED = [str(n) for n in range(10_000, 10_100)]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (
            [*NUMBERED, "No", "0"],
            "ITEM_ID: 2 of 102 ids look unlike the others, such as '0', 'No'; the others look like 'i0'.",
        ),
        ([*FIXED, "7"], "ITEM_ID: 1 of 101 ids looks unlike the others, such as '7'; the others look like '10000'."),
        (
            [*FIXED, "Rome, Italy"],
            "such as 'Rome, Italy'; the others look like '10000'. Rows that a missing field has shifted look so.",
        ),
        (["é1", *(f"ü{n}" for n in range(50)), "1-2"], "1 of 52 ids looks unlike the others, such as '1-2'"),
    ],
)
def test_few_ids_that_look_unlike_the_others_are_counted_and_shown(ids: list[str], said: str) -> None:
    [note] = notes_of_ids({"ITEM_ID": ids, "USER_ID": NUMBERED})
    assert said in note


@pytest.mark.parametrize(
    "ids",
    [
        NUMBERED,
        [str(n) for n in range(200)],
        ["No", "0", "i1"],
        [*NUMBERED, *(f"part {n}" for n in range(10))],
        [f"{n:032x}" for n in range(2**100, 2**101, 2**94)],
        [],
    ],
    ids=["numbered", "numbers of all lengths", "too few", "two kinds", "hexadecimal", "none"],
)
def test_ids_of_one_look_or_of_many_are_not_mentioned(ids: list[str]) -> None:
    assert notes_of_ids({"ITEM_ID": ids}) == []
