from __future__ import annotations

import socket

import numpy as np
import pyarrow as pa
import pytest

from personalize_spark.errors import InvalidInputException
from personalize_spark.schemas import Column
from personalize_spark.themes.terms import Texts, find_terms
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.themes import EMBEDDINGS, learn_themes
from personalize_spark.training.word_llama import WordLlama

pytest.importorskip("wordllama")

COLUMNS = [Column("ITEM_ID", "string"), Column("TITLE", "string"), Column("TEXT", "string", textual=True)]
TABLE = pa.table(
    {
        "ITEM_ID": ["a", "b", "c", "d"],
        "TITLE": ["Pan", "Pot", "Lead", "Collar"],
        "TEXT": ["For slow breakfasts.", "Made for slow breakfasts.", "For dogs on muddy walks.", "For dogs."],
    }
)


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("_offline")
def test_it_loads_without_a_download_and_knows_what_texts_are_about() -> None:
    eggs, kettle, dog, nothing = WordLlama().texts(["breakfast eggs", "a morning meal with toast", "muddy dogs", ""])
    assert eggs.dtype == np.float32
    assert np.linalg.norm([eggs, kettle, dog], axis=1) == pytest.approx(1, abs=1e-6)
    assert eggs @ kettle > eggs @ dog
    assert not nothing.any()


@pytest.mark.slow
def test_the_hyperparameter_chooses_it() -> None:
    chosen = Hyperparameters.of({"theme_embedding": "wordllama"}).theme_embedding
    themes = learn_themes(TABLE, COLUMNS, EMBEDDINGS[chosen]()).themes
    assert isinstance(EMBEDDINGS[chosen](), WordLlama)
    at = themes.terms.texts.index("slow breakfasts")
    near = themes.item_vectors @ themes.term_vectors[at]
    assert near[:2].min() > near[2:].max()


def test_an_embedding_that_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidInputException, match="must be words or wordllama, not glove"):
        Hyperparameters.of({"theme_embedding": "glove"})


@pytest.mark.parametrize(("name", "kind"), [("rank", "a whole number"), ("alpha", "a number")])
def test_a_hyperparameter_that_is_no_number_is_named(name: str, kind: str) -> None:
    with pytest.raises(InvalidInputException, match=f"The hyperparameter {name} is '1,5': give {kind}"):
        Hyperparameters.of({name: "1,5"})


@pytest.mark.slow
def test_what_all_items_say_relates_none_of_them() -> None:
    texts = [Texts(text=f"A lovely gift for friends and family, {each}") for each in ("breakfast eggs", "muddy dogs")]
    raw = WordLlama().texts([each.text for each in texts])
    [eggs, dogs], _ = WordLlama().vectors(texts, find_terms(texts))
    assert raw[0] @ raw[1] > 0.3
    assert eggs @ dogs < 0
    same, _ = WordLlama().vectors(texts[:1] * 3, find_terms(texts[:1] * 3))
    assert not same.any()


@pytest.mark.slow
def test_it_knows_the_decade_behind_a_name() -> None:
    films = [Texts([f"Film ({year})"], values=["Comedy"]) for year in (1991, 1993, 2004, 2007)]
    terms = find_terms(films)
    vectors, places = WordLlama().vectors(films, terms)
    near = vectors @ places[terms.texts.index("1990s")]
    assert near[:2].min() > near[2:].max()
