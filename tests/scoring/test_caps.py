"""The greedy choice with caps, against one that goes item by item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.scoring.caps import Caps
from personalize_spark.scoring.ragged import Ragged

CODES = 5


def ragged(rows: Sequence[Sequence[int]]) -> Ragged[np.int32]:
    lengths = np.array([len(row) for row in rows], np.int64)
    return Ragged.of_lengths(lengths, np.array([each for row in rows for each in row], np.int32))


def greedy(items: Sequence[int], categories: Sequence[Sequence[int]], most: Sequence[int]) -> list[int]:
    held: Counter[int] = Counter()
    kept = []
    for item in items:
        codes = categories[item] if item < len(categories) else ()
        if all(held[code] < most[code] for code in codes):
            kept.append(item)
            held.update(codes)
    return kept


@given(st.data())
def test_the_choice_is_the_greedy_one(data: st.DataObject) -> None:
    code = st.integers(0, CODES - 1)
    categories = [sorted(each) for each in data.draw(st.lists(st.sets(code, max_size=3), min_size=1, max_size=12))] + [
        []
    ]
    most = data.draw(st.lists(st.integers(1, 3), min_size=CODES, max_size=CODES))
    row = st.permutations(range(len(categories) + 1)).flatmap(
        lambda all_: st.integers(0, len(all_)).map(lambda n: all_[:n])
    )
    lists = data.draw(st.lists(row, max_size=4))
    caps = Caps(ragged(categories), np.array(most))
    kept, full = caps.kept(ragged(lists).with_values(ragged(lists).values.astype(np.int64)))
    expected = [greedy(items, categories, most) for items in lists]
    rest = ragged(lists).where(kept)
    assert [rest.row(each).tolist() for each in range(len(lists))] == expected
    for number, items in enumerate(expected):
        held = Counter(code for item in items if item < len(categories) for code in categories[item])
        assert full.row(number).tolist() == [code for code in range(CODES) if held[code] >= most[code]]
        free = caps.without(full.row(number).tolist(), len(categories) - 1)
        assert free.tolist() == [not set(each) & set(full.row(number).tolist()) for each in categories[:-1]]
