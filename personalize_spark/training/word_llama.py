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
from personalize_spark.themes.terms import Terms, Texts

_AT_ONCE = 4_096
_MOST_CHARACTERS = 2_000
_DIMENSIONS = 128


class WordLlama:
    """See `training.themes.Embedding`. Its vectors work in many languages, best in English."""

    scale = 0.85

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

    def items(self, items: Sequence[Texts]) -> NDArray[np.float32]:
        """See `training.themes.Embedding`."""
        return self.texts([" ".join([*each.names, each.text, *each.values]) for each in items])

    def terms(self, terms: Terms, items: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: ARG002  # they lie alone
        """See `training.themes.Embedding`."""
        return self.texts(terms.texts)
