"""Records: the input's JSON Lines read, the output's JSON Lines written. No line is ever lost.

{"userId": "u1"}
{"input":{"userId":"u1"},"output":{"recommendedItems":["a","b"],"scores":[0.25,0.125]},"error":null}
{"input":{"itemId":"a"},"output":{"recommendedItems":[]},"error":"User error: Required fields for ... are userId"}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from types import NoneType
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_spark.scores import relevance_texts, score_texts
from personalize_spark.scoring.model import JsonTexts
from personalize_spark.scoring.ragged import Ragged

BOM = b"\xef\xbb\xbf"
MAX_ID = 256
MAX_LINE = 1 << 20
"""Bytes of a line that can be asked; of a longer one the answer shows the beginning."""
_SHOWN = 1_000

Object = dict[str, Any]
ColumnTexts = Mapping[str, pa.Array]
"""By the name of a column the JSON texts of the I items, and last of one that is none of them."""
NO_COLUMNS: ColumnTexts = {}


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


@dataclass(frozen=True)
class Recommendations:
    """The answers to Q queries.

    Attributes:
        items: by query, best first, rows of the model's I items; I + k is the k-th of the unknown items.
        scores: float64 (m,) in [0, 1], of each of the items; `None` for a recipe without scores.
        unknown_items: JSON texts of items that the model does not know.
        themes: JSON texts of the themes, one a query, or none at all.
        relevance: float32 (m,), of each of the items to its theme; `None` without themes.
        unknown: bool (Q,), the model does not know the user or the item that the line is about; `None` where that decides nothing.
    """

    items: Ragged[np.int64]
    scores: NDArray[np.float64] | None
    unknown_items: Sequence[bytes] = ()
    themes: Sequence[bytes] = ()
    relevance: NDArray[np.float32] | None = None
    unknown: NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls, items: NDArray[np.int32], scores: NDArray[np.float64] | None, unknown: NDArray[np.bool_] | None = None
    ) -> Recommendations:
        """From lists of one length: (Q, n), -1 behind the last item of a shorter one."""
        there = items >= 0
        lists = Ragged.of_lengths(there.sum(axis=1), items[there].astype(np.int64))
        return cls(lists, None if scores is None else scores[there], unknown=unknown)


def merged(parts: Sequence[Recommendations], lines: NDArray[np.int64], items: int) -> Recommendations:
    """Answers given in parts as one, in the order of their lines.

    Args:
        parts: the answers, Q in all.
        lines: int64 (Q,), the line of each, none twice.
        items: how many items the model has.
    """
    unknown_items: list[bytes] = []
    lists = [Ragged(np.zeros(1, np.int64), np.empty(0, np.int64))]
    for part in parts:
        rows = part.items.values
        lists.append(part.items.with_values(np.where(rows < items, rows, rows + len(unknown_items))))
        unknown_items += part.unknown_items
    joined = Ragged.stacked(lists)
    ascending = np.argsort(lines)
    order = joined.positions(ascending)
    scores = [part.scores for part in parts if part.scores is not None]
    unknown = [part.unknown for part in parts if part.unknown is not None]
    return Recommendations(
        order.with_values(joined.values[order.values]),
        np.concatenate(scores)[order.values] if scores else None,
        unknown_items,
        unknown=np.concatenate(unknown)[ascending] if unknown else None,
    )


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
    for line in lines:
        text = _text(line)
        if not text:
            continue
        read = _read(text)
        if isinstance(read, LineError):
            errors[len(inputs)] = read
            inputs.append(_raw(text))
            continue
        record, echo = read
        error = _problem(record, fields, wanted, may_have)
        if error is None:
            objects.append(record)
        else:
            errors[len(inputs)] = error
        inputs.append(echo)
    good = np.delete(np.arange(len(inputs)), list(errors))
    return Records(inputs, errors, good, objects)


def places_of(lines: Sequence[bytes]) -> list[int]:
    """The numbers of the lines that `parse` would not skip."""
    return [number for number, line in enumerate(lines) if _text(line)]


def count_records(block: bytes) -> int:
    """How many lines `parse` would not skip."""
    return len(places_of(block.split(b"\n")))


def render(
    records: Records,
    answers: Recommendations,
    item_ids_json: JsonTexts,
    columns: ColumnTexts = NO_COLUMNS,
    *,
    apart: bool = False,
) -> bytes:
    """Write the output lines, in the order of the records; with `apart` without the error lines.

    Args:
        records: the lines.
        answers: to the good ones.
        item_ids_json: of the I items.
        columns: what else is told of items.
        apart: leave the error lines out.
    """
    inputs = pa.array(records.inputs, pa.binary()).take(pa.array(records.good))
    good = _answered(inputs, answers, item_ids_json, columns)
    if records.errors and not apart:
        bad = pa.array([_refused(records.inputs[at], error) for at, error in records.errors.items()], pa.binary())
        order = np.argsort(np.concatenate([records.good, np.fromiter(records.errors, np.int64)]), kind="stable")
        good = pa.concat_arrays([good, bad]).take(pa.array(order))
    return _concatenated(good)


def render_errors(records: Records) -> bytes:
    """Write only the error lines, in their order."""
    return b"".join(_refused(records.inputs[at], error) for at, error in sorted(records.errors.items()))


def _text(line: bytes) -> bytes:
    """A line without what surrounds its JSON; one beyond the limit may lack its end, so only its raw beginning counts."""
    return line.removeprefix(BOM).strip(b" \t\r") if len(line) <= MAX_LINE else line[: MAX_LINE + 1]


def _read(text: bytes) -> tuple[Object, bytes] | LineError:
    if len(text) > MAX_LINE:
        return LineError(Reason.TOO_LONG, f"The line has more than {MAX_LINE} bytes")
    try:
        value = orjson.loads(text)
        if type(value) is dict:
            return value, _echo(value, text)
    except orjson.JSONDecodeError as error:
        return _unreadable(text, error)
    except orjson.JSONEncodeError:
        return LineError(Reason.MALFORMED_JSON, "The line is nested too deeply")
    return LineError(Reason.NOT_AN_OBJECT, "The line is not a JSON object")


def _echo(value: Object, text: bytes) -> bytes:
    """The line's JSON without the space around it, each number in its own digits."""
    echo = orjson.dumps(value)
    if echo == text or not _has_float(value):
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


