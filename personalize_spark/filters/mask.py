"""Conditions over columns of items: one boolean an item, computed for all items at once."""

from __future__ import annotations

import math
import operator
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.filters.expression import And, Comparison, Condition, Literal, Membership, Operands, Or, leaves
from personalize_spark.scoring.ragged import Ragged

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class Categories:
    """A text field: row i of `codes` are the values of item i, none where it is missing; `texts` maps each code to its text."""

    texts: Sequence[str]
    codes: Ragged[np.int32]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.int64]) -> Categories:
        """The values of these items, in their order."""
        return Categories(self.texts, self.codes.take(rows))

    @cached_property
    def _code_of(self) -> Mapping[str, int]:
        return {text: code for code, text in enumerate(self.texts)}

    @cached_property
    def _items_by_code(self) -> Ragged[np.int32]:
        return Ragged.grouped(self.codes.values, self.codes.row_ids().astype(np.int32), len(self.texts))

    def any_of(self, texts: Iterable[str]) -> NDArray[np.bool_]:
        """Bool (I,): the items that have one of these values."""
        found = np.zeros(len(self), np.bool_)
        for code in {self._code_of[text] for text in texts if text in self._code_of}:
            found[self._items_by_code.row(code)] = True
        return found

    def at(self, row: int) -> tuple[Literal, ...]:
        """The values of one item."""
        return tuple(self.texts[code] for code in self.codes.row(row).tolist())


@dataclass(frozen=True)
class Numbers:
    """A numeric field: int64 or float64 (I,), and where it has a value, bool (I,)."""

    values: NDArray[Any]
    valid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64]) -> Numbers:
        """The values of these items, in their order."""
        return Numbers(self.values[rows], self.valid[rows])

    def at(self, row: int) -> tuple[Literal, ...]:
        """The value of one item, if it has one."""
        return (self.values[row].item(),) if self.valid[row] else ()


Columns = Mapping[str, Categories | Numbers]
"""The fields of Items, by name, over the same I items."""


def evaluate(condition: Condition, operands: Operands, columns: Columns) -> NDArray[np.bool_]:
    """Bool (I,): where the condition holds.

    A missing value, on either side, is an empty set: IN and every comparison are false, NOT IN is true. Of a field with several values, IN
    wants any of them in the list, NOT IN none.
    """
    remaining = iter(operands)

    def walk(node: Condition) -> NDArray[np.bool_]:
        if isinstance(node, And | Or):
            both = np.logical_and if isinstance(node, And) else np.logical_or
            joined: NDArray[np.bool_] = both.reduce([walk(part) for part in node.parts])
            return joined
        return _leaf(node, next(remaining), columns[node.field.name])

    return walk(condition)


def _leaf(
    leaf: Comparison | Membership, literals: tuple[Literal, ...], column: Categories | Numbers
) -> NDArray[np.bool_]:
    if isinstance(column, Categories):
        return _text_leaf(leaf, literals, column)
    if isinstance(leaf, Membership):
        found = np.zeros(len(column.values), np.bool_)
        for literal in literals:
            found |= _compare("=", column, literal)
        return ~found if leaf.negated else found
    return _compare(leaf.operator, column, literals[0]) if literals else np.zeros(len(column.values), np.bool_)


def _text_leaf(leaf: Comparison | Membership, literals: tuple[Literal, ...], column: Categories) -> NDArray[np.bool_]:
    found = column.any_of(map(str, literals))
    if isinstance(leaf, Membership):
        return ~found if leaf.negated else found
    there: NDArray[np.bool_] = column.codes.lengths > 0
    return there & ~found if leaf.operator == "!=" and literals else found


def _compare(sign: str, column: Numbers, literal: Literal) -> NDArray[np.bool_]:
    assert not isinstance(literal, str)  # noqa: S101  # bound
    result: NDArray[np.bool_] = _OPERATORS[sign](column.values, _comparable(literal, column.values.dtype))
    return result & column.valid


def _comparable(literal: float, kind: np.dtype[Any]) -> int | float:
    """A number that compares with values of a dtype as the literal does, 64-bit integers exactly."""
    if kind.kind == "f":
        low, high = -sys.float_info.max, sys.float_info.max
    else:
        low, high = _INT64.min, _INT64.max
        literal = int(literal) if isinstance(literal, float) and literal.is_integer() else literal
    if low <= literal <= high:
        return float(literal) if kind.kind == "f" else literal
    return math.inf if literal > 0 else -math.inf


def holds(condition: Condition, operands: Operands, values: Mapping[str, Literal | None]) -> bool:
    """Whether a condition on the fields of one user holds; the same rules, for a single row."""
    several = {
        name: value.split("|") if isinstance(value, str) else [value]
        for name, value in values.items()
        if value is not None
    }
    return _truth(condition, operands, several)


def holds_of_event(condition: Condition, operands: Operands, event: str) -> bool:
    """Whether a condition on Interactions holds for an event type: they match in any case, and `*` matches every one."""
    event = event.lower()
    lowered = tuple(tuple(event if each == "*" else str(each).lower() for each in literals) for literals in operands)
    return _truth(condition, lowered, {leaf.field.name: [event] for leaf in leaves(condition)})


def _truth(condition: Condition, operands: Operands, values: Mapping[str, Sequence[Literal]]) -> bool:
    remaining = iter(operands)

    def walk(node: Condition) -> bool:
        if isinstance(node, And | Or):
            parts = [walk(part) for part in node.parts]  # all of them: each takes its operands
            return all(parts) if isinstance(node, And) else any(parts)
        return _holds(node, next(remaining), values.get(node.field.name, ()))

    return walk(condition)


def _holds(leaf: Comparison | Membership, literals: tuple[Literal, ...], several: Sequence[Literal]) -> bool:
    if isinstance(leaf, Membership):
        return any(each in literals for each in several) != leaf.negated
    if leaf.operator == "!=":
        return bool(several and literals) and not any(each in literals for each in several)
    return any(bool(_OPERATORS[leaf.operator](each, literal)) for each in several for literal in literals)


class MaskCache:
    """Masks as `numpy.packbits` packs them; what was not used for longest goes when they take more than `limit` bytes."""

    def __init__(self, limit: int = 64 << 20) -> None:
        self._limit, self._size = limit, 0
        self._masks: OrderedDict[Any, NDArray[np.uint8]] = OrderedDict()

    def get(self, key: Any, make: Callable[[], NDArray[np.bool_]]) -> NDArray[np.uint8]:
        """The mask of a key, made if it is not there."""
        if key in self._masks:
            self._masks.move_to_end(key)
            return self._masks[key]
        bits = self._masks[key] = np.packbits(make())
        self._size += bits.nbytes
        while self._size > self._limit:
            self._size -= self._masks.popitem(last=False)[1].nbytes
        return bits
