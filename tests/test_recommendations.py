from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark import recommendations
from personalize_spark.errors import DataError
from personalize_spark.recommendations import Recommendations, merged, render, render_errors
from personalize_spark.records import Records, parse
from personalize_spark.scores import rounded
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.kernel import kernel
from personalize_spark.scoring.ragged import Ragged

native = pytest.mark.skipif(kernel() is None, reason="no compiled kernel")
USER = ("userId",)
TEXTS = JsonTexts.of([b'"a"', b'"b\\"c"', '"é"'.encode(), b'"' + b"x" * 300 + b'"', b'""'])
LINES = st.sampled_from([b'{"userId": "u"}', b'{"userId":7}', b"{", b"", b'{"itemId":"a"}', b'{"userId":"\xc3\xa9"}'])
SCORES = st.one_of(
    st.floats(0, 1), st.integers(0, 10**7).map(lambda units: units / 1e7), st.sampled_from([0.0, 1.0, 0.001, 0.00095])
)


def by_both(write: Callable[[], bytes]) -> tuple[bytes, bytes]:
    """What the kernel writes, and what pyarrow does."""
    with patch.object(recommendations, "kernel", return_value=None):
        reference = write()
    return write(), reference


@native
@given(lines=st.lists(LINES, max_size=12), data=st.data(), scored=st.booleans(), apart=st.booleans())
def test_the_kernel_writes_what_pyarrow_writes(
    *, lines: list[bytes], data: st.DataObject, scored: bool, apart: bool
) -> None:
    records = parse(lines, USER)
    lists = data.draw(
        st.lists(
            st.lists(st.integers(0, len(TEXTS) - 1), max_size=6),
            min_size=len(records.good),
            max_size=len(records.good),
        )
    )
    flat = [item for each in lists for item in each]
    items = Ragged.of_lengths(np.array([len(each) for each in lists], np.int64), np.array(flat, np.int64))
    scores = data.draw(st.lists(SCORES, min_size=len(flat), max_size=len(flat))) if scored else None
    answers = Recommendations(items, None if scores is None else np.array(scores, np.float64))
    one, other = by_both(lambda: render(records, answers, TEXTS, apart=apart))
    assert one == other
    assert one.count(b"\n") + (render_errors(records).count(b"\n") if apart else 0) == len(records.inputs)


@native
def test_the_kernel_writes_every_kind_of_score() -> None:
    units = np.unique(
        np.concatenate([np.arange(12_000), 10 ** np.arange(8), 10**7 - np.arange(2_000), np.arange(0, 10**7, 997)])
    )
    scores = units / 1e7
    assert rounded(scores).tolist() == units.tolist()
    items = Ragged.of_lengths(np.array([len(units)]), np.zeros(len(units), np.int64))
    records, answers = parse([b'{"userId":"u"}'], USER), Recommendations(items, scores)
    one, other = by_both(lambda: render(records, answers, TEXTS))
    assert one == other


@native
def test_a_row_that_is_not_there_is_no_text_from_elsewhere() -> None:
    for row in (-1, len(TEXTS)):
        answers = Recommendations(Ragged.of_lengths(np.array([1]), np.array([row])), None)
        with pytest.raises(IndexError):
            render(parse([b'{"userId":"u"}'], USER), answers, TEXTS)


def test_columns_unknown_items_and_themes_are_written_by_pyarrow_alike() -> None:
    records: Records = parse([b'{"userId":"u"}'], USER)
    items = Ragged.of_lengths(np.array([2]), np.array([1, len(TEXTS)]))
    known = Ragged.of_lengths(np.array([1]), np.array([0]))
    assert b'["b\\"c",7]' in render(records, Recommendations(items, None, [b"7"]), TEXTS)
    columns = {"YEAR": pa.array([b"1999"] * 6, pa.binary())}
    assert b'"itemColumns":{"YEAR":[1999]}}' in render(records, Recommendations(known, None), TEXTS, columns)
    themed = Recommendations(known, None, themes=[b'"Funny"'], relevance=np.array([0.5], np.float32))
    assert b'"theme":"Funny","itemsThemeRelevanceScores":[0.5]' in render(records, themed, TEXTS)


def test_parts_are_merged_in_the_order_of_their_lines() -> None:
    one = Recommendations(Ragged.of_lengths(np.array([1, 2]), np.array([0, 1, 5])), np.array([0.1, 0.2, 0.3]), [b"1"])
    other = Recommendations(Ragged.of_lengths(np.array([1]), np.array([5])), np.array([0.4]), [b"2"])
    both = merged([one, other], np.array([2, 0, 1]), 5)
    assert [both.items.row(row).tolist() for row in range(3)] == [[1, 5], [6], [0]]
    assert both.scores is not None
    assert (both.scores.tolist(), list(both.unknown_items)) == ([0.2, 0.3, 0.4, 0.1], [b"1", b"2"])


@pytest.mark.parametrize("numpy", [False, True])
@pytest.mark.parametrize("score", [np.nan, np.inf, -0.1, 1.1, 43.0])
def test_what_is_no_probability_is_an_error_and_no_text(
    score: float, monkeypatch: pytest.MonkeyPatch, *, numpy: bool
) -> None:
    if numpy:
        monkeypatch.setattr(recommendations, "kernel", lambda: None)
    items = Ragged.of_lengths(np.array([2]), np.array([0, 1]))
    with pytest.raises(DataError, match="no probabilities"):
        render(parse([b'{"userId":"u"}'], USER), Recommendations(items, np.array([0.5, score])), TEXTS)
    rounded_up = Recommendations(items, np.array([0.5, 1.0000001]))
    assert b'"scores":[0.5,1.0]' in render(parse([b'{"userId":"u"}'], USER), rounded_up, TEXTS)


@native
def test_lists_that_do_not_fit_are_refused_by_the_kernel() -> None:
    compiled = kernel()
    assert compiled is not None
    items = Ragged.of_lengths(np.array([2]), np.array([0, 1]))
    one = np.array([0])
    for answered, lists, units in (
        (np.array([0, 1]), items, None),
        (np.array([], np.int64), items, None),
        (one, Ragged(items.indptr, items.values[:1]), None),
        (one, items, np.array([1])),
        (one, items, np.array([1, -1])),
        (one, items, np.array([1, 10_000_001])),
    ):
        with pytest.raises(ValueError, match=r"lists of|scores for"):
            compiled.output_lines([b"{}", b"{}"], answered, lists, units, TEXTS)
