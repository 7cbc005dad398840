"""Records: the input's JSON Lines, read. No line is ever lost: one that cannot be asked has its error.

{"userId": "u1"}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from types import NoneType
from typing import Any, TypeGuard

import numpy as np
import orjson
from numpy.typing import NDArray

BOM = b"\xef\xbb\xbf"
MAX_ID = 256
MAX_LINE = 1 << 20
"""Bytes of a line that can be asked; of a longer one the answer shows the beginning."""
_SHOWN = 1_000
_TOGETHER = 64
"""Lines that are read as one array, where each of them is plain: one that is not costs the others only a second reading."""

Object = dict[str, Any]


class Reason(StrEnum):
    """Why a line has no answer; the report counts lines by it."""

    TOO_LONG = "TooLong"
    INVALID_UTF8 = "InvalidUtf8"
    MALFORMED_JSON = "MalformedJson"
    NOT_AN_OBJECT = "NotAnObject"
    MISSING_FIELD = "MissingField"
    INVALID_ID = "InvalidId"
    INVALID_FILTER_VALUES = "InvalidFilterValues"


@dataclass(frozen=True)
class LineError:
    """What stands in a line's `error`, behind `User error: `."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Records:
    """The lines of a block, blank ones left out.

    Attributes:
        inputs: the JSON text of every line's `input`.
        errors: by position, the lines that cannot be asked.
        good: int64 (Q,), the positions of the others, ascending.
        objects: the objects of the good lines, Q of them.
    """

    inputs: list[bytes]
    errors: dict[int, LineError]
    good: NDArray[np.int64]
    objects: list[Object]

    def without(self, refused: Mapping[int, str]) -> Records:
        """The records, with more of them refused: by number among the good lines, why."""
        if not refused:
            return self
        errors = {int(self.good[n]): LineError(Reason.INVALID_FILTER_VALUES, why) for n, why in refused.items()}
        kept = [each for n, each in enumerate(self.objects) if n not in refused]
        return Records(self.inputs, self.errors | errors, np.delete(self.good, list(refused)), kept)


def ids_of(objects: Sequence[Object], field: str) -> list[str]:
    """The ids in a required field of good lines."""
    return [_id_text(each[field]) for each in objects]


def lists_of(objects: Sequence[Object], field: str) -> tuple[NDArray[np.int64], list[str]]:
    """The ids in a required field of good lines that holds lists: int64 (Q,), how many each has, and all of them; nulls are none."""
    lists = [each[field] for each in objects]
    flat = list(chain.from_iterable(lists))
    if not set(map(type, flat)) <= {str}:
        lists = [[item for item in each if item is not None] for each in lists]
        flat = list(map(_id_text, chain.from_iterable(lists)))
    return np.fromiter(map(len, lists), np.int64, len(lists)), flat


def parse(
    lines: Sequence[bytes], required: Sequence[str], of_filter: Sequence[str] = (), may_have: Sequence[str] = ()
) -> Records:
    """Read lines that must hold the required fields.

    Args:
        lines: without their newline; CRLF and a byte order mark are accepted, blank lines skipped.
        required: keys from `userId`, `itemId`, `itemList`, in the order that the service names them.
        of_filter: keys that the filter needs besides.
        may_have: keys that a line need not have, from `allowList`, `denyList`, and `itemIds`, which is instead of `itemId`.
    """
    more = [field for field in of_filter if field not in required]
    fields = [*required, *more]
    wanted = f"the provided recipe{' and filter' if more else ''} are {', '.join(fields)}"
    inputs: list[bytes] = []
    errors: dict[int, LineError] = {}
    objects: list[Object] = []
    for start in range(0, len(lines), _TOGETHER):
        some = lines[start : start + _TOGETHER]
        read, echoes = _read_together(some) or _read_alone(some)
        if not may_have and _all_good(read, fields):
            objects += read
            inputs += echoes
            continue
        for each, echo in zip(read, echoes, strict=True):
            error = each if isinstance(each, LineError) else _problem(each, fields, wanted, may_have)
            if error is not None:
                errors[len(inputs)] = error
            elif not isinstance(each, LineError):
                objects.append(each)
            inputs.append(echo)
    good = np.delete(np.arange(len(inputs)), list(errors))
    return Records(inputs, errors, good, objects)


def places_of(lines: Sequence[bytes]) -> list[int]:
    """The numbers of the lines that `parse` would not skip."""
    return [number for number, line in enumerate(lines) if _text(line)]


def count_records(block: bytes) -> int:
    """How many lines `parse` would not skip."""
    return len(places_of(block.split(b"\n")))


def _text(line: bytes) -> bytes:
    """A line without what surrounds its JSON; one beyond the limit may lack its end, so only its raw beginning counts."""
    return line.removeprefix(BOM).strip(b" \t\r") if len(line) <= MAX_LINE else line[: MAX_LINE + 1]


def _read_together(lines: Sequence[bytes]) -> tuple[list[Object], list[bytes]] | None:
    """The objects of lines and their echoes, read as one array; `None` where that may not be the same as one by one.

    It is the same if each line is the echo of its part of the array, but for spaces behind `":` and `",`. In an echo these stand behind a
    string or at a quote within one, where a space does no harm. So each line is one value, and the parts are the lines.
    """
    if sum(map(len, lines)) > MAX_LINE:
        return None
    try:
        objects = orjson.loads(b"[%b]" % b",".join(lines))
        echoes = list(map(orjson.dumps, objects))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    if echoes != [line.replace(b'": ', b'":').replace(b'", ', b'",') for line in lines]:
        return None
    return (objects, echoes) if set(map(type, objects)) == {dict} else None


