"""An import tried out: all rows are read and checked, in this process, without Spark; nothing is written."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pyarrow.compute as pc

from personalize_spark.datasets.import_plan import Files, ImportPlan
from personalize_spark.datasets.imported import KEYS, SHOWN, Imported, ImportReport, missing_notes
from personalize_spark.datasets.rows import LINE, MISSING, REASON


def try_import(plan: ImportPlan) -> ImportReport:
    """What the import would do: its report, without a view and without lists of rejected rows.

    An INCREMENTAL import may also replace rows that are there already.
    """
    return ImportReport(str(plan.group), [_read(each) for each in plan.datasets], view=None)


def _read(files: Files) -> Imported:
    key = KEYS.get(files.schema.dataset)
    ids: set[str] = set()
    good = rejected = 0
    examples: list[str] = []
    words: Counter[str] = Counter()
    for number in range(len(files.files)):
        for batch in files.rows(number):
            bad = batch.filter(pc.is_valid(batch.column(REASON)))
            good, rejected = good + batch.num_rows - bad.num_rows, rejected + bad.num_rows
            lines = bad.select([LINE, REASON]).slice(0, SHOWN - len(examples)).to_pylist()
            examples += [f"{files.name(number)}, line {row[LINE]}: {row[REASON]}" for row in lines]
            words.update(chain.from_iterable(batch.column(MISSING).drop_null().to_pylist()))
            if key is not None:
                ids.update(pc.drop_null(batch.column(key)).to_pylist())
    rows = good if key is None else len(ids)
    notes = [*files.notes, *missing_notes(words)]
    return Imported(files.schema.dataset, files.schema, rows, good - rows, rejected, examples, None, None, notes)
