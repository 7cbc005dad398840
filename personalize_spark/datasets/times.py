"""Times of datasets: epoch seconds, or what a whole column writes instead of them.

seconds    1700000000                the service's own form
decimal    1700000000.0, 1.7E+09     what pandas writes after a missing value, and what spreadsheets write
iso        2023-11-14T22:13:20Z      ISO 8601 with a zone; a fraction of a second is cut off
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from personalize_spark.errors import InvalidInputException, quoted

TIMES = ("TIMESTAMP", "CREATION_TIMESTAMP")
"""The columns that hold times."""
_SECONDS = re.compile(r"-?[0-9]+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_SCIENTIFIC = re.compile(r".*[eE].*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?", re.ASCII)
_WRITE = "write epoch seconds, such as 1700000000"


class TimeForm(StrEnum):
    """How a column writes its times."""

    SECONDS = "epoch seconds"
    DECIMAL = "epoch seconds with a decimal point or an exponent"
    ISO = "ISO 8601 with a zone"


def form_of(text: str) -> TimeForm | None:
    """The form of a time; `None` if it has none of them."""
    if _SECONDS.fullmatch(text):
        return TimeForm.SECONDS
    if _DECIMAL.fullmatch(text):
        return TimeForm.DECIMAL
    moment = _moment(text)
    return TimeForm.ISO if moment is not None and moment.tzinfo is not None else None


def form_of_column(name: str, values: Sequence[str], places: Sequence[str]) -> TimeForm:
    """The one form of a column's times; values that are no times are left to the rows.

    Args:
        name: of the column.
        values: its values, without the missing ones.
        places: where each of them stands, such as `line 7 of a.csv`.

    Raises:
        InvalidInputException: the column mixes numbers and ISO 8601, or none of its times has a zone.
    """
    seen: dict[TimeForm | None, tuple[str, str]] = {}
    for value, place in zip(values, places, strict=True):
        seen.setdefault(form_of(value), (value, place))
    forms = {form for form in seen if form is not None}
    if TimeForm.ISO in forms and len(forms) > 1:
        other = seen[next(form for form in (TimeForm.SECONDS, TimeForm.DECIMAL) if form in seen)]
        iso = seen[TimeForm.ISO]
        raise InvalidInputException(
            f"{name} mixes two forms: {quoted(other[0])} in {other[1]}, {quoted(iso[0])} in {iso[1]}. "
            "Write all of its times as epoch seconds, or all in ISO 8601 with a zone."
        )
    if not forms and None in seen and _moment(seen[None][0]) is not None:
        value, place = seen[None]
        raise InvalidInputException(f"{name} is {quoted(value)} in {place}: {cure_of(value, TimeForm.SECONDS)}.")
    return next((form for form in (TimeForm.ISO, TimeForm.DECIMAL) if form in forms), TimeForm.SECONDS)


def note_of(name: str, form: TimeForm, values: Sequence[str]) -> str | None:
    """What to say of a column that is not written as epoch seconds."""
    if form is TimeForm.SECONDS:
        return None
    example = next((value for value in values if form_of(value) is form), values[0])
    read = f"{name} is written as {form}, such as {quoted(example)}, and read as epoch seconds"
    short = [value for value in values if _SCIENTIFIC.fullmatch(value)]
    if form is TimeForm.DECIMAL and short:
        return (
            f"{read}. {quoted(short[0])} has few digits: a spreadsheet has rounded the times. "
            "Format the column as a whole number there, and save it again."
        )
    return f"{read}."


def seconds_of(text: str, form: TimeForm) -> float | None:
    """The epoch seconds of a time in the form of its column; `None` if it is written otherwise."""
    if form is TimeForm.ISO:
        moment = _moment(text)
        return None if moment is None or moment.tzinfo is None else moment.timestamp()
    pattern = _SECONDS if form is TimeForm.SECONDS else _DECIMAL
    return float(text) if pattern.fullmatch(text) else None


def cure_of(text: str, form: TimeForm) -> str:
    """What is wrong with a time that its column's form cannot read, and what to do."""
    moment = _moment(text)
    if moment is not None and moment.tzinfo is None:
        return f"it has no time zone; {_WRITE}, or {moment.isoformat()}Z if it is UTC"
    found = form_of(text)
    if moment is not None and form is not TimeForm.ISO:
        return f"write {int(moment.timestamp())}, as the other rows have {form}"
    if found is not None and form is TimeForm.ISO:
        return f"the other rows have {form}; write all rows in one form"
    if found is TimeForm.DECIMAL:
        return "write it without a decimal point, as epoch seconds"
    return _WRITE


def _moment(text: str) -> datetime | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
