"""What became of lines, in numbers that add up: error lines by reason, and what to know of those that were answered."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
import orjson
from numpy.typing import NDArray

from personalize_spark.recommendations import Recommendations
from personalize_spark.records import Records, places_of

_SHOWN = 200
"""Bytes of a line that an example shows."""
SCORE_BINS, _LEAST = 14, 1e-7
_MOST_SEEN = 1 << 14
"""Items that are counted as seen or not: more would make task manifests large."""
_IDS, _VALUES = 5, 20
"""Unknown ids that are kept of a split, and values of filters that left nothing."""


class Remark(StrEnum):
    """What to know of a line that was answered."""

    UNKNOWN_USER = "UnknownUser"
    UNKNOWN_ITEM = "UnknownItem"
    UNKNOWN_LISTED = "UnknownItemInList"
    EMPTY = "EmptyList"
    SHORT = "ShortList"


@dataclass
class Example:
    """A line: its number, from 1, its beginning, and what stands in its `error`."""

    line: int
    text: str
    message: str = ""


@dataclass
class Finding:
    """How many lines there are of a kind, and the first of them."""

    lines: int
    first: Example


@dataclass(frozen=True)
class Expected:
    """What answers are judged by.

    Attributes:
        items: how many a list has if nothing is missing.
        learned: items of a line's own list from this row on are unknown; `None` where lines have no lists.
        field: the key of the id that a line is about, `None` where all lines get the same.
        filtered: lines may have values for a filter.
        catalogue: all items of the model.
        deciles: int8 (I,), the tenth of all items by popularity that each is in, 0 for the most popular ones.
    """

    items: int
    learned: int | None = None
    field: str | None = None
    filtered: bool = False
    deciles: NDArray[np.int8] | None = None
    catalogue: int = 0


@dataclass
class Outcomes:
    """What became of lines.

    Attributes:
        read: lines of the input, blank ones included.
        answered: lines of the output, error lines included.
        repeated: lines of the output besides, whose answers another job has given.
        errors: error lines by `Reason`.
        remarks: lines by `Remark`.
        values: lines without any item by their `filterValues`, as JSON.
        short_values: the same of lines with fewer items than asked for.
        unknown_ids: some ids that the model does not know.
        scores: how many lists have a first item of each score: half a decade each, from below 10 ** -6.5 to 1.
        popularity: how many lists have a first item of each tenth of the items, the most popular ones first.
        kept: the shares of the items that a filter left the lines, added up.
        catalogue: how many items there are.
        seen: which items the lists have, a bit an item as `numpy.packbits` packs them, by zlib; of a large catalogue every k-th item.
    """

    read: int = 0
    answered: int = 0
    errors: dict[str, Finding] = field(default_factory=dict)
    remarks: dict[str, Finding] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    short_values: dict[str, int] = field(default_factory=dict)
    unknown_ids: list[str] = field(default_factory=list)
    scores: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)
    popularity: list[int] = field(default_factory=lambda: [0] * 10)
    kept: float = 0.0
    catalogue: int = 0
    seen: bytes = b""
    repeated: int = 0

    @property
    def lines(self) -> int:
        """All lines of the output, error lines and those of another job included."""
        return self.answered + self.repeated

    @property
    def error_lines(self) -> int:
        """All error lines."""
        return sum(each.lines for each in self.errors.values())

    @property
    def coverage(self) -> float:
        """The share of the items that the lists have."""
        bits = zlib.decompress(self.seen) if self.seen else b""
        sample = -(-self.catalogue // max(1, sampled(self.catalogue)))
        return int.from_bytes(bits).bit_count() / max(1, sample)

    @classmethod
    def of(cls, lines: Sequence[bytes], records: Records, answers: Recommendations, expected: Expected) -> Outcomes:
        """Count the answers to a block of lines."""
        block = _Block(lines, records)
        outcomes = cls(len(lines), len(records.inputs), block.errors())
        lengths = np.diff(answers.items.indptr)
        kinds: dict[Remark, NDArray[np.bool_]] = {Remark.EMPTY: lengths == 0}
        if expected.learned is None:
            kinds[Remark.SHORT] = (lengths > 0) & (lengths < expected.items)
        else:
            kinds[Remark.UNKNOWN_LISTED] = np.zeros(len(lengths), np.bool_)
            if (listed := answers.items.values >= expected.learned).any():
                kinds[Remark.UNKNOWN_LISTED][answers.items.row_ids()[listed]] = True
        if answers.unknown is not None:
            kinds[Remark.UNKNOWN_ITEM if expected.field == "itemId" else Remark.UNKNOWN_USER] = answers.unknown
            unknown = (records.objects[each] for each in np.flatnonzero(answers.unknown).tolist())
            outcomes.unknown_ids = _first_ids(str(each[expected.field]) for each in unknown if expected.field in each)
        for kind, holds in kinds.items():
            if count := int(np.count_nonzero(holds)):
                outcomes.remarks[kind.value] = Finding(count, block.example(int(records.good[np.argmax(holds)])))
        outcomes._judge(answers, lengths, expected)
        if expected.filtered:
            outcomes.values = _values_of(records, kinds[Remark.EMPTY])
            outcomes.short_values = _values_of(records, kinds.get(Remark.SHORT, np.zeros(0, np.bool_)))
        return outcomes

    def _judge(self, answers: Recommendations, lengths: NDArray[np.int64], expected: Expected) -> None:
        """Look at the first item of each list, and at which items there are: that costs next to nothing."""
        first = answers.items.indptr[:-1][lengths > 0]
        if answers.scores is not None:
            halves = np.floor(2 * np.log10(np.maximum(answers.scores[first], _LEAST))).astype(np.int64) + SCORE_BINS
            self.scores = np.bincount(halves.clip(0, SCORE_BINS - 1), minlength=SCORE_BINS).tolist()
        if expected.deciles is not None:
            items = answers.items.values[first]
            known = items[items < len(expected.deciles)]
            self.popularity = np.bincount(expected.deciles[known], minlength=10).tolist()
        self.catalogue = expected.catalogue
        if step := sampled(expected.catalogue):
            seen = np.zeros(-(-expected.catalogue // step), np.bool_)
            items = answers.items.values[answers.items.values < expected.catalogue]
            seen[items if step == 1 else items[items % step == 0] // step] = True
            self.seen = zlib.compress(np.packbits(seen).tobytes(), 1)

    def add(self, later: Outcomes) -> None:
        """Count the lines that follow, too."""
        for mine, theirs in ((self.errors, later.errors), (self.remarks, later.remarks)):
            for kind, found in theirs.items():
                if kind in mine:
                    mine[kind].lines += found.lines
                else:
                    first = found.first
                    mine[kind] = Finding(found.lines, Example(first.line + self.read, first.text, first.message))
        self.read += later.read
        self.answered += later.answered
        self.repeated += later.repeated
        self.scores = [one + other for one, other in zip(self.scores, later.scores, strict=True)]
        self.popularity = [one + other for one, other in zip(self.popularity, later.popularity, strict=True)]
        self.kept += later.kept
        self.catalogue = max(self.catalogue, later.catalogue)
        self.seen = _either(self.seen, later.seen)
        self.values = _most_frequent(self.values, later.values)
        self.short_values = _most_frequent(self.short_values, later.short_values)
        if later.unknown_ids:
            self.unknown_ids = _first_ids([*self.unknown_ids, *later.unknown_ids])


def sampled(catalogue: int) -> int:
    """Of so many items every how manieth is counted as seen or not."""
    return -(-catalogue // _MOST_SEEN)


def _either(one: bytes, other: bytes) -> bytes:
    if not (one and other) or one == other:
        return one or other
    bits = np.frombuffer(zlib.decompress(one), np.uint8) | np.frombuffer(zlib.decompress(other), np.uint8)
    return zlib.compress(bits.tobytes(), 1)


@dataclass(frozen=True)
class _Block:
    lines: Sequence[bytes]
    records: Records

    @cached_property
    def places(self) -> Sequence[int]:
        """Where the records stand among the lines."""
        whole = len(self.lines) == len(self.records.inputs)
        return range(len(self.lines)) if whole else places_of(self.lines)

    def example(self, record: int, message: str = "") -> Example:
        place = self.places[record]
        return Example(place + 1, self.lines[place][:_SHOWN].decode(errors="replace"), message)

    def errors(self) -> dict[str, Finding]:
        found: dict[str, Finding] = {}
        for at, error in sorted(self.records.errors.items()):
            if error.reason in found:
                found[error.reason].lines += 1
            else:
                found[error.reason.value] = Finding(1, self.example(at, error.message))
        return found


def _first_ids(ids: Iterable[str]) -> list[str]:
    """The first different ones."""
    first: dict[str, None] = {}
    for each in ids:
        first[each] = None
        if len(first) == _IDS:
            break
    return list(first)


def _values_of(records: Records, which: NDArray[np.bool_]) -> dict[str, int]:
    """The values of these lines for the filter, the most frequent ones."""
    objects = (records.objects[each] for each in np.flatnonzero(which).tolist())
    values: Iterable[Mapping[str, object]] = (each.get("filterValues") or {} for each in objects)
    return dict(Counter(orjson.dumps(each).decode() for each in values).most_common(_VALUES))


def _most_frequent(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return dict((Counter(one) + Counter(other)).most_common(_VALUES)) if other else one
