"""Columns of a view as caps and as JSON texts."""

from __future__ import annotations

import json

import numpy as np

from personalize_spark.artifacts.item_extras import _caps, _codes, _texts
from personalize_spark.filters.mask import Categories, Numbers
from personalize_spark.scoring.ragged import Ragged

NUMBERS = Numbers(np.array([2, 0, 7, 2]), np.array([True, False, True, True]))


def categories(*texts: str | None) -> Categories:
    split = [[] if text is None else text.split("|") for text in texts]
    parts = sorted({part for each in split for part in each})
    codes = np.array([parts.index(part) for each in split for part in each], np.int32)
    return Categories(parts, Ragged.of_lengths(np.array([len(each) for each in split]), codes))


def test_texts_are_the_values_as_they_were_imported() -> None:
    texts = ['say "é"', "b|a|b", "", None, "\n", "a|"]
    assert [json.loads(each) for each in _texts(categories(*texts), bare=False).to_pylist()] == texts
    assert _texts(categories("true", None, "false"), bare=True).to_pylist() == [b"true", b"null", b"false"]
    assert _texts(categories(None, None), bare=False).to_pylist() == [b"null", b"null"]


def test_numbers_are_numbers() -> None:
    assert _texts(NUMBERS, bare=False).to_pylist() == [b"2", b"null", b"7", b"2"]
    decimals = Numbers(np.array([34.72, 1e-7]), np.array([True, True]))
    assert [json.loads(each) for each in _texts(decimals, bare=False).to_pylist()] == [34.72, 1e-7]


def test_the_categories_of_two_columns_are_apart() -> None:
    caps = _caps([(_codes(categories("b|a|b", None, "a", "")), 1), (_codes(NUMBERS), 3)])
    assert caps.most.tolist() == [1, 1, 1, 3, 3]
    assert [caps.categories.row(row).tolist() for row in range(4)] == [[1, 2, 3], [], [1, 4], [0, 3]]


def test_a_column_without_values_caps_nothing() -> None:
    caps = _caps([(_codes(categories(None, None)), 1)])
    kept, full = caps.kept(Ragged(np.array([0, 1]), np.array([0], np.int64)))
    assert (kept.tolist(), full.values.tolist()) == ([True], [])
