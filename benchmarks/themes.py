"""How good themes are, beside the words of BERTopic and random phrases, on four catalogues of 100 questions each.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.themes

The methods: `default` and `wordllama` are ours, with either embedding; `words` is what BERTopic (Grootendorst, 2022) calls a
topic, the three words of the largest class-based TF-IDF; `random` is a term of the catalogue by chance.

    identification    from the theme alone its set is found among nine others: the share of sets whose items are nearest to it on average, as in
                      ProxAnn (Hoyle et al., 2025). The judge is never the embedding that chose: `wordllama` judges the default,
                      the catalogue's own words judge `wordllama`, and both judge the other two. By chance: 0.1. WordLlama
                      judges from the middle of the catalogue, without which all texts are alike
    intrusion         the share of items of other sets whose relevance is below the median of the set
    distinct          different themes, as a share of all
    phrases           the share of themes that `is_grammatical` takes for a phrase of two to five words
    lift              how many times as frequent the words of the theme are in the set as in the catalogue, median

`docs/themes.md` shows 40 of the default's themes, chosen by the same seed.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.catalogues import SCHEMA, Catalogue, catalogues
from benchmarks.machine import machine
from personalize_spark.themes.relevance import relevance, unit
from personalize_spark.themes.theme import Themes
from personalize_spark.themes.words import ENGLISH, GERMAN, JAPANESE, folded, stem, words_in_key
from personalize_spark.training.lsa import words_of
from personalize_spark.training.themes import Semantic, learn_themes
from personalize_spark.training.word_llama import WordLlama, beside

SEED, QUESTIONS, OTHERS, INTRUDERS, SHOWN = 7, 100, 9, 10, (14, 13, 13)
RESULT = Path(__file__).parent / "results" / "themes.json"
PAGE = Path(__file__).parents[1] / "docs" / "themes.md"
BEGIN = "<!-- themes: written by python -m benchmarks.themes -->"
FORTY = """## Forty themes

Unretouched, good and bad, from three catalogues, drawn by a fixed seed. After each item stands its relevance.
"""
_STOP = ENGLISH.stop | GERMAN.stop
_JOINS = frozenset({"and", "for", "und", "für", "of", "with", "in", "at", "mit", "aus", "the", "without"})
_KANA = re.compile("[\u3041-\u30fc]")
_JAPANESE_WORD = re.compile("おすすめ|[\u4e00-\u9fff々]+|[\u30a1-\u30fa\u30fc]+|(?:^|(?<=[の・]))[\u3041-\u3096]{3,}")
_NOUN = "(?:[\u3041-\u3096]{3,}|[\u4e00-\u9fff々\u30a1-\u30fa\u30fc]+[\u3041-\u3096]{0,4}[\u4e00-\u9fff々\u30a1-\u30fa\u30fc]*)"
_JAPANESE = re.compile(f"(?:おすすめの)?{_NOUN}(?:[の・]{_NOUN})*(?<!の)")
_DANGLING = re.compile(r"(ly|ful|ous|able|ible|less|ing|igen|lichen|ischem?)$")

Embed = Callable[[Sequence[str]], NDArray[np.float64]]


@dataclass(frozen=True)
class Named:
    """What a method says of the sets.

    Attributes:
        texts: the themes.
        scores: the relevance of any items to the theme of a set.
        judges: the embeddings that may judge it.
    """

    texts: Sequence[str]
    scores: Callable[[int, NDArray[np.int64]], NDArray[np.float64]]
    judges: Sequence[str]


def tokens(text: str) -> list[str]:
    """The words of a text in lower case; of a Japanese one the nouns, which stand in kanji and katakana."""
    return words_in_key(text, JAPANESE) if _KANA.search(text) else words_of(text)


class Words:
    """The space of a catalogue's own words: a text lies where the items with its words are."""

    def __init__(self, items: Sequence[Collection[str]], vectors: NDArray[np.float32]) -> None:
        sums: dict[str, NDArray[np.float64]] = {}
        self._counts: Counter[str] = Counter()
        for words, vector in zip(items, vectors.astype(np.float64), strict=True):
            for word in words:
                sums[word] = sums[word] + vector if word in sums else vector
                self._counts[word] += 1
        self._sums, self._items = sums, len(items)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """float64 (n, d), of length 1 or 0."""
        width = len(next(iter(self._sums.values())))
        zero = np.zeros(width)
        sums = [zero + sum(self._of(stem(word)) for word in tokens(text)) for text in texts]
        return unit(np.array(sums, np.float64))

    def _of(self, word: str) -> NDArray[np.float64]:
        if word not in self._sums:
            return np.zeros(1)
        weighted: NDArray[np.float64] = unit(self._sums[word]) * np.log(self._items / self._counts[word])
        return weighted


