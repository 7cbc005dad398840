from __future__ import annotations

import pyarrow as pa

from personalize_spark.schemas import Column
from personalize_spark.training.metadata import Metadata


def test_the_name_of_an_item_is_words_and_no_tag() -> None:
    columns = (
        Column("ITEM_ID", "string"),
        Column("TITLE", "string", item_name=True),
        Column("GENRE", "string", categorical=True),
        Column("PLOT", "string", textual=True),
    )
    rows = pa.table({"ITEM_ID": ["a"], "TITLE": ["Sunrise"], "GENRE": ["drama|silent"], "PLOT": ["farmer tempted"]})
    metadata = Metadata(rows, columns, 0)
    assert list(metadata.tags()) == [["GENRE=drama", "GENRE=silent"]]
    assert list(metadata.words()) == [["sunrise", "farmer", "tempted"]]
