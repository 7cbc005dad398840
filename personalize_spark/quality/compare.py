"""How much two batches of answers differ, told by their output lines alone. No Spark, no storage, no clock.

Lines are matched by the hash of their `input`, for the service does not keep the input's order; of an input that is there
several times the n-th old line goes with the n-th new one. What can be large is cut into parts by that hash, so that
matching lines are in the same part and one part at a time is enough.

Everything but the numbers of lines and errors is measured on the lines that both sides answered.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, count
from types import NoneType
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from personalize_spark.errors import DataError

Codes = defaultdict[str, int]
"""A number for every item id, in the order of appearance; both sides share one."""

DEPTHS = (1, 5, 10, 25)
"""The K of overlap@K."""


def item_codes() -> Codes:
    """Codes that number an item when it is first asked for."""
    return defaultdict(count().__next__)


@dataclass(frozen=True)
class Lists:
    """The answers of n output lines, one list behind the other, m items in all.

    Attributes:
        keys: uint64 (n,), the hash of each line's `input`. Among 10 million inputs two share one with a chance of 3e-6.
        errors: bool (n,), whether a line is an error line.
        counts: int64 (n,), the lengths of the lists, 0 for error lines.
        items: int32 (m,), the items' codes, none twice in a list.
        scores: float64 (m,), NaN where there is none.
    """

    keys: NDArray[np.uint64]
    errors: NDArray[np.bool_]
    counts: NDArray[np.int64]
    items: NDArray[np.int32]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, answers: Sequence[_Answer], codes: Codes) -> Lists:
        """From lines that were read."""
        ids = chain.from_iterable(answer.items for answer in answers)
        return cls(
            np.array([answer.key for answer in answers], np.uint64),
            np.array([answer.error for answer in answers], np.bool_),
            np.array([len(answer.items) for answer in answers], np.int64),
            np.fromiter(map(codes.__getitem__, ids), np.int32),
            np.array(list(chain.from_iterable(answer.scores for answer in answers)), np.float64),
        )

    @classmethod
    def unpacked(cls, data: bytes) -> Lists:
        """From what `packed` made, any number of times."""
        file = io.BytesIO(data)
        packs = [cls.of([], item_codes())]
        while file.tell() < len(data):
            packs.append(cls(*(np.load(file, allow_pickle=False) for _ in vars(packs[0]))))
        return cls(*(np.concatenate(column) for column in zip(*(vars(each).values() for each in packs), strict=True)))

    def packed(self) -> bytes:
        """As bytes that may be put one behind the other."""
        file = io.BytesIO()
        for column in vars(self).values():
            np.save(file, column, allow_pickle=False)
        return file.getvalue()

    def parts(self, number: int) -> Iterator[tuple[int, Lists]]:
        """The lists by the part, of `number` many, that their keys belong to; empty parts are left out."""
        part = self.keys % np.uint64(number)
        for each in np.unique(part):
            yield int(each), self.take(np.flatnonzero(part == each))

    def take(self, rows: NDArray[np.int64]) -> Lists:
        """Some of the lists, in the order of int64 (r,) `rows`."""
        counts = self.counts[rows]
        starts = (np.cumsum(self.counts) - self.counts)[rows]
        at = np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
        return Lists(self.keys[rows], self.errors[rows], counts, self.items[at], self.scores[at])

    def lines(self) -> NDArray[np.int64]:
        """int64 (m,): the line of each item."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def ranks(self) -> NDArray[np.int64]:
        """int64 (m,): the place of each item in its list, from 0."""
        return np.arange(len(self.items)) - np.repeat(np.cumsum(self.counts) - self.counts, self.counts)


def read_lists(lines: Sequence[bytes], codes: Codes, source: str, first: int) -> Lists:
    """Read output lines; blank ones are skipped.

    Args:
        lines: of a `.out` file.
        codes: given to the items, and grown by those that are new.
        source: the file, for messages.
        first: the number in it of the first of the lines, from 1.

    Raises:
        DataError: a line is no output line.
    """
    answers = []
    for number, line in enumerate(lines, first):
        if line.isspace() or not line:
            continue
        try:
            answers.append(_answer(line))
        except (ValueError, orjson.JSONEncodeError) as error:
            raise DataError(
                f"{source}, line {number} is no output line: {error}. Compare the .out files of batch inference jobs."
            ) from error
    return Lists.of(answers, codes)


@dataclass(frozen=True)
class _Answer:
    key: int
    items: Sequence[str] = ()
    scores: Sequence[float | None] = ()
    error: bool = False


