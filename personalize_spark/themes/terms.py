"""Candidates: the terms of a catalogue, noun-like phrases and values of categories, counted once for all themes.

A run is what stands between two stop words or punctuation marks (RAKE: Rose et al., "Automatic keyword extraction from individual
documents", 2010). A term is one to four words of a run that several items share, or two runs and the stop words that link them:
*dinner with friends*. How often a term is a *whole* run tells a phrase from a piece of one.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.ragged import Ragged
from personalize_spark.themes.words import JAPANESE, Language, clauses, folded, japanese_phrases, language_of, stem

MAX_TERMS = 50_000
_MAX_WORDS, _MAX_TERM, _MAX_LINKED, _MAX_LINKS = 20_000, 4, 5, 2
_MAX_VALUE = 40
"""Characters of a category's value that is a term."""
_ITEMS_OF_A_TERM = 20_000
"""A term is shared by one of so many items, and by two at least."""
_SURFACES = 8
_NAMED = 3
"""How many times as often as texts names have what is spelled as they do."""
_YEAR = re.compile(r"\(((?:1[5-9]|20)\d)\d\)\s*$")
"""The year behind a name, of a film, a record or a wine."""


class TermSource(Enum):
    """Where a term stands."""

    VALUES = auto()
    TEXT = auto()
    NAMES = auto()


@dataclass(frozen=True)
class Texts:
    """What is said of one item.

    Attributes:
        names: its names.
        text: what its textual field says.
        values: the values of its categories.
    """

    names: Sequence[str] = ()
    text: str = ""
    values: Sequence[str] = ()


@dataclass(frozen=True)
class Terms:
    """The terms of a catalogue of I items; T terms.

    Attributes:
        texts: as they are printed within a sentence.
        keys: as they are counted: stems in lower case.
        counts: int64 (T,), how many items have each.
        whole: float32 (T,), how often each is a run of its own, 0 to 1.
        purpose: float32 (T,), how often each is what a thing is for, 0 to 1.
        categories: bool (T,), whether it is a value of a category.
        items: by item, int32 numbers of its terms, ascending.
        language: of the catalogue.
    """

    texts: Sequence[str]
    keys: Sequence[str]
    counts: NDArray[np.int64]
    whole: NDArray[np.float32]
    purpose: NDArray[np.float32]
    categories: NDArray[np.bool_]
    items: Ragged[np.int32]
    language: Language


class _Occurrence(NamedTuple):
    """A term where it stands: as it is counted, as it is written, whether it is a run of its own, and what a thing is for."""

    key: str
    surface: str
    whole: bool
    purpose: bool = False


@dataclass
class _Counted:
    """A term while it is counted."""

    number: int
    items: int = 0
    seen: int = 0
    whole: int = 0
    purpose: int = 0
    category: bool = False
    surfaces: Counter[str] = field(default_factory=Counter)
    """As texts and categories have it; as names have it, where nothing else does."""
    named: Counter[str] = field(default_factory=Counter)

    def note(self, found: _Occurrence, source: TermSource) -> None:
        """Count an occurrence."""
        self.seen += 1
        self.whole += found.whole
        self.purpose += found.purpose
        self.category |= source is TermSource.VALUES
        surfaces = self.named if source is TermSource.NAMES else self.surfaces
        if len(surfaces) < _SURFACES or found.surface in surfaces:
            surfaces[found.surface] += 1


