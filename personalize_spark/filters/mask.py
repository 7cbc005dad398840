"""Conditions over columns of items: one boolean an item, computed for all items at once."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.filters.expression import And, Comparison, Condition, Literal, Membership, Or

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
class Texts:
    """A text field: item i has the values `codes[indptr[i]:indptr[i + 1]]`, none where it is missing.

    Attributes:
        values: by text, its code.
        indptr: int64 (I + 1,).
        codes: int32 (m,).
    """

    values: Mapping[str, int]
    indptr: NDArray[np.int64]
    codes: NDArray[np.int32]


@dataclass(frozen=True)
class Numbers:
    """A numeric field: int64 or float64 (I,), and where it has a value, bool (I,)."""

    values: NDArray[Any]
    valid: NDArray[np.bool_]


Columns = Mapping[str, Texts | Numbers]
"""The fields of Items, by name, over the same I items."""

Operands = Sequence[tuple[Literal, ...]]
"""The literals of each comparison and membership of a condition, from left to right."""


def evaluate(condition: Condition, operands: Operands, columns: Columns) -> NDArray[np.bool_]:
    """Bool (I,): where the condition holds.

    A missing value is an empty set: IN and every comparison are false, NOT IN is true. Of a field with several values, IN
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


def _leaf(leaf: Comparison | Membership, literals: tuple[Literal, ...], column: Texts | Numbers) -> NDArray[np.bool_]:
    if isinstance(column, Texts):
        return _text_leaf(leaf, literals, column)
    if isinstance(leaf, Membership):
        found = np.zeros(len(column.values), np.bool_)
        for literal in literals:
            found |= _compare("=", column, literal)
        return ~found if leaf.negated else found
    return _compare(leaf.operator, column, literals[0]) if literals else np.zeros(len(column.values), np.bool_)


def _text_leaf(leaf: Comparison | Membership, literals: tuple[Literal, ...], column: Texts) -> NDArray[np.bool_]:
    wanted = np.zeros(len(column.values) + 1, np.bool_)
    wanted[[column.values[text] for text in map(str, literals) if text in column.values]] = True
    hits = np.concatenate([[0], np.cumsum(wanted[column.codes])])
    found: NDArray[np.bool_] = hits[column.indptr[1:]] > hits[column.indptr[:-1]]
    if isinstance(leaf, Membership):
        return ~found if leaf.negated else found
    there: NDArray[np.bool_] = np.diff(column.indptr) > 0
    return there & ~found if leaf.operator == "!=" else found


def _compare(sign: str, column: Numbers, literal: Literal) -> NDArray[np.bool_]:
    assert not isinstance(literal, str)  # noqa: S101  # bound
    if isinstance(literal, int) and not _INT64.min <= literal <= _INT64.max:
        literal = float(literal)
    with np.errstate(invalid="ignore"):
        result: NDArray[np.bool_] = _OPERATORS[sign](column.values, literal) & column.valid
    return result


def holds(condition: Condition, operands: Operands, values: Mapping[str, Literal | None]) -> bool:
    """Whether a condition on the fields of one user holds; the same rules, for a single row."""
    remaining = iter(operands)

    def walk(node: Condition) -> bool:
        if isinstance(node, And | Or):
            parts = [walk(part) for part in node.parts]  # all of them: each takes its operands
            return all(parts) if isinstance(node, And) else any(parts)
        return _holds(node, next(remaining), values.get(node.field.name))

    return walk(condition)


def _holds(leaf: Comparison | Membership, literals: tuple[Literal, ...], value: Literal | None) -> bool:
    several = value.split("|") if isinstance(value, str) else [] if value is None else [value]
    if isinstance(leaf, Membership):
        return any(each in literals for each in several) != leaf.negated
    if leaf.operator == "!=":
        return bool(several) and not any(each in literals for each in several)
    return any(bool(_OPERATORS[leaf.operator](each, literal)) for each in several for literal in literals)


class MaskCache:
    """Masks as bitmaps; what was not used for longest goes when they take more than `limit` bytes."""

    def __init__(self, limit: int = 64 << 20) -> None:
        self._limit, self._size = limit, 0
        self._masks: OrderedDict[Any, tuple[NDArray[np.uint8], int]] = OrderedDict()

    def get(self, key: Any, make: Callable[[], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """The mask of a key, made if it is not there."""
        if key in self._masks:
            self._masks.move_to_end(key)
            bits, count = self._masks[key]
            return np.unpackbits(bits, count=count).view(np.bool_)
        mask = make()
        bits = np.packbits(mask)
        self._masks[key] = bits, len(mask)
        self._size += bits.nbytes
        while self._size > self._limit:
            _, (old, _) = self._masks.popitem(last=False)
            self._size -= old.nbytes
        return mask
