"""The themes of a job: for its report each with its items, and what a language model calls them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from personalize_spark.errors import ObjectNotFound
from personalize_spark.storage.documents import read_document
from personalize_spark.storage.store import Store
from personalize_spark.themes.relevance import RELEVANT

PHRASES = "phrases.json"

_SHOWN = 60
"""Characters of an id that the summary shows."""


@dataclass
class ThemedList:
    """The items like an item, by descending relevance to their theme, and the theme."""

    item: str
    theme: str
    relevance: dict[str, float]

    def __str__(self) -> str:
        """What is below 0.1 stands in brackets: the service's guide advises to drop it."""
        shown = (
            f"{item[:_SHOWN]} {score:.2f}" if score >= RELEVANT else f"[{item[:_SHOWN]} {score:.2f}]"
            for item, score in self.relevance.items()
        )
        return f"{self.theme or 'no theme'} (like {self.item[:_SHOWN]}): {', '.join(shown)}"


@dataclass
class Phrases:
    """What a language model calls sets of items: frozen before the first line is answered.

    Attributes:
        texts: by `artifacts.themes.set_key`.
        notes: what the report should say of it.
    """

    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_phrases(staging: Store) -> Phrases:
    """The phrases of a run; none before they are frozen."""
    try:
        return read_document(staging, PHRASES, Phrases)
    except ObjectNotFound:
        return Phrases()


def themed_lists(answers: bytes) -> Iterator[ThemedList]:
    """The themes of output lines; error lines have none."""
    for line in answers.splitlines():
        told = msgspec.json.decode(line)
        if told["error"] is None:
            output = told["output"]
            pairs = zip(output["recommendedItems"], output["itemsThemeRelevanceScores"], strict=True)
            yield ThemedList(str(told["input"]["itemId"]), output["theme"], dict(pairs))
