"""From lines to what each may get: lines that resolve alike share a mask, and a mask is computed once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from sys import getsizeof
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.filters.binding import BoundFilter, Resolved, dataset_of
from personalize_spark.filters.expression import EXCLUDE, INCLUDE, Condition, Literal, Operands, leaves
from personalize_spark.filters.mask import Columns, MaskCache, evaluate, holds_of_event
from personalize_spark.filters.values import BadValue, check_values
from personalize_spark.schemas import INTERACTIONS
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection

_MEMO, _ENTRY = 64 << 20, 500
"""Bytes of the values of lines that are resolved once and remembered, and what an entry holds besides."""
_Key = tuple[tuple[str | None, ...], tuple[Literal | None, ...], int | None]
"""All that a filter asks of a line: the values of its placeholders, its user's attributes, the item that it is about."""
_LINES, _BYTES = 8192, 16 << 20
"""Of a group: lines, if they do not all resolve alike, and bytes of their masks."""


@dataclass(frozen=True)
class LineUsers:
    """The users of U lines, as a filter sees them.

    Attributes:
        items: by line, what its user did something with: int64, rows of the items.
        events: int16 (m,), codes of the event types, parallel to the values of `items`.
        attributes: by line, its user's attributes; empty for an unknown user.
    """

    items: Ragged[np.int64]
    events: NDArray[np.int16]
    attributes: Sequence[Mapping[str, Literal | None]]

    @classmethod
    def unasked(cls, lines: int) -> LineUsers:
        """Of lines whose users nobody looked up."""
        nothing = Ragged(np.zeros(lines + 1, np.int64), np.empty(0, np.int64))
        return cls(nothing, np.empty(0, np.int16), [{}] * lines)


