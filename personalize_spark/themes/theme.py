"""A theme for a set of items, and how relevant it is to each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from personalize_spark.themes.choice import Candidate, candidates_of
from personalize_spark.themes.phrasing import is_phrase
from personalize_spark.themes.relevance import neighbours_of, quantised, relevance, unit
from personalize_spark.themes.terms import Terms
from personalize_spark.themes.words import folded, stem

_MEANT = 1.0
"""How much the middle of a set counts beside the phrase."""
TELLING = 1.2
"""A phrase that is not so much more frequent in the set than in the catalogue is no better than one that is used already."""


@dataclass(frozen=True)
class Theme:
    """A theme.

    Attributes:
        text: the phrase; empty where nothing is known of any item.
        scores: float32 (n,), the relevance of the theme to each item of the set.
        candidates: what could be said of the set, best first; last what is hardly more frequent in it than in the catalogue.
        vector: float32 (d,), where the theme lies, of the length of the scale; empty without a text.
    """

    text: str
    scores: NDArray[np.float32]
    candidates: Sequence[Candidate]
    vector: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


@dataclass(frozen=True)
class Themes:
    """What themes of a catalogue are made from.

    Attributes:
        terms: its terms.
        item_vectors: float32 (I, d), of length 1, or zeros for an item without words.
        term_vectors: float32 (T, d), the same.
        names: uint64, ascending: `name_hashes` of the items' names, which no theme may be.
        scale: of cosines, to relevance.
    """

    terms: Terms
    item_vectors: NDArray[np.float32]
    term_vectors: NDArray[np.float32]
    names: NDArray[np.uint64]
    scale: float

    def of(
        self, sets: Sequence[NDArray[np.int64]], questions: Sequence[int], phrases: Sequence[str | None] | None = None
    ) -> list[Theme]:
        """The themes of the sets of one file, no two alike as long as there are phrases; equal sets have the same theme.

        Args:
            sets: the items of each, int64 (n,), none twice.
            questions: the item that was asked about, -1 if it is unknown.
            phrases: what a language model calls each, if it does.
        """
        used: Counter[frozenset[str]] = Counter()
        done: dict[bytes, Theme] = {}
        themes = []
        for rows, question, phrase in zip(sets, questions, phrases or [None] * len(sets), strict=True):
            key = np.sort(rows).tobytes()
            if key not in done:
                theme = self._theme(rows, question, used)
                done[key] = theme if phrase is None else self._called(theme, phrase, rows)
            theme = done[key]
            order = np.argsort(np.argsort(rows))  # equal sets may come in different orders
            themes.append(theme if len(order) == 0 else replace(theme, scores=theme.scores[order]))
        return themes

    @cached_property
    def _whole(self) -> NDArray[np.float32]:
        return quantised(self.item_vectors)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self.terms.keys)}

    def _theme(self, rows: NDArray[np.int64], question: int, used: Counter[frozenset[str]]) -> Theme:
        """The theme of a set, its scores by ascending row; notes what it uses."""
        rows = np.sort(rows)
        if not len(rows):
            return Theme("", np.empty(0, np.float32), [])
        outside = neighbours_of(self._whole, rows)
        found = candidates_of(self.terms, rows, outside, question, len(self.item_vectors))
        allowed = [each for each in found if is_phrase(each.text, self.terms.language) and not self.is_name(each.text)]
        if not allowed:
            return Theme("", np.zeros(len(rows), np.float32), found)
        chosen = max(allowed, key=lambda each: (-used[_words_of(each)] - (each.lift < TELLING), each.score))
        allowed.sort(key=lambda each: each.lift < TELLING)
        used[_words_of(chosen)] += 1
        vector = self.vector(chosen.terms, rows)
        return Theme(chosen.text, relevance(vector, self.item_vectors[rows]), allowed, vector)

    def _called(self, theme: Theme, phrase: str, rows: NDArray[np.int64]) -> Theme:
        """The theme in a language model's words; it lies where those of them lie that the catalogue knows, or where it lay."""
        rows = np.sort(rows)
        terms = self._terms_in(phrase)
        vector = self.vector(terms, rows) if terms or not len(theme.vector) else theme.vector
        return replace(theme, text=phrase, vector=vector, scores=relevance(vector, self.item_vectors[rows]))

    def _terms_in(self, phrase: str) -> list[int]:
        """The terms of a phrase, the longest at each word."""
        stems = [stem(word) for word in folded(phrase).split()]
        terms, first = [], 0
        while first < len(stems):
            keys = {last: " ".join(stems[first:last]) for last in range(len(stems), first, -1)}
            last = next((last for last, key in keys.items() if key in self._numbers), 0)
            terms += [self._numbers[keys[last]]] if last else []
            first = last or first + 1
        return terms

    def vector(self, terms: Sequence[int], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 (d,), of the length of the scale: where a phrase lies, as it is meant of a set.

        A phrase of few words means many things; the middle of the set tells which (Rocchio, "Relevance feedback", 1971).

        Args:
            terms: of the phrase.
            rows: of the set, ascending.
        """
        phrase = unit(self.term_vectors[np.array(terms, np.int64)].astype(np.float64).sum(axis=0))
        middle = unit(self.item_vectors[rows].astype(np.float64).sum(axis=0))
        return (self.scale * unit(phrase + _MEANT * middle)).astype(np.float32)

    def is_name(self, text: str) -> bool:
        """Whether a text is the name of an item."""
        hashes = name_hashes([text])  # a few, looked up in all: to sort these anew for each phrase would take minutes
        at = np.searchsorted(self.names, hashes)
        there = at < len(self.names)
        return bool((self.names[at[there]] == hashes[there]).any())


def _words_of(candidate: Candidate) -> frozenset[str]:
    """What a phrase says, in whatever order."""
    return frozenset(folded(candidate.text).split())


def name_hashes(names: Collection[str]) -> NDArray[np.uint64]:
    """uint64 (any number,), ascending: of the names, whatever their case, their marks, and what they say in brackets at the end."""
    texts = {folded(name) for name in names} | {folded(name.partition("(")[0]) for name in names}
    hashes = {int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") for text in texts if text}
    return np.array(sorted(hashes), np.uint64)
