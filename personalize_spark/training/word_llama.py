"""Where texts lie by WordLlama: the mean of word vectors that a large language model had at its beginning.

The package brings its weights with it, so nothing is downloaded; it needs numpy, not torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.themes.relevance import unit
from personalize_spark.themes.terms import Terms, Texts, decade_of

_AT_ONCE = 4_096
_MOST_CHARACTERS = 2_000
_DIMENSIONS = 128
_NOTHING = 1e-6
"""What is left of a text that says what all say."""


class WordLlama:
    """See `training.themes.Embedding`. Its vectors work in many languages, best in English."""

    scale = 0.75

    @cached_property
    def _model(self) -> Any:
        import wordllama

        # its own folder is where the wheel has the weights; by default it looks into a cache, and finds nothing there
        folder = Path(wordllama.__file__).parent
        return wordllama.WordLlama.load(cache_dir=folder, trunc_dim=_DIMENSIONS, disable_download=True)

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 (n, d), of length 1, or zeros for a text without words."""
        found = np.zeros((len(texts), _DIMENSIONS), np.float32)
        for first in range(0, len(texts), _AT_ONCE):
            part = [text[:_MOST_CHARACTERS] for text in texts[first : first + _AT_ONCE]]
            found[first : first + len(part)] = unit(self._model.embed(part).astype(np.float64))
        return found

    def vectors(self, items: Sequence[Texts], terms: Terms) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `training.themes.Embedding`.

        The items' mean is taken away, as Mu and Viswanath do ("All-but-the-top", 2018): all texts of a catalogue share a direction, and
        with it films that have nothing in common are near to each other.
        """
        decade = terms.language.decade.format
        about = [
            [*each.names, *map(decade, filter(None, map(decade_of, each.names))), *each.values, each.text]
            for each in items
        ]
        vectors = self.texts([" ".join(each) for each in about])
        middle = vectors.mean(axis=0, dtype=np.float64)
        return beside(vectors, middle), beside(self.texts(terms.texts), middle)


def beside(vectors: NDArray[np.float32], middle: NDArray[np.float64]) -> NDArray[np.float32]:
    """Where vectors lie from the middle, of length 1; what has no words, or says what all say, lies nowhere."""
    away = np.where(vectors.any(axis=1, keepdims=True), vectors - middle, 0.0)
    return unit(np.where(np.abs(away).max(axis=1, keepdims=True) > _NOTHING, away, 0.0)).astype(np.float32)
