"""From lines to what each may get: lines of equal bound values share a mask, and masks are computed once a binding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from sys import getsizeof
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.filters.binding import BoundFilter, dataset_of
from personalize_spark.filters.expression import EXCLUDE, INCLUDE, Condition, Literal, leaves
from personalize_spark.filters.mask import Columns, MaskCache, evaluate, holds_of_event
from personalize_spark.filters.resolving import Binding, Bound, resolve
from personalize_spark.filters.schema import INTERACTIONS
from personalize_spark.filters.values import BadValue, check_values
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection

_MEMO, _ENTRY = 64 << 20, 500
"""Bytes of values whose bindings are remembered, and what an entry holds besides."""
_Key = tuple[tuple[str | None, ...], tuple[Literal | None, ...], int | None]
"""All that a filter asks of a line: the values of its placeholders, its user's attributes, the item that it is about."""
_LINES, _BYTES = 8192, 16 << 20
"""Of a group: lines, if it has several bindings, and bytes of their masks."""


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
    """Lines that are answered together, int64 (g,), and what they may get; those of one binding lie together."""

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
        self._expressions = bound.filter.expressions
        of_items = [each for each in self._expressions if dataset_of(each) != INTERACTIONS]
        fields = {leaf.field.name for each in of_items for leaf in leaves(each.condition)}
        order = np.append(rows, _unknown_row(columns))
        self._model_columns = {name: columns[name].take(order) for name in fields}
        self._items = len(rows)
        self._masks = MaskCache()
        self._bindings: dict[_Key, Binding | BadValue] = {}
        self._remembered = 0
        self._parameters, self._attributes, self._item_fields = bound.parameters, bound.user_fields, bound.item_fields

    def select(self, lines: Lines) -> tuple[Iterator[Group], dict[int, str]]:
        """The lines that can be answered, in groups that are made one after the other, and by line the error of the others."""
        by_key: dict[_Key, list[int]] = defaultdict(list)
        errors: dict[int, str] = {}
        current = [None] * len(lines.attributes) if lines.current is None else lines.current.tolist()
        for line, of_line in enumerate(zip(lines.filter_values, lines.attributes, current, strict=True)):
            key = self._key(*of_line)
            if isinstance(key, BadValue):
                errors[line] = key.message
            else:
                by_key[key].append(line)
        by_binding: dict[Binding, list[int]] = defaultdict(list)
        for key, members in by_key.items():
            binding = self._binding(key)
            if isinstance(binding, BadValue):
                errors.update(dict.fromkeys(members, binding.message))
            else:
                by_binding[binding] += members
        return self._groups(by_binding, lines), errors

    def _groups(self, by_binding: Mapping[Binding, list[int]], lines: Lines) -> Iterator[Group]:
        part: dict[Binding, list[int]] = {}
        held, most = 0, max(1, _BYTES // (self._items // 8 + 1))
        for binding in sorted(by_binding, key=_by_literals):
            members = by_binding[binding]
            if part and (len(part) == most or held + len(members) > _LINES):
                yield self._group(part, lines)
                part, held = {}, 0
            part[binding] = members
            held += len(members)
        if part:
            yield self._group(part, lines)

    def _key(self, values: Any, attributes: Mapping[str, Literal | None], current: int | None) -> _Key | BadValue:
        given: tuple[str | None, ...] = ()
        if self._parameters and values is not None:  # else nothing asks for them
            bad = check_values(values)
            if bad is not None:
                return bad
            given = tuple([str(values[name]) if name in values else None for name in self._parameters])
        return given, tuple([attributes.get(name) for name in self._attributes]), current

    def _binding(self, key: _Key) -> Binding | BadValue:
        if key not in self._bindings:
            if self._remembered > _MEMO:
                self._bindings.clear()
                self._remembered = 0
            self._bindings[key] = self._resolved(*key)
            self._remembered += sum(map(getsizeof, key[0])) + _ENTRY
        return self._bindings[key]

    def _resolved(
        self, given: Sequence[str | None], attributes: Sequence[Literal | None], current: int | None
    ) -> Binding | BadValue:
        # of a line without filterValues none is given
        texts = {name: text for name, text in zip(self._parameters, given, strict=False) if text is not None}
        user = dict(zip(self._attributes, attributes, strict=True))
        item = {} if current is None else {name: self._columns[name].at(current) for name in self._item_fields}
        return resolve(self._bound, texts, user, item)

    def _group(self, by_binding: Mapping[Binding, list[int]], lines: Lines) -> Group:
        """The lines of some bindings: what expressions on Items say is a mask a binding, what those on Interactions say is a list a line."""
        bindings = list(by_binding)
        members = np.array([line for each in by_binding.values() for line in each], np.int64)
        of = np.repeat(np.arange(len(bindings)), [len(each) for each in by_binding.values()])
        kept, gone = (self._touched(bindings, action, of, members, lines) for action in (INCLUDE, EXCLUDE))
        bits = self._item_bits(bindings)
        if bits is None:
            return Group(members, Selection(None, gone, kept))
        base, dropped = bits
        if kept is not None:
            owners, items = kept.row_ids(), kept.values.astype(np.int64)
            wanted = ~Masks(base | dropped, of).contains(owners, items)
            if gone is not None:
                wanted &= ~gone.contains(owners, items)
            kept = Ragged.of_pairs(owners[wanted], items[wanted], len(members))
        keep = Masks(base & ~dropped, of)
        unknown = keep.contains(np.arange(len(members)), np.full(len(members), self._items))
        return Group(members, Selection(keep, gone, kept, unknown))

    def _item_bits(self, bindings: Sequence[Binding]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
        """By binding, what is included and what is excluded for all its lines, as bits of `Masks`.

        `None` where no expression says either, so that all items are kept.
        """
        shape = len(bindings), self._items // 8 + 1
        base, dropped = (np.full(shape, value, np.uint8) for value in (0xFF, 0))
        said = False
        for place, binding in enumerate(bindings):
            bounded = [(number, *each) for number, each in enumerate(zip(self._expressions, binding, strict=True))]
            if any(bound is not None and each.action == INCLUDE for _, each, bound in bounded):
                base[place], said = 0, True
            for number, expression, bound in bounded:
                if bound is not None and dataset_of(expression) != INTERACTIONS:
                    bits = self._masks.get((number, bound), partial(self._mask, expression.condition, bound))
                    (base if expression.action == INCLUDE else dropped)[place] |= bits
                    said = True
        return (base, dropped) if said else None

    def _mask(self, condition: Condition, bound: Bound) -> NDArray[np.bool_]:
        return evaluate(condition, bound, self._model_columns)

    def _touched(
        self,
        bindings: Sequence[Binding],
        action: str,
        of: NDArray[np.int64],
        members: NDArray[np.int64],
        lines: Lines,
    ) -> Ragged[np.int32] | None:
        """By line, the items that the expressions on Interactions of one action are about."""
        flags = np.zeros((len(bindings), len(self._events)), np.bool_)
        any_of_them = False
        for place, binding in enumerate(bindings):
            for expression, bound in zip(self._expressions, binding, strict=True):
                if bound is not None and expression.action == action and dataset_of(expression) == INTERACTIONS:
                    hold = [holds_of_event(expression.condition, bound, each) for each in self._events]
                    flags[place] |= np.array(hold, np.bool_)
                    any_of_them = True
        if not any_of_them:
            return None
        counts = lines.indptr[members + 1] - lines.indptr[members]
        owners = np.repeat(np.arange(len(members)), counts)
        positions = np.arange(counts.sum()) + np.repeat(lines.indptr[members] - np.cumsum(counts) + counts, counts)
        hits = flags[of[owners], lines.events[positions]]
        return Ragged.of_pairs(owners[hits], lines.items[positions][hits], len(members))


def _by_literals(binding: Binding) -> tuple[Bound, ...]:
    """The order in which masks of neighbours are likely to be nearly equal: those of `PRICE < 10` and `PRICE < 11`."""
    return tuple(bound or () for bound in binding)


def _unknown_row(columns: Columns) -> int:
    """The row of the item that has no values."""
    return max((len(each) for each in columns.values()), default=1) - 1
