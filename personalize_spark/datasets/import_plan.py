"""An import before it starts: which files, in which schema, read how. Only tables need Spark, and nothing is written."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from os import PathLike
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import find_dataset, find_schema
from personalize_spark.datasets.csv_files import HEAD
from personalize_spark.datasets.inference import infer
from personalize_spark.datasets.rows import Reading, Sample, check_header, read_rows, sample
from personalize_spark.datasets.table_files import TableSource, find_table
from personalize_spark.datasets.times import TIMES, TimeForm, form_of_column, note_of
from personalize_spark.errors import DataError, InvalidInputException, ResourceNotFoundException, quoted
from personalize_spark.schemas import INTERACTIONS, Schema
from personalize_spark.storage.content import is_litter
from personalize_spark.storage.location import Place, open_store, split_prefix, uri_of
from personalize_spark.storage.store import Object, ObjectReader, Store, stream

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from personalize_spark.datasets.table_rows import Table

MISSING_WORDS = "missingWords"
"""Member of a dataset's record: its schema was inferred, so words for missing values count in what is added, too."""
_CALLED = {"USER_ID": "customer_id", "ITEM_ID": "product_id", "TIMESTAMP": "time"}
"""What others call the required fields, for examples."""
_SAMPLE_ROWS = 100_000
_LITTLE_BYTES, _LITTLE_ROWS = 2 << 20, 20_000
"""Data for which a session that starts fast is worth more than one that runs fast."""


class ImportMode(StrEnum):
    """As in CreateDatasetImportJob."""

    FULL = "FULL"
    INCREMENTAL = "INCREMENTAL"


@dataclass(frozen=True)
class CsvSource:
    """CSV files: one object, or all below a folder or prefix; the schema is inferred where none is given.

    Attributes:
        uri: of the file or folder.
        schema: in the service's Avro form.
        names: by column of the schema, what the files call it; for columns that have another name there.
    """

    uri: str
    schema: Mapping[str, Any] | None = None
    names: Mapping[str, str] = field(default_factory=dict)


def source_of(
    at: Place | DataFrame, schema: Mapping[str, Any] | None, names: Mapping[str, str]
) -> CsvSource | TableSource:
    """What to import: a frame, the table that lies at a place, or else CSV files.

    Raises:
        InvalidInputException: it is neither a place nor a frame of Spark, or two names are mapped to one column.
        DataError: a table of another kind than Parquet and Delta lies there.
    """
    if len({*names.values()}) < len(names):
        pairs = ", ".join(f"{name}={column}" for name, column in names.items())
        raise InvalidInputException(f"Two names are mapped to one column: {pairs}.")
    if not isinstance(at, str | PathLike):
        if not hasattr(at, "mapInArrow"):
            raise InvalidInputException(
                f"A {type(at).__module__.partition('.')[0]} {type(at).__name__} cannot be imported: give a path, or a frame of "
                "Spark (spark.createDataFrame(...))."
            )
        return TableSource(at, schema, names)
    uri = uri_of(at)
    table = find_table(uri)
    return CsvSource(uri, schema, names) if table is None else TableSource(table, schema, names)


@dataclass(frozen=True)
class Files:
    """What to read of a dataset: the files of a folder, in the columns of the schema; `adds` to the rows that are there."""

    folder: str
    files: list[Object]
    reading: Reading
    adds: bool
    notes: list[str]

    @property
    def schema(self) -> Schema:
        """The columns of the dataset."""
        return self.reading.schema

    def rows(self, number: int) -> Iterator[pa.RecordBatch]:
        """The rows of one file; see `read_rows`."""
        store = open_store(self.folder)
        with stream(store, self.files[number]) as file:
            yield from read_rows(file, self.name(number), self.reading)

    def name(self, number: int) -> str:
        """The URI of one file."""
        return open_store(self.folder).root + self.files[number].name


@dataclass(frozen=True)
class ImportPlan:
    """An import before it starts: the dataset group, the files or the table of each dataset; whether all of it is `little` data.

    `filter_history` is how many of a user's newest interactions of each event type filters see from now on; `None`: as before.
    """

    group: Arn
    datasets: list[Files | Table]
    little: bool
    filter_history: int | None = None