class Measured:
    """A catalogue, its themes by all methods, and how good they are."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.texts = [" ".join(row) for row in zip(*catalogue.table.to_pydict().values(), strict=True)]
        self.ours = {"default": self._learned(Semantic()), "wordllama": self._learned(WordLlama())}
        self.spaces = {name: each.item_vectors.astype(np.float64) for name, each in self.ours.items()}
        llama = WordLlama()
        about = llama.texts(self.texts)
        middle = about.mean(axis=0, dtype=np.float64)
        self.spaces["wordllama"] = beside(about, middle).astype(np.float64)
        self.embed: Mapping[str, Embed] = {
            "default": Words(self.words, self.ours["default"].item_vectors),
            "wordllama": lambda texts: beside(llama.texts(texts), middle).astype(np.float64),
        }

    def _learned(self, embedding: Semantic | WordLlama) -> Themes:
        learned = learn_themes(self.catalogue.table, SCHEMA.columns, embedding)
        return replace(learned.themes, names=learned.names["TITLE"])

    def methods(self) -> dict[str, Named]:
        """The themes of each method."""
        judges = {"default": ["wordllama"], "wordllama": ["default"]}
        found = {name: self._ours(themes, judges[name]) for name, themes in self.ours.items()}
        chance, terms = random.Random(SEED), self.ours["default"].terms.texts
        shuffled = [chance.choice(terms) for _ in self.catalogue.sets]
        return {**found, "words": self._plain(self.topics()), "random": self._plain(shuffled)}

    def _ours(self, themes: Themes, judges: Sequence[str]) -> Named:
        made = themes.of(self.catalogue.sets, self.catalogue.questions)

        def scores(number: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return relevance(made[number].vector, themes.item_vectors[rows]).astype(np.float64)

        return Named([each.text for each in made], scores, judges)

    def _plain(self, texts: Sequence[str]) -> Named:
        vectors = self.embed["default"](texts)
        return Named(
            texts, lambda number, rows: self.spaces["default"][rows] @ vectors[number], ["default", "wordllama"]
        )

    @cached_property
    def words(self) -> list[set[str]]:
        """The stems of each item, and the decade of its name."""
        decades = [re.search(r"\((\d{3})\d\)\s*$", title) for title in self.catalogue.table.column("TITLE").to_pylist()]
        return [
            {*map(stem, tokens(text)), *([f"{found[1]}0"] if found else [])}
            for text, found in zip(self.texts, decades, strict=True)
        ]

    def topics(self) -> list[str]:
        """Three words a set."""
        counts = Counter(word for own in self.words for word in own)
        topics = []
        for rows in self.catalogue.sets:
            own = Counter(word for row in rows for word in self.words[row] if word not in _STOP and not word.isdigit())
            weights = {word: count * np.log(1 + len(self.words) / counts[word]) for word, count in own.items()}
            topics.append(", ".join(sorted(weights, key=lambda word: (-weights[word], word))[:3]))
        return topics

    def measures(self, named: Named) -> dict[str, float]:
        """What the module's text lists."""
        found = {f"identification, judged by {judge}": self._identified(named, judge) for judge in named.judges}
        return {
            **found,
            "intrusion": self._intruded(named),
            "distinct": round(len({*named.texts}) / len(named.texts), 3),
            "phrases": round(sum(map(is_grammatical, named.texts)) / len(named.texts), 3),
            "lift": round(
                float(np.median([self._lift(*each) for each in zip(named.texts, self.catalogue.sets, strict=True)])), 1
            ),
        }

    def _identified(self, named: Named, judge: str) -> float:
        chance, sets = random.Random(SEED), self.catalogue.sets
        themes = self.embed[judge](named.texts)
        middles = np.array([self.spaces[judge][rows].mean(axis=0) for rows in sets])
        hits = 0
        for number, theme in enumerate(themes):
            others = chance.sample([each for each in range(len(sets)) if each != number], OTHERS)
            hits += bool(theme.any() and middles[number] @ theme > (middles[others] @ theme).max())
        return round(hits / len(sets), 3)

    def _intruded(self, named: Named) -> float:
        chance, sets = random.Random(SEED), self.catalogue.sets
        below = []
        for number, rows in enumerate(sets):
            others = sorted({*np.concatenate(sets).tolist()} - {*rows.tolist()})
            intruders = np.array(chance.sample(others, INTRUDERS))
            below.append(named.scores(number, intruders) < np.median(named.scores(number, rows)))
        return round(float(np.mean(below)), 3)

    def _lift(self, text: str, rows: NDArray[np.int64]) -> float:
        words = {stem(word) for word in tokens(text)} - _STOP - {"favourite", "unsere", "auswahl"}
        inside = np.mean([words <= self.words[row] for row in rows])
        everywhere = np.mean([words <= own for own in self.words])
        return float(inside / everywhere) if everywhere else 0.0