def _answer(line: bytes) -> _Answer:
    value = orjson.loads(line)
    if type(value) is not dict or "input" not in value or not {"output", "error"} & value.keys():
        raise ValueError("it has no input, or neither output nor error")
    canonical = orjson.dumps(value["input"], option=orjson.OPT_SORT_KEYS)
    key = int.from_bytes(blake2b(canonical, digest_size=8).digest())
    if value.get("error") is not None:
        return _Answer(key, error=True)
    items, scores = _items(value.get("output"))
    return _Answer(key, items, scores)


def _items(output: Any) -> tuple[Sequence[str], Sequence[float | None]]:
    items = output.get("recommendedItems") if type(output) is dict else None
    if type(items) is not list or not set(map(type, items)) <= {str, int}:
        raise ValueError("its output has no recommendedItems, or they are no list of item ids")
    scores = output.get("scores")
    if scores is None:
        scores = [None] * len(items)
    if type(scores) is not list or len(scores) != len(items) or not set(map(type, scores)) <= {float, int, NoneType}:
        raise ValueError("its scores are not one number for each of its recommendedItems")
    if int in map(type, items):
        items = list(map(str, items))
    if len(set(items)) == len(items):
        return items, scores
    # a list of items to rank may have named one twice: the first place counts
    firsts = sorted({item: place for place, item in reversed(list(enumerate(items)))}.values())
    return [items[place] for place in firsts], [scores[place] for place in firsts]


@dataclass(frozen=True)
class Side:
    """One batch of answers.

    Attributes:
        lines: how many there are.
        only: lines without a counterpart in the other batch.
        errors: error lines.
        items: distinct items (the coverage of the catalogue).
        popularity: the share of lists in which an item appears, mean over all places of all lists: with f lists of L that
            have an item, sum(f^2) / (L sum(f)). 1 when everybody gets the same items.
        gini: the Gini coefficient of f over the n items that either side recommends, f ascending:
            sum((2 i - n - 1) f_i) / (n sum(f)) for i = 1..n. 0 when all are recommended equally often, near 1 when few are.
    """

    lines: int
    only: int
    errors: int
    items: int
    popularity: float | None
    gini: float | None


@dataclass(frozen=True)
class Both:
    """What both sides have: matched lines, those that are errors on both, those answered on both, distinct items."""

    lines: int
    errors: int
    answered: int
    items: int


@dataclass(frozen=True)
class Report:
    """Two batches compared; a mean of nothing is `None`.

    Attributes:
        old: the first batch.
        new: the second one.
        both: what they share.
        overlap: by K, the mean over lines of overlap@K = |first K of old and of new| / K; K is the longer of the two
            lists where that is shorter, and two empty lists overlap by 1.
        footrule: the order of the items that both lists have, mean over the lines with at least two: with c of them,
            ranked 1..c on each side, 1 - sum(|rank_old - rank_new|) / floor(c^2 / 2): Spearman's footrule over its maximum
            (Diaconis and Graham, 1977). 1 for the same order, 0 for the reverse, about 1/3 by chance.
        identical: the share of lines with the same items in the same order.
        difference: the mean absolute difference of an item's two scores, over all items that both lists have scores for.
        at: the K of the histogram.
        histogram: K + 1 numbers of lines: with 0/K, 1/K, ... K/K of overlap@K (rounded to those for shorter lists).
    """

    old: Side
    new: Side
    both: Both
    overlap: dict[int, float | None]
    footrule: float | None
    identical: float | None
    difference: float | None
    at: int
    histogram: list[int]