def plan_import(
    catalog: Catalog,
    group: str,
    sources: Mapping[str, CsvSource | TableSource],
    mode: ImportMode = ImportMode.FULL,
    begin: Callable[[], SparkSession] | None = None,
    filter_history: int | None = None,
) -> ImportPlan:
    """List the files, settle the schemas and compare every header with them; nothing is written, only tables need Spark.

    Args:
        catalog: holds the dataset group, if it is not a new one.
        group: the name of the dataset group.
        sources: by dataset type, `Interactions`, `Items` or `Users`.
        mode: FULL replaces what is there; INCREMENTAL adds interactions, and updates items and users by id.
        begin: gives the session that reads tables; it is asked for when all else is checked.
        filter_history: see `ImportPlan`.

    Raises:
        InvalidInputException: there is nothing, the group's name or a schema is not valid, a file lacks columns, or its times have two forms.
        DataError: there is no file, or one that is not CSV in UTF-8.
    """
    if not sources:
        raise InvalidInputException("Nothing to import: give at least one of interactions, items and users.")
    if filter_history is not None and filter_history < 1:
        raise InvalidInputException(f"filter_history is {filter_history}: filters see at least 1 event of each type.")
    arn = _group_arn(catalog, group)
    kept = {name: None if mode is ImportMode.FULL else _kept(catalog, arn, name) for name in sources}
    given = {name: _given(name, source.schema, kept[name]) for name, source in sources.items()}
    planned: dict[str, Files | Table] = {
        name: _plan(name, source, given[name], kept[name])
        for name, source in sources.items()
        if isinstance(source, CsvSource)
    }
    if begin is not None and len(planned) < len(sources):
        from personalize_spark.datasets.table_rows import plan_table

        session = begin()
        planned |= {
            name: plan_table(name, source, session, given[name], kept[name])
            for name, source in sources.items()
            if isinstance(source, TableSource)
        }
    for name, source in sources.items():
        if source.schema is not None and source.schema["name"] != name:
            planned[name].notes.insert(
                0, f"The schema is called {source.schema['name']!r}; the service's name for it is {name}."
            )
    files = [each for each in planned.values() if isinstance(each, Files)]
    read = sum(file.size for each in files for file in each.files)
    little = len(files) == len(planned) and read <= _LITTLE_BYTES  # how much a table holds is not known
    little = little and (mode is ImportMode.FULL or has_little(catalog, arn))
    return ImportPlan(arn, [planned[name] for name in sources], little, filter_history)


def _given(dataset: str, avro: Mapping[str, Any] | None, kept: Reading | None) -> Schema | None:
    """The schema that is given, if it is one of what is there."""
    schema = None if avro is None else Schema.parse(dataset, avro)
    if schema is not None and kept is not None and schema != kept.schema:
        raise InvalidInputException(
            f"The schema given for {dataset} differs from that of the existing rows. Only an import in the mode FULL can change it."
        )
    return schema


def has_little(catalog: Catalog, group: Arn) -> bool:
    """Whether a dataset group has so few interactions that a session should start fast."""
    with suppress(ResourceNotFoundException):
        fields = catalog.read(group).fields
        if "view" in fields:
            return bool(Pinned(**fields["view"]).open().properties["interactions"] <= _LITTLE_ROWS)
        find_dataset(catalog, group, INTERACTIONS)
        return False  # a table that nobody has counted
    return True


def _group_arn(catalog: Catalog, name: str) -> Arn:
    """The ARN of the dataset group of that name, or the one that it will have; all others of the catalog follow it."""
    local = catalog.new_arn("dataset-group", name)
    return next((each.arn for each in catalog.list("dataset-group") if each.arn.name == name), local)


def _kept(catalog: Catalog, group: Arn, dataset: str) -> Reading | None:
    """How to read what is added to what is there, if anything is."""
    try:
        record = find_dataset(catalog, group, dataset)
        return Reading(find_schema(catalog, record), missing_words=record.fields.get(MISSING_WORDS, False))
    except ResourceNotFoundException:
        return None


