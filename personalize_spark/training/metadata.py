"""The Items dataset as trainings read it: what describes an item in words, and when it came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import find_dataset, find_schema
from personalize_spark.datasets.delta_tables import table_of
from personalize_spark.errors import ResourceNotFoundException
from personalize_spark.schemas import ITEMS, Column
from personalize_spark.spark import collect_arrow
from personalize_spark.training.lsa import words_of

_CREATED = "CREATION_TIMESTAMP"


@dataclass(frozen=True)
class Metadata:
    """The rows of Items by ascending id.

    Attributes:
        table: `ITEM_ID` and the other columns.
        columns: the columns, as the schema has them.
        version: of the Delta table.
    """

    table: pa.Table
    columns: Sequence[Column]
    version: int

    @property
    def ids(self) -> list[str]:
        """The ids of the items."""
        ids: list[str] = self.table.column("ITEM_ID").to_pylist()
        return ids

    @property
    def has_text(self) -> bool:
        """Whether a field is textual."""
        return any(column.textual for column in self.columns)

    def tags(self) -> Iterator[list[str]]:
        """By item, its categories, as words like `GENRE=drama`."""
        fields = [each for each in self.columns if each.is_text and not each.textual and not each.item_name]
        lists = [self.table.column(field.name).to_pylist() for field in fields if field.name != "ITEM_ID"]
        names = [field.name for field in fields if field.name != "ITEM_ID"]
        for values in zip(*lists, strict=True) if lists else ([] for _ in range(self.table.num_rows)):
            yield [
                f"{name}={each}"
                for name, value in zip(names, values, strict=True)
                if value
                for each in value.split("|")
            ]

    def words(self) -> Iterator[list[str]]:
        """By item, the words of its name and of its text."""
        fields = [each.name for each in self.columns if each.textual or each.item_name]
        for values in zip(*(self.table.column(name).to_pylist() for name in fields), strict=True):
            yield [word for value in values if value for word in words_of(value)]

    def created(self) -> NDArray[np.int64] | None:
        """int64 (n,): when each item came, in epoch seconds, the earliest where it is not said; `None` without the field."""
        if _CREATED not in self.table.column_names:
            return None
        column = self.table.column(_CREATED)
        filled: NDArray[np.int64] = pc.fill_null(column, pc.min(column)).to_numpy()
        return filled


def read_metadata(spark: SparkSession, catalog: Catalog, interactions: Arn) -> Metadata | None:
    """The Items dataset of the group of an Interactions dataset, if it has one."""
    try:
        dataset = find_dataset(catalog, interactions, ITEMS)
    except ResourceNotFoundException:
        return None
    schema = find_schema(catalog, dataset)
    table = table_of(spark, dataset).select(*schema.names)
    rows = collect_arrow(table.withColumn("_id", F.col("ITEM_ID").cast("binary"))).sort_by("_id").drop_columns(["_id"])
    return Metadata(rows, schema.columns, dataset.fields["deltaVersion"])
