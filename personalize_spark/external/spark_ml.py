"""What Spark ML has saved, told by its metadata and without Spark: the kind of a model, its columns, and what lies inside it.

A model is saved as a folder with `metadata/part-*`, one JSON document; the models of a pipeline lie in its folder `stages/`, the best
one of a search in `bestModel/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.errors import DataError
from personalize_spark.external.tables import names_below
from personalize_spark.storage.location import hadoop_uri, open_store

ALS, INDEXER = "ALSModel", "StringIndexerModel"


@dataclass(frozen=True)
class SavedModel:
    """A saved model.

    Attributes:
        uri: of its folder.
        kind: the name of its class, such as `ALSModel`.
        params: its parameters by name, the defaults too.
    """

    uri: str
    kind: str
    params: Mapping[str, Any]

    @property
    def outputs(self) -> Sequence[str]:
        """The columns that an indexer writes; it has labels for each."""
        return self.params.get("outputCols") or [self.params.get("outputCol", "")]

    @property
    def inputs(self) -> Sequence[str]:
        """The columns that an indexer reads, in the order of `outputs`."""
        return self.params.get("inputCols") or [self.params.get("inputCol", "")]

    def labels(self, spark: SparkSession, column: str | None) -> DataFrame:
        """The frame (number, id) of an indexer: label k has the number k.

        Args:
            spark: a session.
            column: the output whose labels are meant, if there are several.
        """
        place = self.outputs.index(column) if column in self.outputs else 0
        try:
            data = spark.read.parquet(hadoop_uri(f"{self.uri}/data"))
        except Exception as error:  # py4j's errors have no common base
            raise DataError(f"The labels of {self.uri} cannot be read: {str(error).partition(chr(10))[0]}") from error
        texts = F.col("labelsArray")[place] if "labelsArray" in data.columns else F.col("labels")
        return data.select(F.posexplode(texts).alias("number", "id")).withColumn(
            "number", F.col("number").cast("bigint")
        )

    @property
    def keeps_unknown(self) -> bool:
        """Whether an indexer gives all values that it does not know one more number, which has no label."""
        return self.params.get("handleInvalid") == "keep"


def saved_models(uri: str) -> list[SavedModel]:
    """The model that is saved at a URI, and those inside it; none if it is something else.

    Raises:
        DataError: there is nothing, or a model whose metadata cannot be read.
    """
    place = uri.rstrip("/")
    names = [f"/{name}" for name in names_below(uri)]
    if not any(name.startswith("/metadata/part-") for name in names):
        return []
    parts = sorted(name for name in names if name.rpartition("/")[0].endswith("/metadata") and "/part-" in name)
    folders = dict.fromkeys(name.rpartition("/metadata/")[0] for name in parts)
    return [
        _read(f"{place}{folder}", [name for name in parts if name.startswith(f"{folder}/metadata/")], place)
        for folder in folders
    ]


def saved_indexer(uri: str) -> SavedModel | None:
    """The indexer that is saved at a URI; `None` if it is something else."""
    return next((each for each in saved_models(uri)[:1] if each.kind == INDEXER), None)


def _read(uri: str, parts: Sequence[str], root: str) -> SavedModel:
    store = open_store(root)
    data = b"".join(store.read(name.removeprefix("/")) for name in parts)
    try:
        about = orjson.loads(data)
        params = {**about.get("defaultParamMap", {}), **about["paramMap"]}
        return SavedModel(uri, about["class"].rpartition(".")[2], params)
    except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{uri} has a folder metadata, but not that of a model of Spark ML: {error}.") from error