def _plan(dataset: str, source: CsvSource, given: Schema | None, kept: Reading | None) -> Files:
    """List the files, settle the schema and look for its columns in every file.

    What is added to has the `kept` schema; else it is inferred from the first rows of all files.
    """
    folder, files = files_of(source.uri)
    store = open_store(folder)
    samples = [_sample(store, each, -(-_SAMPLE_ROWS // len(files)), source.names) for each in files]
    notes = [note for each in samples for note in each.notes]
    schema = given or (kept.schema if kept else None)
    words = given is None and (kept is None or kept.missing_words)
    names = [store.root + each.name for each in files]
    if schema is None:
        schema, reasons = _inferred(dataset, names, samples, source.names)
        notes += reasons
    for name, each in zip(names, samples, strict=True):
        check_header(name, each.header, schema)
    if more := sorted({name for each in samples for name in each.header} - set(schema.names)):
        notes.append(f"The schema of {dataset} has no {', '.join(more)}: left out.")
    times, read = _times(schema, names, samples)
    return Files(folder, files, Reading(schema, times, words, source.names), kept is not None, notes + read)


def files_of(uri: str) -> tuple[str, list[Object]]:
    """A folder, and the files to import from it: the one that is named, or all below it that hold data.

    Raises:
        DataError: there is none with content.
    """
    folder, prefix = split_prefix(uri)
    store = open_store(folder)
    found = [each for each in store.list(prefix) if each.name == prefix] or list(store.list(prefix and prefix + "/"))
    files = [each for each in found if each.size and (each.name == prefix or _is_data(each.name, prefix))]
    if not files:
        raise DataError(f"There is nothing to import: {uri} has no file with content.")
    return folder, files


def _is_data(name: str, prefix: str) -> bool:
    """Spark does not read what begins with `_` as part of a table, and neither does an import."""
    return not (is_litter(name, prefix) or name.rpartition("/")[2].startswith("_"))


def _sample(store: Store, found: Object, rows: int, names: Mapping[str, str]) -> Sample:
    # Of thousands of files no more is read than their first lines.
    with io.BufferedReader(ObjectReader(store, found), HEAD) as file:
        return sample(file, store.root + found.name, rows, names)


def _inferred(
    dataset: str, names: Sequence[str], samples: Sequence[Sample], mapped: Mapping[str, str]
) -> tuple[Schema, list[str]]:
    """The schema that the first rows of all files suggest, and the reasons for its types."""
    header = samples[0].header
    alike = [(name, each) for name, each in zip(names, samples, strict=True) if sorted(each.header) == sorted(header)]
    columns = [list(chain(*(each.columns[each.header.index(name)] for _, each in alike))) for name in header]
    places = list(chain(*(_places(name, each, len(names)) for name, each in alike)))
    try:
        found = infer(dataset, header, columns, places)
    except InvalidInputException as error:
        theirs = ", ".join(mapped.get(each, each) for each in header)
        way = _way(error.message, mapped)
        raise InvalidInputException(f"The header of {names[0]} names {theirs}. {error.message}{way}") from error
    return found.schema, found.reasons


def _way(problem: str, mapped: Mapping[str, str]) -> str:
    """What to do about a column that is missing, if one is."""
    missing = re.search(r"required field (\w+) is missing", problem)
    if missing is None:
        return ""
    name = missing[1]
    if name in mapped:
        return f" It has no column {quoted(mapped[name])}, which {name} is mapped to."
    return f" If it is called otherwise, map it: --map {name}={_CALLED.get(name, 'its_name')}."


def _places(name: str, found: Sample, files: int) -> list[str]:
    """Where each row of a sample stands."""
    return [f"line {line} of {name}" if files > 1 else f"line {line}" for line in found.lines]


def _times(schema: Schema, names: Sequence[str], samples: Sequence[Sample]) -> tuple[dict[str, TimeForm], list[str]]:
    """By column, the form of its times, and what to say of it."""
    forms, notes = {}, []
    for column in TIMES:
        if not schema.has(column):
            continue
        values, places = [], []
        for name, each in zip(names, samples, strict=True):
            at = zip(each.columns[each.header.index(column)], _places(name, each, len(names)), strict=True)
            there = [(value, place) for value, place in at if value]
            values += [value for value, _ in there]
            places += [place for _, place in there]
        forms[column] = form_of_column(column, values, places)
        if (note := note_of(column, forms[column], values)) is not None:
            notes.append(note)
    return forms, notes
