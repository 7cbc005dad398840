"""Choice: of the phrases that could name a set of items, the one that says most of it and least of everything else.

A phrase has one term, two, or two nouns that a third describes: *1990s action and thriller*. Its score is squared coverage x
distinctiveness x readability, less what it says of the items just outside the set, the sets of neighbouring items: maximal marginal
relevance (Carbonell and Goldstein, "The use of MMR", 1998), with the neighbours as what was said before. Coverage and distinctiveness
are the two factors of class-based TF-IDF (Grootendorst, "BERTopic", 2022): the share of the set that has a term, and the logarithm of
how much rarer it is in the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from math import log

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.ragged import Ragged
from personalize_spark.themes.phrasing import Form, forms_of, phrase_of
from personalize_spark.themes.terms import Terms
from personalize_spark.themes.words import words_in_key

_SIMILARITY = 0.5
"""How much of what a phrase says of the neighbours counts against it."""
_OWN = 1.25
"""What a phrase gains that the item of the question has too."""
_COMBINED = 14
"""Terms that are combined."""
_ALIKE = 6
"""Letters at the beginning of words that tell the same thing."""
_SAME, _IMPLIED, _ROUNDING = 0.15, 0.4, 1e-9
"""What is left of two terms side by side, or of another phrase, of which one term says nothing new."""
_UNEVEN = 0.7
"""What a phrase and a single word lose that are joined."""
_FLOOR = 0.01
"""What a phrase is worth that the whole catalogue shares: better than none."""
_LEAST = 0.12
"""The share of a set that must have a phrase; two items at least."""
_CONSIDERED = 64
"""Terms of a set that are weighed, the ones of the largest class-based TF-IDF."""
_WITHIN = 0.8
"""A term is a piece of a longer one that so much of what has it has too."""


@dataclass(frozen=True)
class Candidate:
    """A phrase that could be the theme.

    Attributes:
        text: as it would be printed.
        terms: its terms, by number.
        coverage: the share of the set that has all of them, 0 to 1.
        lift: how many times as frequent it is in the set as in the catalogue.
        neighbours: the share of the neighbours outside the set that have all of its terms.
        readability: 0 to 1.
        score: what decides.
    """

    text: str
    terms: tuple[int, ...]
    coverage: float
    lift: float
    neighbours: float
    readability: float
    score: float


@dataclass(frozen=True)
class _Found:
    """The terms of a set.

    Attributes:
        numbers: int32 (t,), by descending weight.
        inside: bool (t, n), which items of the set have them.
        outside: bool (t, m), which neighbours.
        own: bool (t,), whether the item of the question has them.
        weights: float64 (t,), their class-based TF-IDF.
    """

    numbers: NDArray[np.int32]
    inside: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    own: NDArray[np.bool_]
    weights: NDArray[np.float64]


def candidates_of(
    terms: Terms, rows: NDArray[np.int64], outside: NDArray[np.int64], question: int, items: int
) -> list[Candidate]:
    """The phrases that could name a set, best first.

    Args:
        terms: of the catalogue.
        rows: int64 (n,), the items of the set.
        outside: int64 (m,), its neighbours.
        question: the item that was asked about, -1 if it is unknown.
        items: how many the catalogue has.
    """
    found = _found(terms, rows, outside, question)
    singles = ((at,) for at in range(len(found.numbers)))
    pairs = [*_pairs(terms, found, range(len(found.numbers))[:_COMBINED])]
    phrases = [
        _scored(terms, found, places, form, items)
        for places in chain(singles, pairs, _triples(pairs))
        if _enough(found, places)
        for form in forms_of(terms, found.numbers[[*places]].tolist())
    ]
    return sorted((each for each in phrases if each.score > 0), key=lambda each: (-each.score, each.text))


def _found(terms: Terms, rows: NDArray[np.int64], outside: NDArray[np.int64], question: int) -> _Found:
    """The terms that enough items of a set have, the ones that tell it best, without pieces of longer ones."""
    own = terms.items.take(rows)
    numbers, counts = np.unique(own.values, return_counts=True)
    weights = counts * np.log(len(terms.items) / terms.counts[numbers])
    shared = np.flatnonzero(counts >= _least(len(rows)))
    best = shared[np.lexsort((numbers[shared], -weights[shared]))[:_CONSIDERED]]
    numbers, weights = numbers[best], weights[best]
    inside = _matrix(own, numbers)
    kept = _whole_ones(terms, numbers, inside)
    numbers, inside = numbers[kept], inside[kept]
    asked = terms.items.row(question) if question >= 0 else np.empty(0, np.int32)
    return _Found(numbers, inside, _matrix(terms.items.take(outside), numbers), np.isin(numbers, asked), weights[kept])


def _whole_ones(terms: Terms, numbers: NDArray[np.int32], inside: NDArray[np.bool_]) -> list[int]:
    """The places of the terms that do not mostly stand within a longer one (C-value: Frantzi et al., 2000)."""
    padded = [f" {terms.keys[each]} " for each in numbers]
    together = inside.astype(np.int32) @ inside.T.astype(np.int32)
    return [
        at
        for at, key in enumerate(padded)
        if not any(
            len(key) < len(other) and key in other and together[at, place] >= _WITHIN * together[at, at]
            for place, other in enumerate(padded)
        )
    ]


def _least(items: int) -> float:
    """How many items of a set must have a phrase."""
    return min(items, max(2.0, _LEAST * items))


def _matrix(items: Ragged[np.int32], numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Bool (t, n): which items have which term."""
    matrix = np.zeros((len(numbers), len(items)), np.bool_)
    order = np.argsort(numbers)
    if len(numbers):
        places = np.minimum(np.searchsorted(numbers, items.values, sorter=order), len(numbers) - 1)
        there = numbers[order[places]] == items.values
        matrix[order[places[there]], items.row_ids()[there]] = True
    return matrix


