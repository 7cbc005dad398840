from __future__ import annotations

import numpy as np

from personalize_spark.themes.choice import Candidate, candidates_of
from personalize_spark.themes.terms import Texts, find_terms

NOTHING = np.empty(0, np.int64)


def candidates(*items: Texts, others: int = 20) -> dict[str, Candidate]:
    """What could name the items, in a catalogue with others."""
    catalogue = [*items, *(Texts(text=f"An unlike thing, number w{number}.") for number in range(others))]
    found = candidates_of(find_terms(catalogue), np.arange(len(items)), NOTHING, -1, len(catalogue))
    return {each.text: each for each in found}


def test_a_thing_is_joined_to_what_it_is_for() -> None:
    pans = [Texts(text="A pan for slow breakfasts.", values=["Kitchen"])] * 3
    found = candidates(*pans, Texts(text="A rug for slow breakfasts."), Texts(values=["Kitchen"]))
    assert "Kitchen for slow breakfasts" in found
    assert "Slow breakfasts and kitchen" not in found


def test_a_piece_of_a_longer_term_is_no_candidate() -> None:
    found = candidates(*[Texts(text="For slow Sunday breakfasts.")] * 3)
    assert list(found) == ["Slow Sunday breakfasts"]
    found = candidates(*[Texts(text="For slow Sunday breakfasts.")] * 3, *[Texts(text="For Sunday breakfasts.")] * 3)
    assert {"Slow Sunday breakfasts", "Sunday breakfasts"} <= set(found)


def test_words_that_begin_alike_are_not_joined() -> None:
    found = candidates(*[Texts(values=["psychology", "psychologist", "crime"])] * 2, Texts(values=["crime"]))
    assert not any("sycholog" in each.replace("sycholog", "", 1) for each in found)
    assert any("and crime" in each or "Crime and" in each for each in found)


def test_two_words_that_describe_are_not_joined() -> None:
    found = candidates(*[Texts(text="quirky, disturbing, comedy")] * 3)
    assert {"Quirky comedy", "Disturbing comedy"} <= set(found)
    assert not any("quirky" in each.lower() and "disturbing" in each.lower() for each in found)


def test_what_a_few_of_many_have_does_not_name_them() -> None:
    many = [Texts(text="For muddy walks.")] * 2 + [Texts(text="For long evenings.")] * 23
    assert set(candidates(*many, others=60)) == {"Long evenings"}


def test_the_decade_of_the_names_describes() -> None:
    films = [Texts([f"Film {year} ({year})"], "A tale.", ["Comedy"]) for year in (1991, 1995, 1999)]
    found = candidates(*films, Texts(["Old (1941)"], values=["Comedy"]), Texts(["New (2004)"], values=["Drama"]))
    assert "1990s comedy" in found
    assert "1990s" not in found


def test_two_nouns_are_described_together() -> None:
    films = [Texts([f"Film {year} ({year})"], values=["Action", "Thriller"]) for year in (1991, 1995, 1999)]
    others = [Texts([f"Old {year} ({year})"], values=["Action"]) for year in (1941, 1992)]
    found = candidates(*films, *others, Texts(values=["Thriller", "Action"]))
    assert "1990s action and thriller" in found
    assert not any("1990s and" in each or each.endswith("1990s") for each in found)


def test_a_thing_of_its_department_is_no_phrase_but_the_last_one() -> None:
    mats = [Texts(text="A mat.", values=["Sports", "Yoga mat"])] * 3
    found = candidates(*mats, Texts(values=["Sports"]), others=40)
    both = next(each for each in found if " and " in each)
    scores = [found[each].score for each in ("Yoga mat", "Yoga mat favourites", both)]
    assert scores == sorted(scores, reverse=True)


def test_a_decade_describes_categories_only() -> None:
    films = [Texts([f"Film {year} ({year})"], "A man.", ["Comedy"]) for year in (1991, 1995, 1999)]
    found = candidates(*films, Texts(text="A man."), Texts(values=["Comedy"]))
    assert "1990s comedy" in found
    assert not any("man" in each for each in found if each.startswith("1990s"))
