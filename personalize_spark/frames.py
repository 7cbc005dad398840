"""Data frames in and out: recommendations for the rows of a frame, and the outputs of jobs as a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import pyarrow as pa

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import InvalidInputException, did_you_mean
from personalize_spark.extensions import ITEM_IDS
from personalize_spark.job.job import Job
from personalize_spark.job.prepared import Prepared
from personalize_spark.job.shipped import ship, shipped
from personalize_spark.recipes.recipe import ITEM_ID
from personalize_spark.service.batch_inference_jobs import check_recommendation
from personalize_spark.storage.location import Place, hadoop_uri, uri_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Frame = TypeVar("Frame")

ASKED = ("userId", "itemId", "itemList", "filterValues")
"""The columns that say what a row asks for; a null is a key that the row has not."""
ANSWERS = pa.schema(
    [("recommendedItems", pa.list_(pa.string())), ("scores", pa.list_(pa.float64())), ("error", pa.string())]
)
_INPUT = "userId STRING, itemId STRING, itemList ARRAY<STRING>, filterValues MAP<STRING, STRING>"
_OUTPUT = "recommendedItems ARRAY<STRING>, scores ARRAY<DOUBLE>, theme STRING, itemsThemeRelevanceScores ARRAY<DOUBLE>"
_IS_OBJECT = r'^\s*\{\s*"input"\s*:\s*\{'


def recommend(  # the request's members
    frame: Frame,
    *,
    catalog: Catalog | Place,
    solution_version: str,
    filter: str | None = None,  # noqa: A002  # the service's word
    num_results: int | None = None,
    config: Mapping[str, Any] | None = None,
    ship_model: bool = False,
) -> Frame:
    """Recommend for each row of a frame what a batch inference job would answer to it.

    The frame has the keys of an input line as columns, as far as the recipe and the filter need them: `userId` and `itemId`
    (string or int), `itemList` (list of them), `filterValues` (map or struct of string). A null is a key that is not there.
    Other columns pass through.

    A Spark frame is answered where its rows are, by `mapInArrow`, and only when the result is used; Spark Connect does as well.
    The tasks need this package. They read the model from the catalog with their own credentials, or it is sent to them by
    `ship_model`. Frames of pandas, polars and pyarrow are answered in this process, without Spark.

    Args:
        frame: of Spark, pandas or polars, or a `pyarrow.Table`.
        catalog: the catalog, or where it is.
        solution_version: the ARN of the solution version.
        filter: the ARN of a filter.
        num_results: items for each row; if left out, 25.
        config: a `batchInferenceJobConfig`, for exploration and ranking influence.
        ship_model: for tasks that have no access to the catalog: this process reads the model, with the rows of all users, and
            sends it to every host, once for each session. It takes as much of this host's disk, and of each one's, as the model
            has; large models are better read from a catalog. Without Spark Connect it needs Spark 4.0.

    Returns:
        A frame of the same kind with the columns `recommendedItems` (list of string, best first), `scores` (list of double in
        [0, 1]; null for recipes without scores) and `error` (string; null where the row was answered).

    Raises:
        ServiceError: as the service would refuse a job that asks for this, or the frame lacks a column that the recipe needs.
        EnvironmentProblem: the session takes no model (`ship_model`).
    """
    given = {"solutionVersionArn": solution_version, "filterArn": filter, "numResults": num_results}
    job = check_recommendation(Catalog(catalog), {**given, "batchInferenceJobConfig": config})
    if job.extensions.with_columns or job.extensions.also_parquet:
        raise InvalidInputException("withColumns and alsoParquet are for the outputs of jobs: a frame has neither.")
    prepared, way = Prepared(job), _way_of(frame)
    if ship_model and way is _on_spark:
        way = partial(_on_spark, ship_model=True)
    answered: Frame = way(frame, _asked(_columns_of(frame), prepared), prepared)
    return answered


def read_output(spark: SparkSession, path: Place) -> DataFrame:
    """The `.out` files of jobs as a frame, with the same columns whatever the lines are.

    Spark's own inference makes `input` a string as soon as one line of the input was no JSON object. Here it is null for such a line.

    Args:
        spark: the session; a path on S3 needs S3A.
        path: an `.out` file, or a folder of them.

    Returns:
        `input` (struct of userId, itemId, itemList, filterValues), `inputText` (string: the input as it is echoed), `output`
        (struct of recommendedItems, scores, theme, itemsThemeRelevanceScores) and `error` (string).
    """
    from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

    reader = spark.read.option("pathGlobFilter", "*.out").option("recursiveFileLookup", "true")
    lines = reader.text(hadoop_uri(uri_of(path)))
    is_object, text = F.col("value").rlike(_IS_OBJECT), F.col("line.input")
    line = F.from_json("value", f"input STRING, output STRUCT<{_OUTPUT}>, error STRING")
    return lines.select(line.alias("line"), is_object.alias("is_object")).select(
        F.when(F.col("is_object"), F.from_json(text, _INPUT)).alias("input"),
        text.alias("inputText"),
        F.col("line.output").alias("output"),
        F.col("line.error").alias("error"),
    )


def _way_of(frame: object) -> Callable[[Any, list[str], Prepared], Any]:
    library = type(frame).__module__.partition(".")[0]
    if library not in _BY_LIBRARY:
        kinds = ", ".join(_BY_LIBRARY)
        raise InvalidInputException(f"{type(frame).__name__} is no data frame: give one of {kinds}.")
    return _BY_LIBRARY[library]


def _columns_of(frame: Any) -> list[str]:
    return list(frame.column_names if isinstance(frame, pa.Table) else frame.columns)


def _asked(columns: list[str], prepared: Prepared) -> list[str]:
    """The columns that say what a row asks for.

    Raises:
        InvalidInputException: one is missing, or a column has the name of an answer.
    """
    line_keys = prepared.job.extensions.line_keys
    for name in prepared.recipe.required:
        if name not in columns and not (name == ITEM_ID and ITEM_IDS in line_keys and ITEM_IDS in columns):
            hint = did_you_mean(name, columns)
            raise InvalidInputException(f"The frame has no column {name}{hint}; {prepared.recipe.name} needs it.")
    if taken := [name for name in ANSWERS.names if name in columns]:
        raise InvalidInputException(f"The frame has a column {taken[0]} already: rename it.")
    return [name for name in (*ASKED, *line_keys) if name in columns]


def _on_spark(frame: DataFrame, asked: list[str], prepared: Prepared, *, ship_model: bool = False) -> DataFrame:
    from pyspark.sql.types import ArrayType, DoubleType, StringType, StructType

    job = prepared.job
    archive = ship(frame.sparkSession, job) if ship_model else None

    def answer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _answered_batches(batches, asked, job if archive is None else shipped(job, archive))

    schema, texts = StructType([*frame.schema.fields]), ArrayType(StringType())
    for name, kind in zip(ANSWERS.names, (texts, ArrayType(DoubleType()), StringType()), strict=True):
        schema.add(name, kind)
    return frame.mapInArrow(answer, schema)


def _answered_batches(batches: Iterable[pa.RecordBatch], asked: list[str], job: Job) -> Iterator[pa.RecordBatch]:
    prepared = Prepared(job)
    for batch in batches:
        answers = _answers(batch.select(asked), prepared)
        arrays = [*batch.columns, *(column.combine_chunks() for column in answers.columns)]
        yield pa.RecordBatch.from_arrays(arrays, names=[*batch.schema.names, *ANSWERS.names])


def _of_pandas(frame: Any, asked: list[str], prepared: Prepared) -> Any:
    answers = _answers(pa.Table.from_pandas(frame[asked], preserve_index=False), prepared)
    return frame.assign(**{name: answers.column(name).to_pylist() for name in answers.column_names})


def _of_polars(frame: Any, asked: list[str], prepared: Prepared) -> Any:
    return frame.hstack(type(frame)(_answers(frame.select(asked).to_arrow(), prepared)))


def _of_arrow(table: pa.Table, asked: list[str], prepared: Prepared) -> pa.Table:
    answers = _answers(table.select(asked), prepared)
    for name, column in zip(answers.column_names, answers.columns, strict=True):
        table = table.append_column(name, column)
    return table


_BY_LIBRARY: Mapping[str, Callable[[Any, list[str], Prepared], Any]] = {
    "pyspark": _on_spark,
    "pandas": _of_pandas,
    "polars": _of_polars,
    "pyarrow": _of_arrow,
}


def _answers(asked: pa.Table | pa.RecordBatch, prepared: Prepared) -> pa.Table:
    """Three columns, `ANSWERS`, of as many rows."""
    batches = asked.to_batches() if isinstance(asked, pa.Table) else [asked]
    found = [
        _answered_rows(part.slice(first, prepared.block), prepared)
        for part in batches
        for first in range(0, part.num_rows, prepared.block)
    ]
    return pa.Table.from_batches(found, ANSWERS)


def _answered_rows(rows: pa.RecordBatch, prepared: Prepared) -> pa.RecordBatch:
    lines = [orjson.dumps(_line(row)) for row in rows.to_pylist()]
    answers = [orjson.loads(line) for line in prepared.answer_lines(lines).data.splitlines()]
    lists = [answer["output"] for answer in answers]
    columns = [[each.get(name) for each in lists] for name in ("recommendedItems", "scores")]
    return pa.RecordBatch.from_pydict(
        dict(zip(ANSWERS.names, [*columns, [answer["error"] for answer in answers]], strict=True)), ANSWERS
    )


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as an input line; Arrow has maps as pairs, and structs with all keys of all rows."""
    line = {name: value for name, value in row.items() if value is not None}
    if "filterValues" in line:
        line["filterValues"] = {key: value for key, value in dict(line["filterValues"]).items() if value is not None}
    return line