def _read_alone(lines: Sequence[bytes]) -> tuple[list[Object | LineError], list[bytes]]:
    """The objects of the lines that are not blank, or their errors; and what stands in their `input`."""
    pairs = [_read(text) for text in filter(None, map(_text, lines))]
    return [read for read, _ in pairs], [echo for _, echo in pairs]


def _read(text: bytes) -> tuple[Object | LineError, bytes]:
    if len(text) > MAX_LINE:
        return LineError(Reason.TOO_LONG, f"The line has more than {MAX_LINE} bytes"), _raw(text)
    try:
        value = orjson.loads(text)
        if type(value) is dict:
            return value, _echo(value, text)
        error = LineError(Reason.NOT_AN_OBJECT, "The line is not a JSON object")
    except orjson.JSONDecodeError as found:
        error = _unreadable(text, found)
    except orjson.JSONEncodeError:
        error = LineError(Reason.MALFORMED_JSON, "The line is nested too deeply")
    return error, _raw(text)


def _all_good(read: Sequence[Object | LineError], fields: Sequence[str]) -> TypeGuard[Sequence[Object]]:
    """Whether these are objects that surely have no problem: lists and numbers are looked at one by one."""
    if set(map(type, read)) != {dict}:
        return False
    for field in fields:
        values: list[Any] = [each.get(field) for each in read]  # type: ignore[union-attr]
        if _CHECKS.get(field) is not _check_id or set(map(type, values)) != {str}:
            return False
        lengths = list(map(len, values))
        if not 0 < min(lengths) <= max(lengths) <= MAX_ID:
            return False
    return True


def _echo(value: Object, text: bytes) -> bytes:
    """The line's JSON without the space around it, each number in its own digits."""
    echo = orjson.dumps(value)
    if echo == text or not (b"-0" in text or _has_float(value)):
        return echo
    return orjson.dumps(json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment))


def _has_float(value: object) -> bool:
    """Whether a number in it may have lost digits: one beyond 64 bits is a float, too."""
    if type(value) is dict:
        return any(map(_has_float, value.values()))
    if type(value) is list:
        return any(map(_has_float, value))
    return type(value) is float


def _unreadable(text: bytes, error: orjson.JSONDecodeError) -> LineError:
    try:
        text.decode()
    except UnicodeDecodeError as undecodable:
        return LineError(Reason.INVALID_UTF8, f"The line is not valid UTF-8 at byte {undecodable.start + 1}")
    return LineError(Reason.MALFORMED_JSON, f"The line is not valid JSON at character {error.pos + 1}")


def _raw(text: bytes) -> bytes:
    """A line that is no object, as a JSON string."""
    shown = text if len(text) <= MAX_LINE else text[:_SHOWN]
    return orjson.dumps(shown.decode(errors="replace"))


def _problem(record: Object, required: Sequence[str], wanted: str, may_have: Sequence[str]) -> LineError | None:
    there = [field for field in may_have if record.get(field) is not None] if may_have else may_have
    for field in there:
        error = _check_list(field, record[field])
        if error is not None:
            return error
    for field in required:
        value = record.get(field)
        if field == "itemId" and "itemIds" in there:
            if value is not None:
                return LineError(Reason.INVALID_ID, "A line has either itemId or itemIds")
            continue
        if value is None:
            return LineError(Reason.MISSING_FIELD, f"Required fields for {wanted}")
        error = _CHECKS[field](field, value)
        if error is not None:
            return error
    return None


def _check_id(field: str, value: object) -> LineError | None:
    if type(value) is str:
        if 0 < len(value) <= MAX_ID:
            return None
        return LineError(Reason.INVALID_ID, f"{field} must have 1 to {MAX_ID} characters")
    if type(value) is int:
        return None
    return LineError(Reason.INVALID_ID, f"{field} must be a string{_why_no_id([value])}")


def _check_list(field: str, value: object) -> LineError | None:
    if type(value) is not list:
        return LineError(Reason.INVALID_ID, f"{field} must be an array of strings")
    if set(map(type, value)) <= {str, int, NoneType}:
        return None
    return LineError(Reason.INVALID_ID, f"{field} must be an array of strings{_why_no_id(value)}")


def _why_no_id(values: Sequence[object]) -> str:
    """What is wrong with a number that was an id once: a float of orjson's has a point or an exponent, or is beyond 64 bits."""
    number = next((each for each in values if type(each) is float and each.is_integer()), None)
    if number is None:
        return ""
    if abs(number) >= 1 << 63:
        return ": a number beyond 64 bits must stand in quotes"
    return ": it is a whole number with a decimal point, as pandas writes ids beside missing values; write its digits alone"


_CHECKS: Mapping[str, Callable[[str, object], LineError | None]] = {
    "userId": _check_id,
    "itemId": _check_id,
    "itemList": _check_list,
}


def _id_text(value: str | int) -> str:
    return value if type(value) is str else str(value)
