from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from personalize_spark.themes.phrasing import is_phrase
from personalize_spark.themes.relevance import centroids, ordered, relevance, unit
from personalize_spark.themes.terms import Texts, find_terms
from personalize_spark.themes.theme import Themes, name_hashes
from personalize_spark.themes.words import ENGLISH

SCENES = {
    "slow Sunday breakfasts": ["pan", "toaster", "egg cooker"],
    "long summer evenings": ["grill", "lantern", "picnic rug"],
    "muddy walks": ["lead", "dog bed", "towel"],
}


def catalogue(seed: int = 1, each: int = 20) -> tuple[list[Texts], NDArray[np.int64]]:
    """Items of three groups, and int64 (n,) the group of each; one brand each item has for itself."""
    chance = random.Random(seed)
    items, groups = [], []
    for group, (scene, products) in enumerate(SCENES.items()):
        for number in range(each):
            product = chance.choice(products)
            text = (
                f"A {chance.choice(['sturdy', 'light', 'simple'])} {product} for {scene}. Made by Brand{group}{number}."
            )
            items.append(Texts([f"Brand{group}{number} {product.title()}"], text, ["Home"]))
            groups.append(group)
    return items, np.array(groups)


def themes_of(items: list[Texts], groups: NDArray[np.int64], names: list[str] | None = None) -> Themes:
    terms = find_terms(items)
    vectors = unit(np.eye(3)[groups] + 0.05).astype(np.float32)
    own = [name for each in items for name in each.names]
    return Themes(terms, vectors, centroids(terms.items, vectors, len(terms.texts)), name_hashes(names or own), 0.6)


@pytest.fixture(scope="module")
def groups() -> NDArray[np.int64]:
    return catalogue()[1]


@pytest.fixture(scope="module")
def themes() -> Themes:
    return themes_of(*catalogue())


def test_a_theme_says_what_the_set_has_in_common(themes: Themes, groups: NDArray[np.int64]) -> None:
    sets = [np.flatnonzero(groups == group)[:10] for group in range(3)]
    assert [each.text.lower() for each in themes.of(sets, [-1, -1, -1])] == [each.lower() for each in SCENES]


def test_relevance_is_that_of_each_item(themes: Themes, groups: NDArray[np.int64]) -> None:
    rows = np.concatenate([np.flatnonzero(groups == 2)[:9], np.flatnonzero(groups == 0)[:1]])
    [theme] = themes.of([rows], [-1])
    assert theme.text == "Muddy walks"
    assert theme.scores.dtype == np.float32
    assert theme.scores[-1] < theme.scores[:-1].min()
    assert theme.scores.max() <= np.float32(0.6)
    [turned] = themes.of([rows[::-1]], [-1])
    assert turned.scores.tolist() == theme.scores[::-1].tolist()


def test_the_set_tells_in_which_sense_a_phrase_is_meant(themes: Themes, groups: NDArray[np.int64]) -> None:
    rows = np.flatnonzero(groups == 2)[:8]
    [theme] = themes.of([rows], [-1])
    assert np.linalg.norm(theme.vector) == pytest.approx(themes.scale)
    breakfast = themes.terms.texts.index("slow Sunday breakfasts")
    meant = themes.vector([breakfast], rows)
    alone = themes.scale * themes.term_vectors[breakfast]
    middle = themes.item_vectors[rows].mean(axis=0)
    assert meant @ middle > alone @ middle + 0.1


def test_a_phrase_that_tells_nothing_is_no_better_than_one_that_is_used() -> None:
    items = [Texts(text="A dark comedy.", values=["Film"]) for _ in range(6)]
    items += [Texts(text="A story.", values=["Film"]) for _ in range(5)]
    themes = themes_of([*items, Texts(text="A poem.")], np.array([0] * 6 + [1] * 6))
    found = themes.of([np.arange(5), np.arange(1, 6), np.arange(6)], [-1] * 3)
    assert [each.text for each in found] == ["Dark comedy", "Dark comedy and film", "Dark comedy"]
    assert "Film favourites" in {each.text for each in found[2].candidates}