def _answered(inputs: pa.Array, answers: Recommendations, item_ids_json: JsonTexts, columns: ColumnTexts) -> pa.Array:
    offsets = answers.items.indptr.astype(np.int32)
    parts = [b'{"input":', inputs, b',"output":{"recommendedItems":[']
    parts.append(_joined(_item_texts(answers, _array(item_ids_json)), offsets))
    if answers.scores is not None:
        parts += [b'],"scores":[', _joined(score_texts(answers.scores), offsets)]
    if answers.relevance is not None:
        parts += [b'],"theme":', pa.array(answers.themes, pa.binary()), b',"itemsThemeRelevanceScores":[']
        parts.append(_joined(relevance_texts(answers.relevance), offsets))
    for number, (name, texts) in enumerate(columns.items()):
        parts.append(b'],"%b":[' % name.encode() if number else b'],"itemColumns":{"%b":[' % name.encode())
        parts.append(_joined(texts.take(pa.array(np.minimum(answers.items.values, len(texts) - 1))), offsets))
    parts.append(b']}},"error":null}\n' if columns else b']},"error":null}\n')
    return pc.binary_join_element_wise(*parts, b"")


def _refused(echo: bytes, error: LineError) -> bytes:
    message = orjson.dumps(f"User error: {error.message}")
    return b'{"input":%b,"output":{"recommendedItems":[]},"error":%b}\n' % (echo, message)


def _item_texts(answers: Recommendations, texts: pa.Array) -> pa.Array:
    items = answers.items.values
    if not answers.unknown_items:
        return texts.take(pa.array(items))
    unknown = items >= len(texts)
    known_texts = texts.take(pa.array(items[~unknown]))
    unknown_texts = pa.array(answers.unknown_items, pa.binary()).take(pa.array(items[unknown] - len(texts)))
    order = np.argsort(np.concatenate([np.flatnonzero(~unknown), np.flatnonzero(unknown)]))
    return pa.concat_arrays([known_texts, unknown_texts]).take(pa.array(order))


def _joined(texts: pa.Array, offsets: NDArray[np.int32]) -> pa.Array:
    """The texts of each list, [offsets[i], offsets[i + 1]), with commas between them."""
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), texts), b",")


def _array(texts: JsonTexts) -> pa.Array:
    """The texts as a binary array over the same memory."""
    buffers = [None, pa.py_buffer(texts.indptr), pa.py_buffer(texts.values)]
    return pa.Array.from_buffers(pa.binary(), len(texts), buffers)


def _concatenated(lines: pa.Array) -> bytes:
    if not len(lines):
        return b""
    offsets = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return memoryview(lines.buffers()[2])[offsets[0] : offsets[-1]].tobytes()
