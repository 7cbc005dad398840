"""A schema from the header and the values of a file that comes without one, and the reasons for its types.

A type never changes a value: a column is a number only if the number, printed again, is the very text. So `02134`, `+1` and
digits beyond 64 bits are text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from personalize_spark.errors import counted, quoted
from personalize_spark.schemas import INTERACTIONS, Column, Schema, is_required, known_type

MISSING_WORDS = frozenset(
    "NaN nan NAN NULL Null null NA N/A n/a #N/A <NA> None none NONE \\N -".split()  # noqa: SIM905  # reads as the list that docs show
)
"""What stands for a missing value where no schema is given, in columns that take nulls."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_FIXED = re.compile(r"-?(0|[1-9][0-9]{0,14})\.([0-9]+)")


@dataclass(frozen=True)
class Inferred:
    """A schema, and why columns are texts though many of their values look like numbers."""

    schema: Schema
    reasons: list[str]


def infer(dataset: str, header: Sequence[str], columns: Sequence[Sequence[str]], places: Sequence[str]) -> Inferred:
    """A schema from a file's header and values.

    Fields that the service knows get the service's type. Any other takes nulls. It is `long` if all its values are integers of
    64 bits, `double` if all are numbers, each spelled as such a number is printed; else it is `string`, categorical in Items and Users.

    Args:
        dataset: Interactions, Items or Users.
        header: the names of the columns.
        columns: the values of each of them, a missing one empty or one of `MISSING_WORDS`.
        places: where each row stands, such as `line 7`.

    Raises:
        InvalidInputException: the header cannot be that of the dataset.
    """
    inferred, reasons = [], []
    for name, values in zip(header, columns, strict=True):
        known, reason = known_type(dataset, name), None
        kind = known
        if kind is None:
            kind, reason = _kind(name, values, places)
        categorical = kind == "string" and known is None and dataset != INTERACTIONS
        inferred.append(Column(name, kind, not is_required(dataset, name), categorical))
        reasons += [reason] if reason else []
    return Inferred(Schema.parse(dataset, Schema(dataset, tuple(inferred)).avro()), reasons)


def _kind(name: str, values: Sequence[str], places: Sequence[str]) -> tuple[str, str | None]:
    """The type of a column, and the reason if it is not what most of its values look like."""
    there = [each for each in zip(values, places, strict=True) if each[0] and each[0] not in MISSING_WORDS]
    decimals = {len(found[2]) for value, _ in there if (found := _FIXED.fullmatch(value))}
    decimal = min(decimals) if len(decimals) == 1 else None
    odd = [each for each in there if not _is_number(each[0], decimal)]
    if there and not odd:
        return ("long" if all(_is_long(value) for value, _ in there) else "double"), None
    if 2 * sum(1 for value, _ in there if _NUMBER.fullmatch(value)) < max(1, len(there)):
        return "string", None
    value, place = odd[0]
    others = [each for each, _ in there if _is_number(each, decimal)]
    rest = f"; the others are {'integers' if all(map(_is_long, others)) else 'numbers'}" if others else ""
    return "string", (
        f"{name} is a string because of {len(odd):,} of {counted(len(there), 'value')}, "
        f"such as {quoted(value)} in {place}{_why(value)}{rest}."
    )


def _is_long(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None and text != "-0" and -(1 << 63) <= int(text) < 1 << 63


def _is_number(text: str, decimals: int | None) -> bool:
    """Whether a number keeps this text: it is printed so as an integer, as a float, or with the column's number of decimals."""
    if not _NUMBER.fullmatch(text):
        return False
    if _is_long(text) or repr(float(text)) == text:
        return True
    return decimals is not None and _FIXED.fullmatch(text) is not None and f"{float(text):.{decimals}f}" == text


def _why(text: str) -> str:
    """Why a text that looks like a number is none."""
    if not _NUMBER.fullmatch(text):
        return ""
    if text.startswith("+"):
        return " (a sign in front)"
    digits = text.lstrip("-")
    if digits.isdigit():
        return " (a leading zero)" if digits.startswith("0") else " (beyond 64 bits)"
    return f" (as a number it would be {float(text)!r})"