class Comparison:
    """Sums over parts of two batches.

    Args:
        items: how many codes there are.
        longest: the length of the longest list.
        at: the K of the histogram, besides `DEPTHS` also one of the overlaps; the largest of those when left out.
    """

    def __init__(self, items: int, longest: int, at: int | None = None) -> None:
        self._items = items
        deepest = max(1, longest)
        self._at = min(at or max(DEPTHS), deepest)
        self._depths = sorted({min(depth, deepest) for depth in (*DEPTHS, self._at)})
        self._lines, self._errors = np.zeros(2, np.int64), np.zeros(2, np.int64)
        self._frequency = np.zeros((2, items), np.int64)
        self._matched = self._both_errors = self._answered = self._identical = 0
        self._overlap = dict.fromkeys(self._depths, 0.0)
        self._footrule, self._ordered = 0.0, 0
        self._difference, self._scored = 0.0, 0
        self._histogram = np.zeros(self._at + 1, np.int64)

    def add(self, old: Lists, new: Lists) -> None:
        """Add a part: all lines of both sides whose keys belong to it."""
        old_rows, new_rows = _matches(old.keys, new.keys)
        old_failed, new_failed = old.errors[old_rows], new.errors[new_rows]
        self._lines += len(old.keys), len(new.keys)
        self._errors += old.errors.sum(), new.errors.sum()
        self._matched += len(old_rows)
        self._both_errors += int((old_failed & new_failed).sum())
        answered = ~(old_failed | new_failed)
        self._measure(old.take(old_rows[answered]), new.take(new_rows[answered]))

    def report(self) -> Report:
        """The means."""
        old, new = (self._side(side) for side in (0, 1))
        answered = self._answered
        common = int(self._frequency.all(axis=0).sum())
        return Report(
            old,
            new,
            Both(self._matched, self._both_errors, answered, common),
            {depth: _mean(total, answered) for depth, total in self._overlap.items()},
            _mean(self._footrule, self._ordered),
            _mean(self._identical, answered),
            _mean(self._difference, self._scored),
            self._at,
            self._histogram.tolist(),
        )

    def _measure(self, old: Lists, new: Lists) -> None:
        """Add answers to the same inputs."""
        self._answered += len(old.counts)
        for side, lists in enumerate((old, new)):
            self._frequency[side] += np.bincount(lists.items, minlength=self._items)
        old_at, new_at = self._common(old, new)
        lines, old_ranks, new_ranks = old.lines()[old_at], old.ranks()[old_at], new.ranks()[new_at]
        longer = np.maximum(old.counts, new.counts)
        deepest = np.maximum(old_ranks, new_ranks)
        for depth in self._depths:
            overlap = _share(_count(lines[deepest < depth], longer), np.minimum(longer, depth))
            self._overlap[depth] += float(overlap.sum())
            if depth == self._at:
                self._histogram += np.bincount(np.rint(overlap * depth).astype(np.int64), minlength=depth + 1)
        self._identical += int((_count(lines[old_ranks == new_ranks], longer) == longer).sum())
        self._measure_order(_count(lines, longer), lines, np.abs(_places(old_at) - _places(new_at)))
        differences = np.abs(old.scores[old_at] - new.scores[new_at])
        self._difference += float(np.nansum(differences))
        self._scored += int((~np.isnan(differences)).sum())

    def _common(self, old: Lists, new: Lists) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in `items` of each side those are that both lists of a line have."""
        keys, others = (each.lines() * self._items + each.items for each in (old, new))
        _, old_at, new_at = np.intersect1d(keys, others, assume_unique=True, return_indices=True)
        return old_at, new_at

    def _measure_order(self, common: NDArray[np.int64], lines: NDArray[np.int64], moved: NDArray[np.int64]) -> None:
        distance = np.bincount(lines, moved, minlength=len(common))
        ordered = common > 1
        self._footrule += float((1 - distance[ordered] / (common[ordered] ** 2 // 2)).sum())
        self._ordered += int(ordered.sum())

    def _side(self, side: int) -> Side:
        frequency = self._frequency[side]
        lines = int(self._lines[side])
        return Side(
            lines,
            lines - self._matched,
            int(self._errors[side]),
            int((frequency > 0).sum()),
            _mean(float(frequency.astype(np.float64) @ frequency), self._answered * int(frequency.sum())),
            _gini(frequency[self._frequency.any(axis=0)]),
        )


def _matches(old: NDArray[np.uint64], new: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of equal keys, the n-th of a key with the n-th."""
    _, codes = np.unique(np.concatenate([old, new]), return_inverse=True)
    keys, others = (each * len(codes) + _repetitions(each) for each in np.split(codes, [len(old)]))
    _, old_rows, new_rows = np.intersect1d(keys, others, assume_unique=True, return_indices=True)
    return old_rows, new_rows


def _repetitions(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each value was there before."""
    order = np.argsort(codes, kind="stable")
    ascending = codes[order]
    repetitions = np.empty(len(codes), np.int64)
    repetitions[order] = np.arange(len(codes)) - np.searchsorted(ascending, ascending)
    return repetitions


def _places(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each position among all.

    Both sides have their lists one behind the other, and as many common items in each: a difference of places is one of
    ranks within a list.
    """
    places = np.empty(len(positions), np.int64)
    places[np.argsort(positions)] = np.arange(len(positions))
    return places


def _count(lines: NDArray[np.int64], like: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(lines, minlength=len(like))


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of the whole; all of nothing is 1."""
    return np.where(whole > 0, part / np.maximum(whole, 1), 1.0)


def _mean(total: float, number: int) -> float | None:
    return total / number if number else None


def _gini(frequency: NDArray[np.int64]) -> float | None:
    n = len(frequency)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return _mean(float(weights.astype(np.float64) @ np.sort(frequency)), n * int(frequency.sum()))
