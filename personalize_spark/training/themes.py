"""What themes of a catalogue are made from, learned from its Items dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from personalize_spark.artifacts.themes import CatalogueThemes
from personalize_spark.schemas import Column
from personalize_spark.themes.relevance import SCALE, centroids
from personalize_spark.themes.terms import Terms, Texts, decade_of, find_terms
from personalize_spark.themes.theme import Themes, name_hashes
from personalize_spark.training.configuration import WORDLLAMA, WORDS
from personalize_spark.training.lsa import embed, tf_idf, words_of
from personalize_spark.training.word_llama import WordLlama

_ID = "ITEM_ID"
_RANK, _MAX_WORDS = 64, 4_096
_NAMES, _FEW = 0.5, 20
"""A column of which so many values differ, and more than a few, does not sort items: it names them."""


class Embedding(Protocol):
    """Where texts lie: near what they are about.

    Attributes:
        scale: of its cosines, to relevance.
    """

    scale: float

    def vectors(self, items: Sequence[Texts], terms: Terms) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """float32 (I, d) of items and (T, d) of terms, each of length 1, or zeros without words."""


class Semantic:
    """The space of the catalogue's own words, by latent semantic analysis."""

    scale = SCALE

    def vectors(self, items: Sequence[Texts], terms: Terms) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Embedding`."""
        vectors = embed(tf_idf([words_about(each) for each in items], _MAX_WORDS), _RANK)
        return vectors, centroids(terms.items, vectors, len(terms.texts))


EMBEDDINGS: Mapping[str, Callable[[], Embedding]] = {WORDS: Semantic, WORDLLAMA: WordLlama}
"""By the value of the hyperparameter theme_embedding."""


def learn_themes(table: pa.Table, columns: Sequence[Column], embedding: Embedding) -> CatalogueThemes:
    """Learn the terms of a catalogue, and where its items and its terms lie.

    Args:
        table: the rows of Items by ascending id.
        columns: its columns, as the schema has them.
        embedding: tells where they lie.
    """
    texts = {column.name: table.column(column.name).to_pylist() for column in columns if column.is_text}
    items = list(_items(texts, columns, table.num_rows))
    terms = find_terms(items)
    themes = Themes(terms, *embedding.vectors(items, terms), np.empty(0, np.uint64), embedding.scale)
    named = [column.name for column in columns if column.is_text and not column.textual]
    names = {name: name_hashes([value for value in texts[name] if value]) for name in named}
    return CatalogueThemes(
        texts[_ID], themes, names, {name: texts[name] for name in named}, [each.text for each in items]
    )


def _items(texts: Mapping[str, Sequence[str | None]], columns: Sequence[Column], rows: int) -> Iterator[Texts]:
    described = [each for each in columns if each.is_text and each.name != _ID]
    textual = [each.name for each in described if each.textual]
    tagged = [each.name for each in described if each.categorical and not each.textual and not _are_names(each, texts)]
    named = [each.name for each in described if each.name not in {*textual, *tagged}]
    for row in range(rows):
        yield Texts(
            [value for name in named if (value := texts[name][row])],
            " ".join(value for name in textual if (value := texts[name][row])),
            [each for name in tagged if (value := texts[name][row]) for each in value.split("|")],
        )


def _are_names(column: Column, texts: Mapping[str, Sequence[str | None]]) -> bool:
    """Whether a column holds names; an inferred schema says of every text that it is categorical."""
    values = [each for value in texts[column.name] if value for each in value.split("|")]
    return column.item_name or len({*values}) > max(_NAMES * len(values), _FEW)


def words_about(item: Texts) -> list[str]:
    """The words that tell where an item lies; a value of a category is one, and so is the decade behind a name."""
    values = [*item.values, *filter(None, map(decade_of, item.names))]
    return [*words_of(" ".join([*item.names, item.text])), *(f"={value}" for value in values)]
