"""An import tried out: all rows are read and checked, those of files in this process, without Spark; nothing is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from personalize_spark.datasets.import_plan import Files, ImportPlan
from personalize_spark.datasets.imported import KEYS, SHOWN, Imported, ImportReport, missing_notes, rejected_row
from personalize_spark.datasets.odd_ids import id_columns, notes_of_ids, notes_of_rows
from personalize_spark.datasets.rows import LINE, MISSING, REASON

if TYPE_CHECKING:
    from personalize_spark.datasets.table_rows import Table

_NOTHING = "An import fails: there is no row to import."


def try_import(plan: ImportPlan) -> ImportReport:
    """What the import would do: its report, without a view and without lists of rejected rows.

    An INCREMENTAL import may also replace rows that are there already.
    """
    tried = [_read(each) if isinstance(each, Files) else _read_table(each) for each in plan.datasets]
    told = [each if each.rows else replace(each, notes=[*each.notes, _NOTHING]) for each in tried]
    return ImportReport(str(plan.group), told, view=None)


def _read(files: Files) -> Imported:
    key = KEYS.get(files.schema.dataset)
    ids: dict[str, set[str]] = {name: set() for name in id_columns(files.schema)}
    good = rejected = 0
    examples: list[str] = []
    words: Counter[str] = Counter()
    for number in range(len(files.files)):
        for batch in files.rows(number):
            bad = batch.filter(pc.is_valid(batch.column(REASON)))
            good, rejected = good + batch.num_rows - bad.num_rows, rejected + bad.num_rows
            lines = bad.select([LINE, REASON]).slice(0, SHOWN - len(examples)).to_pylist()
            examples += [rejected_row(files.name(number), row[LINE], row[REASON]) for row in lines]
            words.update(chain.from_iterable(batch.column(MISSING).drop_null().to_pylist()))
            for name, found in ids.items():
                found.update(pc.unique(batch.column(name)).drop_null().to_pylist())
    rows = good if key is None else len(ids[key])
    notes = [*files.notes, *missing_notes(words), *notes_of_ids(ids)]
    return Imported(files.schema.dataset, files.schema, rows, good - rows, rejected, examples, None, None, notes)


def _read_table(table: Table) -> Imported:
    from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

    key = KEYS.get(table.schema.dataset)
    rows = table.checked_rows()
    counting = [F.count("*"), F.count(REASON), F.count_distinct(key) if key else F.count_if(F.col(REASON).isNull())]
    [(total, rejected, kept)] = rows.agg(*counting).collect()
    bad = rows.where(f"{REASON} is not null").orderBy(REASON).select(REASON).limit(SHOWN) if rejected else None
    examples = [rejected_row(table.name, None, reason) for (reason,) in bad.collect()] if bad else []
    return Imported(
        *(table.schema.dataset, table.schema, kept, total - rejected - kept, rejected, examples, None, None),
        notes=[*table.notes, *notes_of_rows(rows, table.schema)],
    )