@dataclass(frozen=True)
class Lines:
    """What a filter looks at, of U lines.

    Attributes:
        filter_values: each line's `filterValues`, `None` where it has none.
        users: each line's user; `items` are rows of the model.
        current: the row in `columns` of the item that each line asks about; `None` where lines ask about none.
    """

    filter_values: Sequence[Any]
    users: LineUsers
    current: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Group:
    """Lines that are answered together, int64 (g,), and what they may get; those that resolve alike lie together."""

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
        self._memo: dict[_Key, Resolved | BadValue] = {}
        self._memo_bytes = 0
        self._parameters, self._attributes, self._item_fields = bound.parameters, bound.user_fields, bound.item_fields

    def select(self, lines: Lines) -> tuple[Iterator[Group], dict[int, str]]:
        """The lines that can be answered, in groups that are made one after the other, and by line the error of the others."""
        by_key: dict[_Key, list[int]] = defaultdict(list)
        errors: dict[int, str] = {}
        attributes = lines.users.attributes
        current = [None] * len(attributes) if lines.current is None else lines.current.tolist()
        varies = bool(self._parameters or self._attributes or self._item_fields)
        if not varies and attributes:
            by_key[(), (), None] = list(range(len(attributes)))
        for line, of_line in enumerate(zip(lines.filter_values, attributes, current, strict=True) if varies else ()):
            key = self._key(*of_line)
            if isinstance(key, BadValue):
                errors[line] = key.message
            else:
                by_key[key].append(line)
        members: dict[Resolved, list[int]] = defaultdict(list)
        for key, of_key in by_key.items():
            resolved = self._resolved(key)
            if isinstance(resolved, BadValue):
                errors.update(dict.fromkeys(of_key, resolved.message))
            else:
                members[resolved] += of_key
        return self._groups(members, lines.users), errors

    def _groups(self, members: Mapping[Resolved, list[int]], users: LineUsers) -> Iterator[Group]:
        part: dict[Resolved, list[int]] = {}
        held, most = 0, max(1, _BYTES // (self._items // 8 + 1))
        for resolved in sorted(members, key=_by_literals):
            lines = members[resolved]
            if part and (len(part) == most or held + len(lines) > _LINES):
                yield self._group(part, users)
                part, held = {}, 0
            part[resolved] = lines
            held += len(lines)
        if part:
            yield self._group(part, users)

    def _key(self, values: Any, attributes: Mapping[str, Literal | None], current: int | None) -> _Key | BadValue:
        texts: tuple[str | None, ...] = ()
        if self._parameters and values is not None:  # else nothing asks for them
            bad = check_values(values)
            if bad is not None:
                return bad
            texts = tuple([str(values[name]) if name in values else None for name in self._parameters])
        return texts, tuple([attributes.get(name) for name in self._attributes]), current

    def _resolved(self, key: _Key) -> Resolved | BadValue:
        if key not in self._memo:
            if self._memo_bytes > _MEMO:
                self._memo.clear()
                self._memo_bytes = 0
            self._memo[key] = self._resolve(*key)
            self._memo_bytes += sum(map(getsizeof, key[0])) + _ENTRY
        return self._memo[key]

    def _resolve(
        self, texts: Sequence[str | None], attributes: Sequence[Literal | None], current: int | None
    ) -> Resolved | BadValue:
        # a line without filterValues has no texts
        values = {name: text for name, text in zip(self._parameters, texts, strict=False) if text is not None}
        user = dict(zip(self._attributes, attributes, strict=True))
        item = {} if current is None else {name: self._columns[name].at(current) for name in self._item_fields}
        return self._bound.resolve(values, user, item)

    def _group(self, members: Mapping[Resolved, list[int]], users: LineUsers) -> Group:
        """Lines and what they may get: expressions on Items give masks, one for lines that resolve alike; those on Interactions give lists."""
        acting = [self._acting(resolved) for resolved in members]
        of = np.repeat(np.arange(len(members)), [len(each) for each in members.values()])
        lines = np.array([line for each in members.values() for line in each], np.int64)
        included, excluded = (self._by_history(acting, action, of, lines, users) for action in (INCLUDE, EXCLUDE))
        if all(each.action == EXCLUDE and each.of_history for some in acting for each in some):
            return Group(lines, Selection(excluded=excluded))
        of_items = self._by_items(acting)
        if included is not None:
            owners, items = included.row_ids(), included.values
            new = ~Masks(of_items[INCLUDE] | of_items[EXCLUDE], of).contains(owners, items)
            included = included.where(new if excluded is None else new & ~excluded.contains(owners, items))
        masks = Masks(of_items[INCLUDE] & ~of_items[EXCLUDE], of)
        unknown_items = masks.contains(np.arange(len(lines)), np.full(len(lines), self._items))
        return Group(lines, Selection(masks, excluded, included, unknown_items))

    def _acting(self, resolved: Resolved) -> list[_Acting]:
        numbered = enumerate(zip(self._expressions, resolved, strict=True))
        return [
            _Acting(number, each.action, each.condition, operands, of_history=dataset_of(each) == INTERACTIONS)
            for number, (each, operands) in numbered
            if operands is not None
        ]

    def _by_items(self, acting: Sequence[Sequence[_Acting]]) -> Mapping[str, NDArray[np.uint8]]:
        """By action, the bits of `Masks` of the items that expressions on Items are about; without any INCLUDE all are included."""
        bits = {action: np.zeros((len(acting), self._items // 8 + 1), np.uint8) for action in (INCLUDE, EXCLUDE)}
        for row, expressions in enumerate(acting):
            if all(each.action == EXCLUDE for each in expressions):
                bits[INCLUDE][row] = 0xFF
            for each in expressions:
                if not each.of_history:
                    bits[each.action][row] |= self._masks.get((each.number, each.operands), partial(self._mask, each))
        return bits

    def _mask(self, acting: _Acting) -> NDArray[np.bool_]:
        return evaluate(acting.condition, acting.operands, self._model_columns)

    def _by_history(
        self,
        acting: Sequence[Sequence[_Acting]],
        action: str,
        of: NDArray[np.int64],
        lines: NDArray[np.int64],
        users: LineUsers,
    ) -> Ragged[np.int32] | None:
        """By line, the items that the expressions on Interactions of one action are about; `None` where none acts."""
        about = np.zeros((len(acting), len(self._events)), np.bool_)
        any_acts = False
        for row, expressions in enumerate(acting):
            for each in expressions:
                if each.action == action and each.of_history:
                    holds = [holds_of_event(each.condition, each.operands, event) for event in self._events]
                    about[row] |= np.array(holds, np.bool_)
                    any_acts = True
        if not any_acts:
            return None
        history = users.items.positions(lines)
        owners = history.row_ids()
        hits = about[of[owners], users.events[history.values]]
        return Ragged.of_pairs(owners[hits], users.items.values[history.values[hits]], len(lines))


@dataclass(frozen=True)
class _Acting:
    """An expression that has an effect on some lines, and its operands there."""

    number: int
    action: str
    condition: Condition
    operands: Operands
    of_history: bool


def _by_literals(resolved: Resolved) -> tuple[Operands, ...]:
    """The order in which masks of neighbours are likely to be nearly equal: those of `PRICE < 10` and `PRICE < 11`."""
    return tuple(operands or () for operands in resolved)


def _unknown_row(columns: Columns) -> int:
    """The row of the item that has no values."""
    return max((len(each) for each in columns.values()), default=1) - 1
