"""Recommendations: the answers to lines, and the output's JSON Lines. One line for one line.

{"input":{"userId":"u1"},"output":{"recommendedItems":["a","b"],"scores":[0.25,0.125]},"error":null}
{"input":{"itemId":"a"},"output":{"recommendedItems":[]},"error":"User error: Required fields for ... are userId"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_spark.errors import DataError
from personalize_spark.records import LineError, Records
from personalize_spark.scores import relevance_texts, rounded, score_texts
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.kernel import kernel
from personalize_spark.scoring.ragged import Ragged

ColumnTexts = Mapping[str, pa.Array]
"""By the name of a column the JSON texts of the I items, and last of one that is none of them."""
NO_COLUMNS: ColumnTexts = {}
_ROUNDED = 1e-6
"""What a sum of exponentials may be wrong by."""


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

    Raises:
        DataError: a score is no probability.
    """
    if answers.scores is not None:
        answers = replace(answers, scores=_probabilities(answers.scores))
    if records.errors and not apart:
        texts = list(records.inputs)
        for at, error in records.errors.items():
            texts[at] = _refused(texts[at], error)
    else:
        texts = [records.inputs[at] for at in records.good.tolist()] if records.errors else records.inputs
    answered = np.arange(len(texts)) if len(texts) == len(records.good) else records.good
    native = kernel()
    if native is None or answers.unknown_items or answers.relevance is not None or columns:
        return _concatenated(_lines(texts, answered, answers, item_ids_json, columns))
    units = None if answers.scores is None else rounded(answers.scores)
    return native.output_lines(texts, answered, answers.items, units, item_ids_json)


def render_errors(records: Records) -> bytes:
    """Write only the error lines, in their order."""
    return b"".join(_refused(records.inputs[at], error) for at, error in sorted(records.errors.items()))


def _probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scores, at most 1: what is above by rounding alone has no text."""
    if not np.all((scores >= 0.0) & (scores <= 1.0 + _ROUNDED)):
        raise DataError(
            "The model gives scores that are no probabilities: its products are too large for float64 to tell them apart. "
            "Import factors of a smaller size, or with --fit-temperature."
        )
    return np.minimum(scores, 1.0)


def _lines(
    texts: Sequence[bytes], answered: NDArray[np.int64], answers: Recommendations, ids: JsonTexts, columns: ColumnTexts
) -> pa.Array:
    """The lines: of texts that are answered each is the line's input, and the others are error lines, as they are."""
    every = pa.array(texts, pa.binary())
    good = _answered(every.take(pa.array(answered)), answers, ids, columns)
    if len(answered) == len(texts):
        return good
    others = np.delete(np.arange(len(texts)), answered)
    order = np.argsort(np.concatenate([answered, others]), kind="stable")
    return pa.concat_arrays([good, every.take(pa.array(others))]).take(pa.array(order))


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