def test_sets_of_one_file_have_themes_of_their_own_and_equal_sets_the_same(
    themes: Themes, groups: NDArray[np.int64]
) -> None:
    rows = np.flatnonzero(groups == 0)
    sets = [rows[:8], rows[4:12], rows[8:16], rows[:8][::-1]]
    texts = [each.text for each in themes.of(sets, [0, 0, 0, 0])]
    assert len({frozenset(text.lower().split()) for text in texts}) == 3
    assert texts[3] == texts[0]
    assert all(is_phrase(text, ENGLISH) for text in texts)


def test_a_theme_is_never_a_name_of_an_item_nor_a_brand_of_one(groups: NDArray[np.int64]) -> None:
    items, _ = catalogue()
    themes = themes_of(items, groups, ["SLOW sunday breakfasts (2021)"])
    [theme] = themes.of([np.flatnonzero(groups == 0)[:10]], [-1])
    assert theme.text.lower() != "slow sunday breakfasts"
    assert not any("brand" in each.text.lower() for each in theme.candidates)


def test_nothing_is_said_of_nothing(themes: Themes) -> None:
    [theme] = themes.of([np.empty(0, np.int64)], [-1])
    assert (theme.text, len(theme.scores)) == ("", 0)
    silent = themes_of([Texts(), Texts(), Texts()], np.array([0, 1, 2]))
    [theme] = silent.of([np.array([0, 2])], [1])
    assert (theme.text, theme.scores.tolist()) == ("", [0.0, 0.0])


def test_a_set_of_one_item_and_of_all_items_have_themes(themes: Themes, groups: NDArray[np.int64]) -> None:
    one, everything = themes.of([np.array([0]), np.arange(len(groups))], [-1, 5])
    assert is_phrase(one.text, ENGLISH)
    assert is_phrase(everything.text, ENGLISH)


def test_how_far_an_item_is_says_less_than_how_near() -> None:
    phrase, items = np.array([0.6, 0], np.float32), np.array([[1, 0], [0, 1], [-1, 0], [-0.5, 0]], np.float32)
    assert relevance(phrase, items).tolist() == np.array([0.6, 0, -0.15, -0.075], np.float32).tolist()


def test_items_are_ordered_by_relevance_then_by_the_bytes_of_their_ids() -> None:
    scores = np.array([0.25, 0.5, 0.25, -0.125], np.float32)
    assert ordered(scores, [b"b", b"c", b"B", b"a"]).tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("Slow Sunday breakfasts", True),
        ("Dogs and pets", True),
        ("Breakfasts", False),
        ("Slow breakfasts.", False),
        ("The slow breakfasts", False),
        ("Breakfasts for", False),
        ("slow breakfasts", False),
        ("One two three four five six", False),
        ("Two\nlines here", False),
        ("", False),
    ],
)
def test_what_a_phrase_is(text: str, *, good: bool) -> None:
    assert is_phrase(text, ENGLISH) is good


def test_a_language_models_words_lie_where_the_catalogue_has_them(themes: Themes, groups: NDArray[np.int64]) -> None:
    rows = np.flatnonzero(groups == 0)[:10]
    [own] = themes.of([rows], [-1])
    [known] = themes.of([rows], [-1], ["Bright long summer evenings"])
    assert known.text == "Bright long summer evenings"
    assert not np.array_equal(known.scores, own.scores)
    [summer] = themes.of([rows], [-1], ["Long summer evenings"])
    assert np.array_equal(summer.scores, known.scores)
    [strange] = themes.of([rows], [-1], ["Wholly unheard"])
    assert np.array_equal(strange.scores, own.scores)


def test_a_name_in_brackets_is_no_error(themes: Themes) -> None:
    assert not themes.is_name("Kids (0-3) favourites")
    assert not themes.is_name("(!)")