def find_terms(catalogue: Sequence[Texts]) -> Terms:
    """Count the terms of a catalogue."""
    language = language_of([each.text or " ".join(each.names) for each in catalogue])
    least = max(2, len(catalogue) // _ITEMS_OF_A_TERM)
    common = _common_words(catalogue, language, least)
    counted: dict[str, _Counted] = {}
    numbers, lengths = array("q"), array("q")
    for each in catalogue:
        own = set()
        for found, source in _occurrences(each, language, common):
            term = counted.get(found.key)
            if term is None:
                term = counted[found.key] = _Counted(len(counted))
            term.note(found, source)
            if term.number not in own:
                own.add(term.number)
                term.items += 1
        numbers.extend(sorted(own))
        lengths.append(len(own))
    items = Ragged.of_lengths(np.asarray(lengths, np.int64), np.asarray(numbers, np.int64))
    return _kept(counted, items, len(catalogue), least, language)


def _kept(
    counted: dict[str, _Counted], items: Ragged[np.int64], catalogue: int, least: int, language: Language
) -> Terms:
    """The terms that several items share, and not all; the most frequent ones of them."""
    shared = [(key, each) for key, each in counted.items() if least <= each.items < max(catalogue, least + 1)]
    shared = sorted(shared, key=lambda pair: (-pair[1].items, pair[0]))[:MAX_TERMS]
    renumbered = np.full(len(counted) + 1, -1, np.int64)
    for number, (_, each) in enumerate(shared):
        renumbered[each.number] = number
    values = renumbered[items.values]
    kept = items.with_values(values).where(values >= 0)
    return Terms(
        [_surface(each) for _, each in shared],
        [key for key, _ in shared],
        np.array([each.items for _, each in shared], np.int64),
        np.array([_wholeness(key, each) for key, each in shared], np.float32),
        np.array([each.purpose / each.seen for _, each in shared], np.float32),
        np.array([each.category for _, each in shared], np.bool_),
        kept.with_values(kept.values.astype(np.int32)),
        language,
    )


def _wholeness(key: str, term: _Counted) -> float:
    """How often a term is a run of its own; a single word of names alone is never one."""
    return term.whole / term.seen if term.surfaces or " " in key else 0.0


def _surface(term: _Counted) -> str:
    """The form that is met most often; of equals, the one with fewer capitals.

    What names have far more often than texts is a name: *Harry Potter*.
    """
    forms = term.named if sum(term.named.values()) >= _NAMED * sum(term.surfaces.values()) else term.surfaces
    return min(forms, key=lambda text: (-forms[text], sum(map(str.isupper, text)), text))


def _common_words(catalogue: Sequence[Texts], language: Language, least: int) -> frozenset[str]:
    """The stems that terms may have: enough items share them."""
    if not language.spaced:
        return frozenset()
    items = Counter(
        word
        for each in catalogue
        for word in {stem(word) for clause in _clauses(each) for word in clause}
        if len(word) > 2 and not word.isdigit() and word not in language.stop
    )
    shared = [word for word, count in items.items() if count >= least]
    return frozenset(sorted(shared, key=lambda word: (-items[word], word))[:_MAX_WORDS])


def _clauses(item: Texts) -> Iterator[list[str]]:
    yield from clauses(item.text)
    for name in item.names:
        yield from clauses(name)


def _occurrences(item: Texts, language: Language, common: frozenset[str]) -> Iterator[tuple[_Occurrence, TermSource]]:
    """Every term of an item, and where it stands."""
    for value in map(str.strip, item.values):
        if 0 < len(value) <= _MAX_VALUE and not value.isdigit():
            key = " ".join(map(stem, folded(value).split())) or value
            yield _Occurrence(key, value.replace("_", " "), whole=True), TermSource.VALUES
    for term in _terms_in(item.text, language, common):
        yield term, TermSource.TEXT
    for name in item.names:
        if language.decade and (decade := decade_of(name)):
            decade = language.decade.format(decade)
            yield _Occurrence(decade, decade, whole=True), TermSource.TEXT
        if language.spaced:  # elsewhere a name gives no phrase: it is a brand, a thing and a number
            for term in _terms_in(name, language, common):
                yield term, TermSource.NAMES


def _terms_in(text: str, language: Language, common: frozenset[str]) -> Iterator[_Occurrence]:
    if language is JAPANESE:
        for phrase, purpose in japanese_phrases(text):
            yield _Occurrence(phrase, phrase, whole=True, purpose=purpose)
    if language.spaced:
        for clause in clauses(text):
            yield from _terms_of(clause, language, common)


def decade_of(name: str) -> str:
    """The first three digits of the year behind a name; empty without one."""
    year = _YEAR.search(name)
    return year[1] if year else ""


def _terms_of(clause: list[str], language: Language, common: frozenset[str]) -> Iterator[_Occurrence]:
    stems = [stem(word) for word in clause]
    runs = list(_runs(clause, language))
    for number, (start, end) in enumerate(runs):
        before = clause[start - 1].lower() if start else ""
        opened = not start or before in language.openers
        linked = _linked(clause, runs[number : number + 2], language)
        for first in range(start, end):
            head = range(first + 1, min(first + _MAX_TERM, end) + 1)
            for last in [*head, *([linked] if linked and linked - first <= _MAX_LINKED else [])]:
                if stems[min(last, end) - 1] not in common or stems[last - 1] not in common:
                    break
                if _is_term(clause[first : min(last, end)], opened or first > start, language):
                    surface = " ".join(_plain(clause[first:last], first == 0, language))
                    whole = opened and first == start and last in {end, linked}
                    yield _Occurrence(" ".join(stems[first:last]), surface, whole, whole and before == language.purpose)


def _linked(clause: list[str], runs: Sequence[tuple[int, int]], language: Language) -> int:
    """The end of the second run, if only links stand before it; 0 if not."""
    if len(runs) < 2:
        return 0
    (_, end), (start, last) = runs
    between = [word.lower() for word in clause[end:start]]
    if len(between) > _MAX_LINKS or between[0] not in language.links or not language.openers.issuperset(between[1:]):
        return 0
    return last if _is_term(clause[start:last], True, language) else 0  # noqa: FBT003  # a link opens


def _plain(words: list[str], begins: bool, language: Language) -> Iterable[str]:  # noqa: FBT001
    """The words as within a sentence: the capital of its first word says nothing, where nouns have none."""
    title = len(words) > 1 and any(word[0].isupper() for word in words[1:])
    if begins and not title and not language.nouns_are_capital and words[0][1:].islower():
        return [words[0].lower(), *words[1:]]
    return words


def _runs(clause: list[str], language: Language) -> Iterator[tuple[int, int]]:
    """The begin and the end of each run of a clause."""
    start = 0
    for place, word in enumerate([*clause, ""]):
        if not word or word.lower() in language.stop:
            if place > start:
                yield start, place
            start = place + 1


def _is_term(words: list[str], opened: bool, language: Language) -> bool:  # noqa: FBT001
    """Whether the words may be a noun phrase in its plain form."""
    low = [word.lower() for word in words]
    if low[0] in language.never or low[-1] in language.never or any(word.isdigit() for word in words):
        return False
    if language.nouns_are_capital:
        described = words[:-1]
        plain = all(word[0].isupper() or (opened and not word.endswith(language.inflected)) for word in described)
        return words[-1][0].isupper() and plain
    dangling = len(words) > 1 and low[-1].endswith(("ed", "ly", "ous", "ful", "able", "ible", "less", "ish"))
    return opened and not dangling and not (low[0].endswith("ly") and low[-1].endswith("ing"))
