from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from personalize_spark.themes.terms import Terms, Texts, find_terms
from personalize_spark.themes.words import (
    ENGLISH,
    GERMAN,
    JAPANESE,
    UNSPACED,
    folded,
    japanese_phrases,
    language_of,
    stem,
)

ENGLISH_TEXTS = [
    "A pan for slow Sunday breakfasts. It keeps warm for hours.",
    "The toaster for slow Sunday breakfasts and golden toast.",
    "An iron skillet for golden toast, with a soft grip.",
    "Golden toast for everyone in the house.",
]
GERMAN_TEXTS = [
    "Laterne für gemütliche Winterabende. Aus reiner Baumwolle, mit weichem Griff.",
    "Die Leuchte für gemütliche Winterabende und die schönen Nächte, aus reiner Baumwolle.",
    "Eine Kerze für die schönen Nächte mit weichem Griff, aus Wachs.",
]
JAPANESE_TEXT = "静かな朝に香り高いコーヒーを楽しめます。"


def terms_of(*texts: str, values: tuple[str, ...] = ()) -> Terms:
    return find_terms([Texts(text=text, values=values) for text in texts])


def test_the_language_is_that_of_the_stop_words() -> None:
    assert language_of(ENGLISH_TEXTS) is ENGLISH
    assert language_of(GERMAN_TEXTS) is GERMAN
    assert language_of([JAPANESE_TEXT] * 3) is JAPANESE
    assert language_of(["适合清晨的咖啡壶，容量刚好。"] * 3) is UNSPACED


def test_terms_are_noun_phrases_that_several_items_share() -> None:
    terms = terms_of(*ENGLISH_TEXTS)
    assert {"slow Sunday breakfasts", "golden toast"} <= set(terms.texts)
    assert not any("for" in text.split() or "the" in text.split() for text in terms.texts)
    assert "soft grip" not in terms.texts
    assert all(count >= 2 for count in terms.counts)
    at = terms.texts.index("golden toast")
    assert terms.counts[at] == 3
    assert [row for row in range(4) if at in terms.items.row(row)] == [1, 2, 3]
    assert terms.whole[at] == 1.0
    assert terms.whole[terms.texts.index("Sunday breakfasts")] < 1.0


def test_german_phrases_stand_in_their_plain_form() -> None:
    texts = terms_of(*GERMAN_TEXTS).texts
    assert "gemütliche Winterabende" in texts
    assert not {"reiner Baumwolle", "weichem Griff", "schönen Nächte"} & set(texts)


def test_values_of_categories_are_terms_as_they_are_written() -> None:
    items = [
        Texts(["A", "B"], JAPANESE_TEXT, ["キッチン用品", "x"]),
        Texts([], JAPANESE_TEXT, ["キッチン用品"]),
        Texts(),
    ]
    terms = find_terms(items)
    assert {*terms.texts} == {"キッチン用品", "静かな朝"}
    assert [terms.texts[each] for each in np.flatnonzero(terms.categories)] == ["キッチン用品"]
    assert terms.items.lengths.tolist() == [2, 2, 0]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("静かな朝に使いたい和風のテントです。", [("静かな朝", True), ("和風のテント", False)]),
        (
            "家族のキャンプにおすすめ。小さな部屋、雨の日。",
            [("家族のキャンプ", True), ("小さな部屋", False), ("雨の日", False)],
        ),
        ("陶器の掛け布団と軽量の剪定ばさみ", []),
        ("私の朝、商品の物", []),
        ("滑りにくい底、使いやすい形", []),
        ("あ" * 100_000 + "雨の日", []),
    ],
)
def test_a_japanese_phrase_ends_where_its_noun_does(text: str, phrases: list[tuple[str, bool]]) -> None:
    assert [*japanese_phrases(text)] == phrases


def test_what_all_items_have_says_nothing() -> None:
    assert list(terms_of("a warm pan", "a warm pan", "a warm pan").texts) == []


def test_an_empty_catalogue_has_no_terms() -> None:
    terms = find_terms([])
    assert len(terms.texts) == len(terms.items) == 0


def test_terms_are_the_same_each_time_the_most_frequent_first() -> None:
    first, second = terms_of(*ENGLISH_TEXTS), terms_of(*ENGLISH_TEXTS)
    assert first.texts == second.texts
    assert all(one >= two for one, two in pairwise(first.counts.tolist()))


@pytest.mark.parametrize(
    ("word", "same"),
    [("Breakfasts", "breakfast"), ("berries", "berry"), ("glass", "glass"), ("Boxes", "box"), ("bus", "bus")],
)
def test_a_plural_counts_as_its_singular(word: str, same: str) -> None:
    assert stem(word) == same


def test_texts_that_read_alike_are_folded_alike() -> None:
    assert folded("  Toy-Story, THE ") == folded("toy-story the")


def test_two_runs_and_the_words_that_link_them_are_a_term() -> None:
    terms = terms_of(
        "Ideal at a dinner with friends.", "A pot for dinner with friends.", "Dinner with friends, rice.", "Friends"
    )
    at = terms.texts.index("dinner with friends")
    assert terms.counts[at] == 3
    assert terms.whole[at] == 1.0
    assert "dinner the friends" not in terms_of("dinner the friends, a", "dinner the friends, b", "c").texts


def test_what_things_are_for_is_told_from_what_they_are() -> None:
    terms = terms_of("A pan for muddy walks.", "A lead for muddy walks.", "A red pan.", "A red pan for all.")
    purpose = dict(zip(terms.texts, terms.purpose.tolist(), strict=True))
    assert purpose["muddy walks"] == 1.0
    assert purpose["red pan"] == 0.0


def test_adverbs_and_what_they_describe_are_no_phrase() -> None:
    assert "visually stunning" not in terms_of(*["visually stunning, bold"] * 2, "x").texts


def test_what_names_have_far_more_often_than_texts_is_spelled_as_a_name() -> None:
    films = [
        Texts([f"Harry Potter {number}"], "harry potter, high school" if number == 1 else "") for number in (1, 2, 3)
    ]
    school = [Texts(["High School Days"], "A high school."), Texts(["Low"], "Her high school.")]
    assert {"Harry Potter", "high school"} <= {*find_terms([*films, *school, Texts(text="A dog.")]).texts}
