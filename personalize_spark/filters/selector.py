"""From lines to what each may get: lines of equal bound values are grouped, and masks are computed once a binding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from personalize_spark.filters.binding import BoundFilter, dataset_of
from personalize_spark.filters.expression import EXCLUDE, INCLUDE, Condition, Literal
from personalize_spark.filters.mask import Columns, MaskCache, evaluate, holds_of_event
from personalize_spark.filters.resolving import Binding, Bound, resolve
from personalize_spark.filters.schema import INTERACTIONS
from personalize_spark.filters.values import BadValue, check_values
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection

_MEMO = 100_000


@dataclass(frozen=True)
class Lines:
    """What a filter looks at, of U lines.

    Attributes:
        filter_values: each line's `filterValues`, `None` where it has none.
        attributes: each line's user's attributes; empty for an unknown user.
        indptr: int64 (U + 1,); line u's user did `items[indptr[u]:indptr[u + 1]]`.
        items: int64 (m,), rows of the model's items.
        events: int16 (m,), codes of the event types.
        current: the row in `columns` of the item that each line asks about; `None` where lines ask about none.
    """

    filter_values: Sequence[Any]
    attributes: Sequence[Mapping[str, Literal | None]]
    indptr: NDArray[np.int64]
    items: NDArray[np.int64]
    events: NDArray[np.int16]
    current: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Group:
    """Lines of one binding, int64 (g,), and what they may get."""

    lines: NDArray[np.int64]
    selection: Selection


class Selector:
    """A filter over one model's items.

    Args:
        bound: the filter.
        columns: the fields of Items, over V items and, last, one that has no values.
        rows: int64 (I,), for each row of the model the row in `columns`; V for an item that Items does not hold.
        events: the event types, by code.
    """

    def __init__(self, bound: BoundFilter, columns: Columns, rows: NDArray[np.int64], events: Sequence[str]) -> None:
        self._bound, self._columns, self._events = bound, columns, events
        self._rows: NDArray[np.int64] = np.append(rows, _unknown_row(columns))
        self._expressions = bound.filter.expressions
        self._masks = MaskCache()
        self._bindings: dict[Any, Binding | BadValue] = {}
        self._parameters, self._attributes, self._item_fields = bound.parameters, bound.user_fields, bound.item_fields

    def select(self, lines: Lines) -> tuple[list[Group], dict[int, str]]:
        """The groups of the lines that can be answered, and by line the error of the others."""
        by_binding: dict[Binding, list[int]] = defaultdict(list)
        errors: dict[int, str] = {}
        current = [None] * len(lines.attributes) if lines.current is None else lines.current.tolist()
        for line, of_line in enumerate(zip(lines.filter_values, lines.attributes, current, strict=True)):
            binding = self._bind_line(*of_line)
            if isinstance(binding, BadValue):
                errors[line] = binding.message
            else:
                by_binding[binding].append(line)
        groups = [np.array(members, np.int64) for members in by_binding.values()]
        selections = [self._selection(each, members, lines) for each, members in zip(by_binding, groups, strict=True)]
        return [Group(*each) for each in zip(groups, selections, strict=True)], errors

    def _bind_line(
        self, values: Any, attributes: Mapping[str, Literal | None], current: int | None
    ) -> Binding | BadValue:
        if not self._parameters:
            values = None  # nothing asks for them
        raw = None if values is None else orjson.dumps(values)
        key = raw, tuple(attributes.get(name) for name in self._attributes), current
        if key not in self._bindings:
            if len(self._bindings) >= _MEMO:
                self._bindings.clear()
            self._bindings[key] = self._resolved(values, attributes, current)
        return self._bindings[key]

    def _resolved(
        self, values: Any, attributes: Mapping[str, Literal | None], current: int | None
    ) -> Binding | BadValue:
        bad = check_values(values) if values is not None else None
        if bad is not None:
            return bad
        given = {name: str(values[name]) for name in self._parameters if name in values} if values else {}
        item = {} if current is None else {name: self._columns[name].at(current) for name in self._item_fields}
        return resolve(self._bound, given, attributes, item)

    def _selection(self, binding: Binding, members: NDArray[np.int64], lines: Lines) -> Selection:
        keep, excluding = self._item_masks(binding)
        kept, gone = self._touched(binding, INCLUDE, members, lines), self._touched(binding, EXCLUDE, members, lines)
        if kept is not None:
            dropped = np.zeros(len(self._rows), np.bool_) if keep is None else keep
            lines_of, items = kept.lines(), kept.items.astype(np.int64)
            wanted = ~dropped[items] & ~excluding[items] if excluding is not None else ~dropped[items]
            if gone is not None:
                wanted &= ~gone.holds(lines_of, items)
            kept = Ragged.of(lines_of[wanted], items[wanted], len(members))
            keep = dropped
        if excluding is not None:
            keep = ~excluding if keep is None else keep & ~excluding
        if keep is None:
            return Selection(None, gone, kept)
        return Selection(keep[:-1], gone, kept, unknown=bool(keep[-1]))

    def _item_masks(self, binding: Binding) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
        """What the expressions on Items keep and what they drop; `None` where none of them does."""
        masks: dict[str, NDArray[np.bool_]] = {}
        for number, (expression, bound) in enumerate(zip(self._expressions, binding, strict=True)):
            if bound is not None and dataset_of(expression) != INTERACTIONS:
                mask = self._masks.get((number, bound), partial(self._mask, expression.condition, bound))
                masks[expression.action] = masks[expression.action] | mask if expression.action in masks else mask
        return masks.get(INCLUDE), masks.get(EXCLUDE)

    def _mask(self, condition: Condition, bound: Bound) -> NDArray[np.bool_]:
        return evaluate(condition, bound, self._columns)[self._rows]

    def _touched(self, binding: Binding, action: str, members: NDArray[np.int64], lines: Lines) -> Ragged | None:
        """By line, the items that the expressions on Interactions of one action are about."""
        flags = np.zeros(len(self._events), np.bool_)
        any_of_them = False
        for expression, bound in zip(self._expressions, binding, strict=True):
            if bound is not None and expression.action == action and dataset_of(expression) == INTERACTIONS:
                flags |= np.array(
                    [holds_of_event(expression.condition, bound, each) for each in self._events], np.bool_
                )
                any_of_them = True
        if not any_of_them:
            return None
        counts = lines.indptr[members + 1] - lines.indptr[members]
        owners = np.repeat(np.arange(len(members)), counts)
        positions = np.arange(counts.sum()) + np.repeat(lines.indptr[members] - np.cumsum(counts) + counts, counts)
        hits = flags[lines.events[positions]]
        return Ragged.of(owners[hits], lines.items[positions][hits], len(members))


def _unknown_row(columns: Columns) -> int:
    """The row of the item that has no values."""
    return max((len(each) for each in columns.values()), default=1) - 1
