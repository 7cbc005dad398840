"""The compiled table and the dictionary find the same rows, whatever the ids are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.scoring import item_index
from personalize_spark.scoring.item_index import ItemIndex, JsonTexts
from personalize_spark.scoring.kernel import kernels

LEVELS = [None, *[*kernels()][-1:]]
IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=200)


def texts_of(ids: Sequence[str]) -> JsonTexts:
    return JsonTexts.of([orjson.dumps(each) for each in ids])


def index_of(ids: Sequence[str], level: object) -> ItemIndex:
    """By the kernel at a level, or without one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_index, "kernel", lambda: level)
        return ItemIndex(texts_of(ids))


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: getattr(level, "name", "numpy"))
@given(IDS, IDS)
def test_each_id_has_its_row_and_others_have_none(level: object, ids: list[str], others: list[str]) -> None:
    rows = {each: row for row, each in enumerate(ids)}  # of an id that is there twice the last one
    asked = [*others, *ids, *(each[:-1] for each in ids), *(f"{each} " for each in ids)]
    assert index_of(ids, level).rows_of(asked).tolist() == [rows.get(each, -1) for each in asked]


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: getattr(level, "name", "numpy"))
def test_ids_that_json_escapes_are_found(level: object) -> None:
    ids = [
        '"',
        "\\",
        'a\\"b',
        "\\\\",
        "\n",
        "\x00",
        "\x1f",
        "\x7f",
        "é",
        "日本",
        "\U0001f600",
        "",
        " ",
        ",",
        '","',
        "[",
        "]",
        "\u2028",
    ]
    assert index_of(ids, level).rows_of(ids).tolist() == [*range(len(ids))]


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: getattr(level, "name", "numpy"))
def test_half_of_a_surrogate_pair_is_no_item_and_costs_the_others_nothing(level: object) -> None:
    assert index_of(["a", "b", "?"], level).rows_of(["b", "\ud800", "a", "a\udfff"]).tolist() == [1, -1, 0, -1]


@pytest.mark.parametrize("level", LEVELS[1:], ids=lambda level: level.name)
@given(IDS, st.lists(IDS, max_size=9))
def test_ids_of_lists_are_found_as_those_of_one_list(level: object, ids: list[str], others: list[list[str]]) -> None:
    index, lists = index_of(ids, level), [ids, *others, []]
    found = index.rows_of_lists(lists)
    assert found is not None
    assert [found.row(each).tolist() for each in range(len(lists))] == [index.rows_of(each).tolist() for each in lists]


@pytest.mark.parametrize("level", LEVELS[1:], ids=lambda level: level.name)
@pytest.mark.parametrize("odd", [7, None, 1.5, True, {"a": "a"}, "\ud800"], ids=repr)
@pytest.mark.parametrize("place", [0, 20])
def test_lists_with_what_is_no_string_are_to_be_looked_at_one_by_one(level: object, odd: object, place: int) -> None:
    one = [*["a"] * place, odd, "b"]
    assert index_of(["a", "b"], level).rows_of_lists([["a"], one, [], ["b"]]) is None


def test_without_the_kernel_lists_are_looked_at_one_by_one() -> None:
    assert index_of(["a"], None).rows_of_lists([["a"]]) is None


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: getattr(level, "name", "numpy"))
def test_a_large_catalogue_is_found_whole(level: object) -> None:
    ids = [
        f"item-{number}" for number in range(40_000)
    ]  # two thirds of the ids share their first eight bytes with others
    index = index_of(ids, level)
    order = np.random.default_rng(7).permutation(len(ids))
    assert index.rows_of([ids[each] for each in order]).tolist() == order.tolist()
    assert set(index.rows_of([f"item-{number}" for number in range(40_000, 50_000)]).tolist()) == {-1}


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: getattr(level, "name", "numpy"))
def test_nothing_is_found_in_nothing(level: object) -> None:
    assert index_of([], level).rows_of(["a", ""]).tolist() == [-1, -1]
    assert index_of(["a"], level).rows_of([]).tolist() == []
