"""What themes are made from, on disk: written once by a training, read by the tasks of jobs with themes.

ids.arrow                              the items by ascending id
terms.arrow                            text, key, count, whole, purpose, category
items.indptr.npy  items.values.npy     by item, its terms
item_vectors.npy  term_vectors.npy
names/COLUMN.npy                       hashes of what a column of the Items dataset has, for each that may hold the names
about.arrow                            the beginnings of these columns and, as `text`, of the textual field: for language models
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from types import MappingProxyType

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_spark.artifacts.artifact import Artifact, Pinned, finish, write_column, write_ragged, write_table
from personalize_spark.errors import ArtifactError
from personalize_spark.recipes.recipe import ITEM_ID
from personalize_spark.recommendations import Recommendations
from personalize_spark.records import Object, ids_of
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.storage.store import Store
from personalize_spark.themes.prompt import MAX_NAME, MAX_TEXT, About, flaw_of
from personalize_spark.themes.relevance import ordered
from personalize_spark.themes.terms import Terms
from personalize_spark.themes.theme import Theme, Themes
from personalize_spark.themes.words import LANGUAGES

FORMAT = 2
_TEXT = " text"
"""No column of a dataset has a space in its name."""


@dataclass(frozen=True)
class CatalogueThemes:
    """What a training learned of a catalogue.

    Attributes:
        ids: of its items, ascending by their bytes.
        themes: what themes are made from, without names.
        names: by column, `name_hashes` of what it has.
        columns: what these columns have, by item.
        texts: what the textual field says of each item.
    """

    ids: Sequence[str]
    themes: Themes
    names: Mapping[str, NDArray[np.uint64]]
    columns: Mapping[str, Sequence[str | None]]
    texts: Sequence[str]


def write_themes(store: Store, learned: CatalogueThemes) -> Pinned:
    """Write what themes are made from."""
    terms = learned.themes.terms
    table = pa.RecordBatch.from_pydict(
        {
            "text": pa.array(terms.texts, pa.string()),
            "key": pa.array(terms.keys, pa.string()),
            "count": terms.counts,
            "whole": terms.whole,
            "purpose": terms.purpose,
            "category": pa.array(terms.categories, pa.bool_()),
        }
    )
    ids = pa.RecordBatch.from_pydict({"id": pa.array(learned.ids, pa.string())})
    entries = [write_table(store, "terms", table), write_table(store, "ids", ids)]
    entries += write_ragged(store, "items", terms.items)
    entries.append(write_column(store, "item_vectors", learned.themes.item_vectors))
    entries.append(write_column(store, "term_vectors", learned.themes.term_vectors))
    entries += [write_column(store, f"names/{column}", hashes) for column, hashes in learned.names.items()]
    said = {name: [(each or "")[:MAX_NAME] for each in values] for name, values in learned.columns.items()}
    said[_TEXT] = [each[:MAX_TEXT] for each in learned.texts]
    entries.append(
        write_table(
            store,
            "about",
            pa.RecordBatch.from_pydict({name: pa.array(each, pa.string()) for name, each in said.items()}),
        )
    )
    about = {
        "format": FORMAT,
        "language": terms.language.code,
        "scale": learned.themes.scale,
        "columns": list(learned.names),
    }
    return finish(store, entries, about)


def format_problem(artifact: Artifact) -> str:
    """Why this release cannot read the themes of an artifact; empty if it can."""
    if artifact.properties.get("format") == FORMAT:
        return ""
    return f"The themes in {artifact.store.root} were learned by another release of personalize_spark: train the solution version again."


def read_themes(artifact: Artifact, item_name: str) -> Themes:
    """Map what themes are made from.

    Args:
        artifact: of `write_themes`.
        item_name: the column that holds the names of items.

    Raises:
        ArtifactError: the column was not there at the training, or an older release trained.
    """
    if problem := format_problem(artifact):
        raise ArtifactError(problem)
    if item_name not in artifact.properties["columns"]:
        raise ArtifactError(
            f"The solution version was trained before the Items dataset had {item_name}: train it again."
        )
    table = artifact.table("terms")
    columns = {name: table.column(name) for name in ("count", "whole", "purpose", "category")}
    terms = Terms(
        table.column("text").to_pylist(),
        table.column("key").to_pylist(),
        columns["count"].to_numpy(),
        columns["whole"].to_numpy(),
        columns["purpose"].to_numpy(),
        columns["category"].to_numpy(zero_copy_only=False),
        artifact.ragged("items"),
        LANGUAGES[artifact.properties["language"]],
    )
    return Themes(
        terms,
        artifact.column("item_vectors"),
        artifact.column("term_vectors"),
        artifact.column(f"names/{item_name}"),
        artifact.properties["scale"],
    )


def set_key(ids: Iterable[bytes]) -> str:
    """Names a set of items, whatever their order."""
    return blake2b(b"\0".join(sorted(ids)), digest_size=16).hexdigest()


class ModelThemes:
    """Themes for the lists of a model; an item that the Items dataset had not at the training has the relevance 0.

    Args:
        artifact: of `write_themes`.
        item_name: the column that holds the names of items.
        model: gives the lists.
        phrases: by `set_key`, what a language model calls a set.
    """

    def __init__(
        self, artifact: Artifact, item_name: str, model: Model, phrases: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._themes = read_themes(artifact, item_name)
        self._artifact, self._item_name, self._phrases = artifact, item_name, phrases
        self._model = model
        self._ids = [each.encode() for each in model.item_ids()]
        known = artifact.table("ids").column("id")
        found = pc.fill_null(pc.index_in(pa.array(model.item_ids(), pa.string()), known), -1)
        self._rows: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)

    def themed(self, answers: Recommendations, lines: Sequence[Object]) -> Recommendations:
        """The answers with a theme each, their items by descending relevance; see `answer.Namer`."""
        lists = [answers.items.row(line) for line in range(len(answers.items))]
        themes, scores = self.explained(lists, ids_of(lines, ITEM_ID))
        orders = [
            ordered(relevance, [self._ids[item] for item in items])
            for items, relevance in zip(lists, scores, strict=True)
        ]
        empty = [np.empty(0, np.int64)]
        items = np.concatenate([*empty, *(each[order] for each, order in zip(lists, orders, strict=True))])
        relevance = [each[order] for each, order in zip(scores, orders, strict=True)]
        return replace(
            answers,
            items=Ragged(answers.items.indptr, items.astype(np.int64)),
            themes=[orjson.dumps(each.text) for each in themes],
            relevance=np.concatenate([np.empty(0, np.float32), *relevance]),
        )

    def explained(
        self, lists: Sequence[NDArray[np.int64]], questions: Sequence[str]
    ) -> tuple[list[Theme], list[NDArray[np.float32]]]:
        """The themes of lists of the model's items, and the relevance of each item.

        Args:
            lists: int64 (n,), rows of the model.
            questions: the ids of the items that were asked about.
        """
        asked = self._model.rows_of(questions)
        rows = [self._rows[each] for each in lists]
        sets = [each[each >= 0] for each in rows]
        themes = self._themes.of(sets, np.where(asked >= 0, self._rows[asked], -1).tolist(), self._called(lists))
        scores = [np.zeros(len(each), np.float32) for each in rows]
        for own, known, theme in zip(scores, rows, themes, strict=True):
            own[known >= 0] = theme.scores
        return themes, scores

    def about(self, ids: Sequence[str]) -> list[About]:
        """What a language model is told of items; nothing of one that the Items dataset had not."""
        table = self._artifact.table("about")
        known = self._rows[self._model.rows_of(ids)]
        rows = known[known >= 0]
        said = (table.column(name).take(pa.array(rows)).to_pylist() for name in (self._item_name, _TEXT))
        return [About(name, text) for name, text in zip(*said, strict=True)]

    def flaw_of(self, text: str, items: Sequence[About]) -> str:
        """Why a text can be no theme of items; empty if it can."""
        if self._themes.is_name(text):
            return "the name of an item"
        return flaw_of(text, self._themes.terms.language, items)

    def _called(self, lists: Sequence[NDArray[np.int64]]) -> list[str | None] | None:
        """What a language model calls each list, if one was asked."""
        if not self._phrases:
            return None
        return [self._phrases.get(set_key(self._ids[item] for item in items)) for items in lists]
