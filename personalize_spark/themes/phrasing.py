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
    "dark sad funny old big small warm cold hot soft cool quick slow deep bright light smart sharp strong sweet "
    "thick thin fresh dry wet long short high low wide young rich raw pure plain calm bold loud quiet violent intense cute "
    "hilarious clever fun bittersweet sexy gothic quirky gritty dreamy creepy witty scary epic noir "
    "disturbing thought-provoking touching inspiring moving exciting amusing entertaining surprising"
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
    DESCRIBED_PAIR = auto()
    """A word that describes, and two nouns side by side."""
    ALONE = auto()
    """A category, which needs company."""


_DESCRIBED = frozenset({Form.DESCRIBED, Form.DESCRIBED_PAIR})


def forms_of(terms: Terms, numbers: Sequence[int]) -> Sequence[Form]:
    """How one, two or three terms can be said; nothing if they cannot."""
    if not terms.language.spaced:
        return _unspaced_forms(terms, numbers)
    words = [terms.keys[each].split() for each in numbers]
    describes = [_describes(terms, each) for each in numbers]
    if len(numbers) == 1:
        alone = [Form.ALONE] if terms.categories[numbers[0]] and not describes[0] else []
        return [Form.PHRASE, *alone] if len(words[0]) > 1 else alone
    if any(describes):
        return _described(terms, numbers, describes)
    if len(numbers) > 2 or sum(map(len, words)) + 1 > MAX_WORDS:  # two nouns
        return []
    purposes = [_is_purpose(terms, each) for each in numbers]
    if sum(purposes) == 1 and _is_thing(terms, numbers[purposes.index(False)]):
        return [Form.USED_FOR]
    apart = any(terms.language.links & {*each} for each in words) or not all(_stands(terms, each) for each in numbers)
    return [] if apart else [Form.JOINED]


def _described(terms: Terms, numbers: Sequence[int], describes: Sequence[bool]) -> Sequence[Form]:
    """Of nouns of one word that another word describes; a decade describes categories, and so is it with two nouns."""
    nouns = [number for number, other in zip(numbers, describes, strict=True) if not other]
    decade = any(terms.keys[each][:1].isdigit() for each in numbers)
    if (
        terms.language.nouns_are_capital
        or len(nouns) + 1 != len(numbers)
        or any(" " in terms.keys[each] for each in nouns)
    ):
        return []
    if (decade or len(nouns) > 1) and not all(terms.categories[each] for each in nouns):
        return []
    return [Form.DESCRIBED if len(nouns) == 1 else Form.DESCRIBED_PAIR]


def _unspaced_forms(terms: Terms, numbers: Sequence[int]) -> Sequence[Form]:
    """Of terms that are values of categories, or phrases already."""
    categories = [bool(terms.categories[each]) for each in numbers]
    if len(numbers) == 1:
        return [Form.ALONE if categories[0] and terms.language is JAPANESE else Form.PHRASE]
    purposes = [_is_purpose(terms, each) for each in numbers]
    if len(numbers) > 2:  # these are described, and no unspaced language has such words
        return []
    if sum(purposes) == 1 and categories[purposes.index(False)]:
        return [Form.USED_FOR]
    return [Form.JOINED] if all(categories) or all(purposes) else []


def _stands(terms: Terms, number: int) -> bool:
    """Whether a term stands for itself: a phrase, a category, or a word that is mostly all of a run."""
    return " " in terms.keys[number] or bool(terms.categories[number]) or bool(terms.whole[number] > _MOSTLY)


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
    texts = [
        _shown(terms, each)
        for each in sorted(numbers, key=lambda each: form in _DESCRIBED and not _describes(terms, each))
    ]
    if form is Form.DESCRIBED:
        text = " ".join(texts)
    elif form is Form.DESCRIBED_PAIR:
        text = f"{texts[0]} {language.joined.format(*texts[1:])}"
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
