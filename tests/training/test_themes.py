from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.themes import read_themes
from personalize_spark.schemas import Column
from personalize_spark.solutions.train import _learn_themes
from personalize_spark.storage.file import FileStore
from personalize_spark.training.metadata import Metadata
from personalize_spark.training.themes import Semantic, learn_themes

COLUMNS = [
    Column("ITEM_ID", "string"),
    Column("PRICE", "double"),
    Column("TITLE", "string", item_name=True),
    Column("SERIES", "string", nullable=True),
    Column("KIND", "string", nullable=True, categorical=True),
    Column("TEXT", "string", nullable=True, textual=True),
]
TABLE = pa.table(
    {
        "ITEM_ID": ["a", "b", "c", "d"],
        "PRICE": [1.0, 2.0, 3.0, 4.0],
        "TITLE": ["Blue Pan", "Blue Pot", "Lead", "Bowl"],
        "SERIES": ["Old Mill", None, "Old Mill", None],
        "KIND": ["Kitchen|Sale", "Kitchen", None, "Pets"],
        "TEXT": ["For slow breakfasts.", "Made for slow breakfasts.", "For muddy walks.", None],
    }
)


def test_names_texts_and_categories_are_learned() -> None:
    learned = learn_themes(TABLE, COLUMNS, Semantic())
    assert learned.ids == ["a", "b", "c", "d"]
    assert {"Kitchen", "slow breakfasts"} <= set(learned.themes.terms.texts)
    assert set(learned.names) == {"ITEM_ID", "TITLE", "SERIES", "KIND"}
    lengths = np.linalg.norm(learned.themes.item_vectors, axis=1)
    assert ((np.abs(lengths - 1) < 1e-6) | (lengths == 0)).all()
    assert learned.themes.term_vectors.shape == (len(learned.themes.terms.texts), learned.themes.item_vectors.shape[1])


def test_what_is_learned_is_read_as_it_was_written(tmp_path: Path) -> None:
    fields = _learn_themes(FileStore(str(tmp_path)), Metadata(TABLE, COLUMNS, 0))
    read, learned = read_themes(Pinned(**fields["themes"]).open(), "TITLE"), learn_themes(TABLE, COLUMNS, Semantic())
    assert (read.terms.texts, read.terms.keys) == (learned.themes.terms.texts, learned.themes.terms.keys)
    assert (read.terms.language, read.scale) == (learned.themes.terms.language, learned.themes.scale)
    for mine, theirs in (
        (read.terms.counts, learned.themes.terms.counts),
        (read.terms.whole, learned.themes.terms.whole),
        (read.terms.categories, learned.themes.terms.categories),
        (read.terms.items.values, learned.themes.terms.items.values),
        (read.item_vectors, learned.themes.item_vectors),
        (read.term_vectors, learned.themes.term_vectors),
        (read.names, learned.names["TITLE"]),
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_without_texts_there_are_no_themes(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    assert _learn_themes(store, None) == {}
    assert _learn_themes(store, Metadata(TABLE, COLUMNS[:-1], 0)) == {}
    assert list(store.list()) == []


def test_a_column_of_names_is_read_as_names_though_an_inferred_schema_calls_it_categorical() -> None:
    names = [*(f"Present {number} for rainy days" for number in range(30)), "Ball", "Box"]
    ids, kinds = [f"{number:02}" for number in range(32)], ["Toys", "Games"] * 16
    table = pa.table({"ITEM_ID": ids, "TITLE": names, "KIND": kinds})
    columns = [Column("ITEM_ID", "string"), *(Column(name, "string", categorical=True) for name in ("TITLE", "KIND"))]
    terms = learn_themes(table, columns, Semantic()).themes.terms
    categories = {text for text, is_value in zip(terms.texts, terms.categories, strict=True) if is_value}
    assert categories == {"Toys", "Games"}
    assert "rainy days" in terms.texts
