r"""The values of placeholders, as each line brings them: `{"GENRES": "\"drama\",\"comedy\"", "YEAR": "1995"}`.

A value is one string that holds quoted texts or bare numbers, separated by commas. Wrong ones are values, not exceptions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from personalize_spark.filters.expression import Literal

MAX_PARAMETERS, MAX_NAME, MAX_VALUE = 25, 50, 1_000

_ONE = re.compile(r'\s*(?:"((?:\\.|[^"\\])*)"|([^",\s][^",]*?))\s*(?:,|\Z)', re.DOTALL)
_KINDS = {str, int, float}
_DATE = re.compile(r"\"?\d{4}-\d")
_NAME = re.compile(rf"[A-Za-z0-9_]{{1,{MAX_NAME}}}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class BadValue:
    """Why a line's values cannot be used; names the placeholder."""

    message: str


def check_values(given: Any) -> BadValue | None:
    """Check the shape and the size of a line's `filterValues`."""
    if not isinstance(given, dict):
        return BadValue("filterValues must be an object")
    if len(given) > MAX_PARAMETERS:
        return BadValue(f"filterValues has {len(given)} placeholders, more than {MAX_PARAMETERS}")
    for name, value in given.items():
        if not _is_name(name):
            return BadValue(f"filterValues: '{name[:MAX_NAME]}' is no name of a placeholder")
        if type(value) not in _KINDS:
            return BadValue(f"filterValues: the value of ${name} must be a string")
        if len(value if type(value) is str else str(value)) > MAX_VALUE:
            return BadValue(f"filterValues: the value of ${name} has more than {MAX_VALUE} characters")
    return None


@lru_cache(maxsize=4096)
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def typed_values(name: str, text: str, kind: str) -> tuple[Literal, ...] | BadValue:
    """The values in a placeholder's string: texts for a field of type `string`, else numbers."""
    values = split_values(text)
    if not values:
        return BadValue(f'filterValues: the value of ${name} must be "texts" or numbers, separated by commas')
    if kind == "string":
        return values
    numbers = tuple(number(value) for value in values)
    if None in numbers:
        return BadValue(f"filterValues: the value of ${name} must be a number{time_hint(text)}")
    return numbers  # type: ignore[return-value]  # no None is among them


def split_values(text: str) -> tuple[str, ...]:
    """The texts in a string of the service's form; none if it is not of that form."""
    values, position = [], 0
    while position < len(text):
        match = _ONE.match(text, position)
        if match is None:
            return ()
        quoted, bare = match.groups()
        values.append(bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
        position = match.end()
    return tuple(values)


def time_hint(text: str) -> str:
    """What to do about a date where a number is wanted; empty for anything else."""
    return "; times are seconds since 1970, such as 1577836800" if _DATE.match(text) else ""


def number(text: str) -> int | float | None:
    """The number that a text spells."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return (
        int(text) if text.lstrip("+-").isdigit() else int(value) if value.is_integer() and abs(value) < 2**53 else value
    )
