"""Phrasing: from terms to words that one would print."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto

from personalize_spark.themes.terms import Terms
from personalize_spark.themes.words import JAPANESE, OTHER, Language, words_in

MIN_WORDS, MAX_WORDS = 2, 5
_MOST_CHARACTERS = 60
_MOSTLY = 0.5
"""The share of what is said of a term that tells what it is."""
_DESCRIBING = words_in(
    "dark sad funny weird bad old big small warm cold hot soft cool quick slow deep bright light smart sharp strong sweet "
    "thick thin fresh dry wet long short high low wide young rich raw pure plain calm bold loud quiet violent intense stupid cute "
    "hilarious clever fun boring bittersweet sexy gothic quirky gritty dreamy creepy witty scary epic noir "
    "disturbing thought-provoking touching inspiring moving exciting amusing entertaining surprising predictable"
)

_NOUNS = words_in(
    "music magic fabric plastic topic ceramic metal animal crystal festival journal meal hospital musical olive carnival table "
    "vegetable cable detective archive dish fish finish radish relish polish seed weed bed feed speed breed need total"
)
"""Nouns that end as adjectives do."""


class Form(Enum):
    """How terms stand in a phrase."""

    PHRASE = auto()
    """A term of several words."""
    DESCRIBED = auto()
    """A word that describes, and a noun."""
    USED_FOR = auto()
    """A thing, and what it is for."""
    JOINED = auto()
    """Two nouns, or phrases, side by side."""
    ALONE = auto()
    """One word, which needs company."""
    NONE = auto()
    """It cannot be said."""


def form_of(terms: Terms, numbers: Sequence[int]) -> Form:
    """How one or two terms can be said."""
    language = terms.language
    if not language.spaced:
        return _unspaced_form(terms, numbers)
    words = [terms.keys[each].split() for each in numbers]
    describes = [_describes(terms, each) for each in numbers]
    if len(numbers) == 1:
        if len(words[0]) > 1:
            return Form.PHRASE
        return Form.ALONE if terms.categories[numbers[0]] and not describes[0] else Form.NONE
    if sum(map(len, words)) + 1 > MAX_WORDS:
        return Form.NONE
    if any(describes):
        noun = words[describes.index(False)] if not all(describes) else []
        return Form.DESCRIBED if len(noun) == 1 and not language.nouns_are_capital else Form.NONE
    purposes = [_is_purpose(terms, each) for each in numbers]
    return Form.USED_FOR if sum(purposes) == 1 and _is_thing(terms, numbers[purposes.index(False)]) else Form.JOINED


def _unspaced_form(terms: Terms, numbers: Sequence[int]) -> Form:
    """Of terms that are values of categories, or phrases already."""
    categories = [bool(terms.categories[each]) for each in numbers]
    if len(numbers) == 1:
        return Form.ALONE if categories[0] and terms.language is JAPANESE else Form.PHRASE
    purposes = [_is_purpose(terms, each) for each in numbers]
    if sum(purposes) == 1 and categories[purposes.index(False)]:
        return Form.USED_FOR
    return Form.JOINED if all(categories) or all(purposes) else Form.NONE


def _is_purpose(terms: Terms, number: int) -> bool:
    """Whether a term mostly says what things are for."""
    return bool(terms.purpose[number] > _MOSTLY * max(float(terms.whole[number]), _MOSTLY))


def _is_thing(terms: Terms, number: int) -> bool:
    """Whether a term can be for something: a category, or a plain term without a purpose of its own."""
    return bool(terms.categories[number]) and not terms.language.links & set(terms.keys[number].split())


def _describes(terms: Terms, number: int) -> bool:
    """Whether a term is one word that describes another."""
    key = terms.keys[number]
    if " " in key or (terms.categories[number] and key not in _DESCRIBING):
        return False
    if terms.language.nouns_are_capital:
        return not terms.texts[number][:1].isupper()
    return key in _DESCRIBING or key[:1].isdigit() or (key.endswith(terms.language.adjectives) and key not in _NOUNS)


def phrase_of(terms: Terms, numbers: Sequence[int], form: Form) -> str:
    """The terms as they would be printed."""
    language = terms.language
    texts = [_shown(terms, each) for each in numbers]
    if form is Form.DESCRIBED:
        text = " ".join(texts if _describes(terms, numbers[0]) else reversed(texts))
    elif form is Form.JOINED:
        text = language.joined.format(*texts)
    elif form is Form.USED_FOR:
        text = language.used_for.format(*(reversed(texts) if _is_purpose(terms, numbers[0]) else texts))
    elif form is Form.ALONE:
        text = language.alone.format(texts[0])
    else:
        text = texts[0]
    return text[:1].upper() + text[1:]


def _shown(terms: Terms, number: int) -> str:
    """A term within a phrase; the capitals of a category's value say nothing where nouns have none."""
    text = terms.texts[number]
    if terms.categories[number] and not terms.language.nouns_are_capital and terms.language.spaced:
        words = text.split()
        return " ".join(word if word.isupper() or word[1:] != word[1:].lower() else word.lower() for word in words)
    return text


def is_phrase(text: str, language: Language) -> bool:
    """Whether a text can be a theme.

    It is one line of two to five words, without a full stop, and without a stop word at an end; where words have no spaces, a
    short text.
    """
    if not text.strip() or "\n" in text or text.endswith(".") or re.search(r"[<>{}\[\]|\\]", text):
        return False
    if not language.spaced:
        return len(text) <= _MOST_CHARACTERS
    words = text.replace("&", " ").split()
    ends = {words[0].lower(), words[-1].lower()}
    least = 1 if language is OTHER else MIN_WORDS
    return least <= len(words) <= MAX_WORDS and not ends & language.stop and text[0] == text[0].upper()