def _pairs(terms: Terms, found: _Found, best: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs of terms without a word in common, or words that begin alike: *psychological*, *psychology*."""
    words = {at: {word[:_ALIKE] for word in words_in_key(terms.keys[found.numbers[at]], terms.language)} for at in best}
    for first, second in combinations(best, 2):
        if not words[first] & words[second]:
            yield first, second


def _triples(pairs: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Three terms, each two of which are a pair."""
    allowed = {*pairs}
    for (first, second), (third, fourth) in combinations(pairs, 2):
        if first == third and (second, fourth) in allowed:
            yield first, second, fourth


def _enough(found: _Found, places: tuple[int, ...]) -> bool:
    """Whether enough items of the set have all terms."""
    items = found.inside.shape[1]
    return bool(_share(found.inside, places) * items >= _least(items) - _ROUNDING)


def _scored(terms: Terms, found: _Found, places: tuple[int, ...], form: Form, items: int) -> Candidate:
    numbers = tuple(int(found.numbers[at]) for at in places)
    inside, outside = (_share(each, places) for each in (found.inside, found.outside))
    # several together are not counted in the catalogue: the rarer term's frequency is an upper bound
    lift = inside / (min(int(terms.counts[each]) for each in numbers) / items)
    distinct = _FLOOR + max(0.0, log(lift) / log(max(items, 2)))
    readability = _readability(terms, numbers, form)
    if len(places) > 1 and _implied(found, places):
        readability *= _SAME if form is Form.JOINED else _IMPLIED
    gain = _OWN if all(found.own[at] for at in places) else 1.0
    score = gain * inside * (inside - _SIMILARITY * min(outside, inside)) * distinct * readability
    return Candidate(phrase_of(terms, numbers, form), numbers, inside, lift, outside, readability, score)


def _share(matrix: NDArray[np.bool_], places: tuple[int, ...]) -> float:
    """The share of the items that have all terms."""
    if not matrix.shape[1]:
        return 0.0
    together = np.logical_and.reduce([matrix[at] for at in places])
    return float(np.count_nonzero(together) / matrix.shape[1])


def _implied(found: _Found, places: tuple[int, ...]) -> bool:
    """Whether, near the set, who has the other terms has one of them too: to say it says no more."""
    fewer = combinations(places, len(places) - 1)
    counts = [_share(found.inside, each) + _share(found.outside, each) for each in fewer]
    return min(counts) - _share(found.inside, places) - _share(found.outside, places) < _ROUNDING


_FORMS = {
    Form.PHRASE: 1.0,
    Form.DESCRIBED: 0.9,
    Form.USED_FOR: 0.9,
    Form.JOINED: 0.6,
    Form.DESCRIBED_PAIR: 0.9,
    Form.ALONE: 0.15,
}


def _readability(terms: Terms, numbers: Sequence[int], form: Form) -> float:
    whole = [1.0 if terms.categories[each] else float(terms.whole[each]) for each in numbers]
    sizes = {" " in terms.keys[each] for each in numbers}
    uneven = _UNEVEN if form is Form.JOINED and len(sizes) > 1 else 1.0
    return _FORMS[form] * uneven * (0.1 + 0.9 * min(whole))
