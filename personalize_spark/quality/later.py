"""Later interactions, which a model is measured with: a CSV file, read."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from operator import itemgetter

from personalize_spark.errors import DataError
from personalize_spark.storage.location import Place, open_store, split_prefix, uri_of

USER_ID, ITEM_ID, TIMESTAMP = "USER_ID", "ITEM_ID", "TIMESTAMP"

Interaction = tuple[str, str, float]
"""A user, an item, and when; 0 where nobody asked when."""


def read_interactions(source: Place, *, timed: bool = False) -> list[Interaction]:
    """All rows of a file, in their order; `timed` ones must say when.

    Raises:
        ObjectNotFound: there is no such file.
        DataError: it is not CSV with these columns, or a row lacks a value.
    """
    source = uri_of(source)
    folder, name = split_prefix(source)
    data = open_store(folder).read(name)
    wanted = [USER_ID, ITEM_ID, TIMESTAMP] if timed else [USER_ID, ITEM_ID]
    interactions = []
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), escapechar="\\", strict=True)
        if not {*wanted} <= set(rows.fieldnames or ()):
            columns = f"{', '.join(wanted[:-1])} and {wanted[-1]}"
            raise DataError(f"The first line of {source} must name the columns {columns}.")
        for row in rows:
            if not row[USER_ID] or not row[ITEM_ID]:
                raise DataError(f"{source}, line {rows.line_num} has no {USER_ID} or no {ITEM_ID}: remove that line.")
            interactions.append((row[USER_ID], row[ITEM_ID], _time(row, source, rows.line_num) if timed else 0.0))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{source} is not CSV in UTF-8: {error}.") from error
    return interactions


def last_two(interactions: Sequence[Interaction]) -> list[tuple[str, str]]:
    """The last item of each user and the one before it, which is another one, as (before, last); of users who have both."""
    ordered = sorted(interactions, key=itemgetter(0, 2))  # of one time: as they stand in the file
    pairs = []
    for _, rows in itertools.groupby(ordered, key=itemgetter(0)):
        items = [item for item, _ in itertools.groupby(row[1] for row in rows)]
        if len(items) > 1:
            pairs.append((items[-2], items[-1]))
    return pairs


def _time(row: dict[str, str], source: Place, line: int) -> float:
    try:
        return float(row[TIMESTAMP])
    except (TypeError, ValueError) as error:
        raise DataError(f"{source}, line {line} has no {TIMESTAMP} that is a number: remove that line.") from error