def is_grammatical(text: str) -> bool:
    """Whether a text is a phrase: two to five words that begin with a capital letter or a digit, a noun phrase by what is written here.

    No mark but a hyphen, an apostrophe, an ampersand or the colon of *Our choice: garden*; no stop word but the ones that join, and
    these stand inside and not beside another but *of the*; no ending of an adverb or an adjective at the end of the text or of a joined part.

    A Japanese text has at most 20 characters: nouns in kanji or katakana, with the hiragana that belong to them, joined by の, な or ・, behind
    *おすすめの* (recommended) or not. A run of kanji and one of katakana are a word each, and there are two to five.
    """
    words = text.split()
    if _KANA.search(text):
        return len(text) <= 20 and bool(_JAPANESE.fullmatch(text)) and 2 <= len(_JAPANESE_WORD.findall(text)) <= 5
    if not 2 <= len(words) <= 5 or re.search(r"[.,;!?()]", text) or not (text[0].isupper() or text[0].isdigit()):
        return False
    parts = [folded(part).split() for part in re.split(r" (?:and|for|und|für) ", text)]
    if not all(parts) or any(part[0] in _STOP or part[-1] in _STOP for part in parts if part[0] != "unsere"):
        return False
    inside = [word for part in parts for word in part[1:-1]]
    nouns = all(not _DANGLING.search(part[-1]) or part[-1].endswith(("thing", "lighting", "ring")) for part in parts)
    return nouns and all(word not in _STOP or word in _JOINS for word in inside) and len({*words}) == len(words)


def main() -> None:
    """Measure, write the result, and show some themes in the page."""
    result: dict[str, object] = {"machine": machine(), "questions": QUESTIONS, "seed": SEED}
    tables = []
    for number, catalogue in enumerate(catalogues(QUESTIONS, SEED)):
        measured = Measured(catalogue)
        methods = measured.methods()
        result[catalogue.name] = {name: measured.measures(named) for name, named in methods.items()}
        print(catalogue.name, json.dumps(result[catalogue.name], indent=1))
        if number < len(SHOWN):
            tables.append(shown(measured, methods["default"], SHOWN[number]))
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    head = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    PAGE.write_text(f"{head}{BEGIN}\n\n" + "\n".join([numbers(result), FORTY, *tables]), encoding="utf-8")


def numbers(result: Mapping[str, Any]) -> str:
    """The measures as a table; a method that two embeddings judge has the mean of both."""
    measures = ("identification", "intrusion", "distinct", "phrases", "lift")
    lines = [f"| | | {' | '.join(measures)} |", f"|---|---|{'---|' * len(measures)}"]
    for catalogue, methods in result.items():
        for method, found in methods.items() if isinstance(methods, dict) and "default" in methods else ():
            judged = [value for name, value in found.items() if name.startswith("identification")]
            values = {**found, "identification": round(sum(judged) / len(judged), 2)}
            lines.append(f"| {catalogue} | {method} | {' | '.join(str(values[each]) for each in measures)} |")
    return "\n".join([*lines, ""])


def shown(measured: Measured, named: Named, count: int) -> str:
    """Some themes as a table, with the question and the three items of the highest relevance."""
    titles = measured.catalogue.table.column("TITLE").to_pylist()
    lines = [
        f"### {measured.catalogue.name.capitalize()}\n",
        "| items like | theme | its first items |",
        "|---|---|---|",
    ]
    for number in sorted(random.Random(SEED).sample(range(len(named.texts)), count)):
        rows = measured.catalogue.sets[number]
        scores = named.scores(number, rows)
        first = [f"{titles[rows[at]]} ({scores[at]:.2f})" for at in np.argsort(-scores, kind="stable")[:3]]
        question = titles[measured.catalogue.questions[number]]
        lines.append(f"| {question} | **{named.texts[number]}** | {'; '.join(first)} |".replace("a.k.a. ", ""))
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
