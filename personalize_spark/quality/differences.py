"""How far two batches of answers differ, measured on their lists. No Spark, no storage, no clock.

Lines are matched by the hash of their `input`, for the service does not keep the input's order; of an input that is there
several times the n-th old line is matched with the n-th new one. A large batch is cut into parts by that hash: matching
lines are then in the same part, and one part at a time is enough.

Everything but the numbers of lines and errors is measured on the lines that both batches answered.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.quality.lists import Lists
from personalize_spark.quality.template import fragment, section, table

DEPTHS = (1, 5, 10, 25)
"""The K of overlap@K."""


HEAD = ("", "old", "new", "both")
"""Of the columns of `OutputComparison.rows`."""


@dataclass(frozen=True)
class Batch:
    """One batch of answers.

    Attributes:
        lines: how many there are.
        only: lines without a counterpart in the other batch.
        errors: error lines.
        items: distinct items (the coverage of the catalogue).
        popularity: the share of lists in which an item appears, mean over all places of all lists: with f lists of L that
            have an item, sum(f^2) / (L sum(f)). 1 when everybody gets the same items.
        gini: the Gini coefficient of f over the n items that either batch recommends, f ascending:
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
    """What both batches have: matched lines, lines that are errors in both, lines answered in both, distinct items."""

    lines: int
    errors: int
    answered: int
    items: int


@dataclass(frozen=True)
class OutputComparison:
    """Two batches compared; a mean of nothing is `None`.

    Attributes:
        old: the first batch.
        new: the second one.
        both: what they share.
        overlap: by K, the mean over lines of overlap@K = |first K of old and of new| / K; K is the longer of the two
            lists where that is shorter, and two empty lists overlap by 1.
        footrule: the order of the items that both lists have, mean over the lines with at least two: with c of them,
            ranked 1..c in each batch, 1 - sum(|rank_old - rank_new|) / floor(c^2 / 2): Spearman's footrule over its maximum
            (Diaconis and Graham, 1977). 1 for the same order, 0 for the reverse, about 1/3 by chance.
        identical: the share of lines with the same items in the same order.
        difference: the mean absolute difference of an item's two scores, over all items that both lists have scores for.
        at: the K of the histogram.
        histogram: K + 1 numbers of lines: with 0/K, 1/K, ... K/K of overlap@K (rounded to those for shorter lists).
    """

    old: Batch
    new: Batch
    both: Both
    overlap: dict[int, float | None]
    footrule: float | None
    identical: float | None
    difference: float | None
    at: int
    histogram: list[int]

    @property
    def notes(self) -> list[str]:
        """What to know before one reads the numbers."""
        alien = "No input line is in both outputs, so there is nothing to compare. Are they answers to the same input?"
        return [] if self.both.lines else [alien]

    def verdict(self) -> list[str]:
        """The most important differences, in sentences."""
        both, old, new = self.both, self.old, self.new
        share = self.overlap[self.at]
        if share is None or self.identical is None:
            return []
        if self.identical == 1:
            one = both.answered == 1
            lists = (
                "The one list that both outputs have is"
                if one
                else f"All {both.answered:,} lists that both outputs have are"
            )
            said = [f"{lists} identical."]
        else:
            overlap = f"The first {self.at} items of old and new overlap by {share:.1%} in the mean of {both.answered:,} lists"
            said = [f"{overlap}; {self.identical:.1%} of the lists are identical."]
        if new.errors != old.errors:
            said.append(f"The new output has {new.errors:,} error lines, the old one {old.errors:,}.")
        if new.only or old.only:
            said.append(f"{old.only:,} lines are in the old output alone, {new.only:,} in the new one alone.")
        if new.items != old.items:
            said.append(f"The new output recommends {new.items:,} distinct items, the old one {old.items:,}.")
        return said

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "notes": self.notes, "verdict": self.verdict()}

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The measures by their names, of the old output, of the new one, and of both together."""
        old, new, both = self.old, self.new, self.both
        return [
            ("lines", f"{old.lines:,}", f"{new.lines:,}", f"{both.lines:,}"),
            ("  only there", f"{old.only:,}", f"{new.only:,}", ""),
            ("  errors", f"{old.errors:,}", f"{new.errors:,}", f"{both.errors:,}"),
            ("  answered in both", "", "", f"{both.answered:,}"),
            ("distinct items", f"{old.items:,}", f"{new.items:,}", f"{both.items:,}"),
            ("popularity", _told(old.popularity), _told(new.popularity), ""),
            ("Gini coefficient", _told(old.gini), _told(new.gini), ""),
            *((f"overlap@{depth}", "", "", _told(share)) for depth, share in self.overlap.items()),
            ("same order (footrule)", "", "", _told(self.footrule)),
            ("identical lists", "", "", _told(self.identical)),
            ("score difference", "", "", _told(self.difference, 7)),
        ]

    def __str__(self) -> str:
        rows = [f"{name:<22}{one:>14}{two:>14}{three:>14}".rstrip() for name, one, two, three in (HEAD, *self.rows())]
        return "\n".join([*self.verdict(), "", *rows] if self.both.answered else rows)

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in (*self.notes, *self.verdict()))
        return fragment(section("Comparison", notes + table(HEAD, self.rows())))


class Tally:
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
        """Add a part: all lines of both batches whose keys belong to it."""
        old_rows, new_rows = _matches(old.keys, new.keys)
        old_failed, new_failed = old.errors[old_rows], new.errors[new_rows]
        self._lines += len(old.keys), len(new.keys)
        self._errors += old.errors.sum(), new.errors.sum()
        self._matched += len(old_rows)
        self._both_errors += int((old_failed & new_failed).sum())
        answered = ~(old_failed | new_failed)
        self._measure(old.take(old_rows[answered]), new.take(new_rows[answered]))

    def comparison(self) -> OutputComparison:
        """The means."""
        old, new = (self._batch(batch) for batch in (0, 1))
        answered = self._answered
        common = int(self._frequency.all(axis=0).sum())
        return OutputComparison(
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
        self._answered += len(old.items)
        for batch, lists in enumerate((old, new)):
            self._frequency[batch] += np.bincount(lists.items.values, minlength=self._items)
        old_at, new_at = self._common(old, new)
        lines = old.items.row_ids()[old_at]
        old_ranks, new_ranks = old.items.place_in_row()[old_at], new.items.place_in_row()[new_at]
        longer = np.maximum(old.items.lengths, new.items.lengths)
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
        """Where in `items` of each batch those are that both lists of a line have."""
        keys, others = (each.items.row_ids() * self._items + each.items.values for each in (old, new))
        _, old_at, new_at = np.intersect1d(keys, others, assume_unique=True, return_indices=True)
        return old_at, new_at

    def _measure_order(self, common: NDArray[np.int64], lines: NDArray[np.int64], moved: NDArray[np.int64]) -> None:
        distance = np.bincount(lines, moved, minlength=len(common))
        ordered = common > 1
        self._footrule += float((1 - distance[ordered] / (common[ordered] ** 2 // 2)).sum())
        self._ordered += int(ordered.sum())

    def _batch(self, batch: int) -> Batch:
        frequency = self._frequency[batch]
        lines = int(self._lines[batch])
        return Batch(
            lines,
            lines - self._matched,
            int(self._errors[batch]),
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

    Both batches have their lists one behind the other, and as many common items in each: a difference of places is one of
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


def _told(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
