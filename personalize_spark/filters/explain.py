"""What a filter does, for people: what its parts hold for, what each expression keeps of the items, and what drops an item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.filters.binding import BoundFilter, dataset_of
from personalize_spark.filters.expression import (
    EXCLUDE,
    INCLUDE,
    And,
    Comparison,
    Condition,
    Expression,
    Field,
    Filter,
    Literal,
    Membership,
    Operands,
    Or,
    Parameter,
    Values,
    leaves,
)
from personalize_spark.filters.mask import Columns, evaluate, holds_of_event
from personalize_spark.filters.values import BadValue, check_values
from personalize_spark.schemas import INTERACTIONS, ITEMS

_INDENT = "    "

Known = Sequence[tuple[Literal, ...] | None]
"""The literals of each leaf of a condition; `None` for those that come with a line."""

Where = Callable[[Condition, Operands], NDArray[np.bool_] | None]
"""For which items a condition holds, bool (V + 1,); `None` where it is not about items or depends on a line."""


@dataclass(frozen=True)
class Share:
    """So many of the items of a dataset group."""

    count: int
    total: int

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Share:
        """The items of a mask, bool (V + 1,), whose last row is no item."""
        return cls(int(np.count_nonzero(mask[:-1])), len(mask) - 1)

    def __str__(self) -> str:
        percent = f" ({self.count / self.total:.2%})" if self.total else ""
        return f"{self.count} of {self.total} items{percent}"


@dataclass(frozen=True)
class Part:
    """A condition, or a part of one.

    Attributes:
        node: the part of the tree.
        text: what it says, with what it compares with on this line.
        holds: bool (V + 1,), for which items; `None` where that is not known.
        parts: what it is joined of.
    """

    node: Condition
    text: str
    holds: NDArray[np.bool_] | None
    parts: tuple[Part, ...] = ()

    def lines(self, indent: str) -> Iterator[str]:
        """The part and, deeper, its own."""
        share = "" if self.holds is None else f"  [holds for {Share.of(self.holds)}]"
        yield f"{indent}{self.text}{share}"
        for part in self.parts:
            yield from part.lines(indent + _INDENT)

    def deciding(self, row: int) -> Iterator[Part]:
        """The comparisons that make it hold, or not hold, for an item."""
        if not self.parts:
            yield self
        # None agrees where two events each meet one part of an AND and no event meets both: then all of them decide.
        for part in [each for each in self.parts if each.at(row) == self.at(row)] or self.parts:
            yield from part.deciding(row)

    def at(self, row: int) -> bool:
        """Whether it is known to hold for an item."""
        return self.holds is not None and bool(self.holds[row])


@dataclass(frozen=True)
class Clause:
    """An expression of a filter.

    Attributes:
        expression: what it is.
        condition: its condition.
        acts: whether it has an effect; `None` where its IF decides that on each line.
        note: what it keeps, or why it has no effect; empty where nothing is known but the tree.
    """

    expression: Expression
    condition: Part
    acts: bool | None
    note: str = ""

    def lines(self) -> Iterator[str]:
        """Its tree, a part a line."""
        yield f"{self.expression.action} {self.expression.subject}" + (f"  [{self.note}]" if self.note else "")
        yield from self.condition.lines(_INDENT)
        if self.expression.user is not None:
            yield f"{_INDENT}IF"
            yield from _part(self.expression.user, _written(self.expression.user), _nowhere).lines(_INDENT * 2)


@dataclass(frozen=True)
class Line:
    """What a filter looks at of one line.

    Attributes:
        values: its `filterValues`, `None` where it has none.
        attributes: its user's attributes; empty for an unknown user.
        items: int64 (m,), what its user did something with, rows of the columns.
        events: the m event types of that.
        current: the row of the item that it asks about; `None` where it asks about none.
    """

    values: Any
    attributes: Mapping[str, Literal | None]
    items: NDArray[np.int64]
    events: Sequence[str]
    current: int | None = None


def outline(parsed: Filter) -> list[Clause]:
    """The tree of a filter, bound or not."""
    return [
        Clause(each, _part(each.condition, _written(each.condition), _nowhere), None) for each in parsed.expressions
    ]


def explain_group(bound: BoundFilter, columns: Columns, events: Sequence[str]) -> list[Clause]:
    """The tree, with what is the same for all lines.

    Args:
        bound: the filter.
        columns: the fields of Items, over V items and, last, one that has no values.
        events: the event types that there are.
    """
    return [_of_group(each, columns, events) for each in bound.filter.expressions]


def explain_line(bound: BoundFilter, columns: Columns, line: Line) -> list[Clause] | BadValue:
    """The tree as it is for a line.

    Args:
        bound: a filter for ItemID.
        columns: see `explain_group`.
        line: see there.
    """
    bad = check_values(line.values) if bound.parameters and line.values is not None else None
    if bad is not None:
        return bad
    values = {name: str(line.values[name]) for name in bound.parameters if name in (line.values or {})}
    item = {} if line.current is None else {name: columns[name].at(line.current) for name in bound.item_fields}
    resolved = bound.resolve(values, line.attributes, item)
    if isinstance(resolved, BadValue):
        return resolved
    return [
        _idle(expression, values, line) if literals is None else _acting(expression, literals, columns, values, line)
        for expression, literals in zip(bound.filter.expressions, resolved, strict=True)
    ]


def kept(clauses: Sequence[Clause], columns: Columns) -> Share | None:
    """What all expressions together keep of the items; `None` where that depends on the line."""
    acting = [each for each in clauses if each.acts is not False]
    masks: dict[str, list[NDArray[np.bool_]]] = {INCLUDE: [], EXCLUDE: []}
    for each in acting:
        if each.condition.holds is None or each.acts is None:
            return None
        masks[each.expression.action].append(each.condition.holds)
    nothing = np.zeros(_rows(columns), np.bool_)
    keep = np.logical_or.reduce([nothing, *masks[INCLUDE]]) if masks[INCLUDE] else ~nothing
    return Share.of(keep & ~np.logical_or.reduce([nothing, *masks[EXCLUDE]]))


def dropped_by(clauses: Sequence[Clause], columns: Columns, line: Line, row: int) -> list[str]:
    """Which expressions drop an item for a line, and by which comparisons; nothing where it is kept.

    Args:
        clauses: what `explain_line` says of the line.
        columns: see `explain_group`.
        line: the line.
        row: the item's row of the columns.
    """
    acting = [(number, each) for number, each in enumerate(clauses, 1) if each.acts]
    by = [each for each in acting if each[1].expression.action == EXCLUDE and each[1].condition.at(row)]
    including = [each for each in acting if each[1].expression.action == INCLUDE]
    if not any(each.condition.at(row) for _, each in including):
        by += including
    return [
        f"{each.expression.action} (expression {number}): {_reasons(each.condition, columns, line, row)}"
        for number, each in sorted(by, key=lambda pair: pair[0])
    ]


def fields_of(bound: BoundFilter) -> list[str]:
    """The fields that a filter names, with their types."""
    found = [leaf for each in bound.filter.expressions for leaf in each.leaves()]
    named = [field for leaf in found for field in (leaf.field, leaf.operand) if isinstance(field, Field)]
    return list(dict.fromkeys(f"{field}: {bound.column(field).type}" for field in named))


def placeholders_of(bound: BoundFilter) -> list[str]:
    """What a line must, or may, give a filter."""
    return list(dict.fromkeys(text for each in bound.filter.expressions for text in _wants(bound, each)))


def _wants(bound: BoundFilter, expression: Expression) -> Iterator[str]:
    without = "the line is an error line" if expression.action == INCLUDE else "the expression has no effect"
    for leaf in expression.leaves():
        if isinstance(leaf.operand, Parameter):
            column = bound.column(leaf.field)
            kind = "text" if column.is_text else "number"
            count = f"one or more {kind}s" if isinstance(leaf, Membership) else f"one {kind}"
            yield f"{leaf.operand}: {count}, for {leaf.field} ({column.type}); without it {without}"


def _of_group(expression: Expression, columns: Columns, events: Sequence[str]) -> Clause:
    where = partial(_of_items, columns) if dataset_of(expression) == ITEMS else _nowhere
    condition = _part(expression.condition, _written(expression.condition), where)
    depends = f"depends on the line{_met_by(expression, events)}"
    if expression.user is None:
        return Clause(expression, condition, acts=True, note=_keeps(expression, condition) or depends)
    kept_if = _keeps(expression, condition)
    note = f"{kept_if}, where its IF is met" if kept_if else depends
    return Clause(expression, condition, None, note)


def _met_by(expression: Expression, events: Sequence[str]) -> str:
    """Which event types an expression on Interactions is about, as far as no line says it: a misspelled one meets none."""
    literals = _written(expression.condition)
    operands = tuple(each for each in literals if each is not None)
    if dataset_of(expression) != INTERACTIONS or len(operands) < len(literals):
        return ""
    matching = [event for event in events if holds_of_event(expression.condition, operands, event)]
    return f"; it matches {_listed(matching) or 'none'} of the event types {_listed(events)}"


def _listed(events: Sequence[str]) -> str:
    return ", ".join(event or "(empty)" for event in events)


def _idle(expression: Expression, values: Mapping[str, str], line: Line) -> Clause:
    missing = [name for name in expression.parameters() if name not in values]
    why = (
        f"filterValues has no value for ${missing[0]}"
        if missing
        else f"its IF is not met: {_user(expression, values, line)}"
    )
    condition = _part(expression.condition, _written(expression.condition), _nowhere)
    return Clause(expression, condition, acts=False, note=f"no effect, {why}")


def _acting(
    expression: Expression, literals: Operands, columns: Columns, values: Mapping[str, str], line: Line
) -> Clause:
    where = (
        partial(_of_history, _rows(columns), line)
        if dataset_of(expression) == INTERACTIONS
        else partial(_of_items, columns)
    )
    condition = _part(expression.condition, literals, where)
    met = f"; its IF is met: {_user(expression, values, line)}" if expression.user is not None else ""
    return Clause(expression, condition, acts=True, note=_keeps(expression, condition) + met)


def _part(node: Condition, literals: Known, where: Where) -> Part:
    operands = tuple(each for each in literals if each is not None)
    holds = where(node, operands) if len(operands) == len(literals) else None
    if not isinstance(node, And | Or):
        return Part(node, _told(node, literals[0]), holds)
    parts: list[Part] = []
    for part in node.parts:
        count = len(leaves(part))
        parts.append(_part(part, literals[:count], where))
        literals = literals[count:]
    return Part(node, "all of" if isinstance(node, And) else "any of", holds, tuple(parts))


def _told(leaf: Comparison | Membership, literals: tuple[Literal, ...] | None) -> str:
    if isinstance(leaf.operand, Values) or literals is None:
        return str(leaf)
    return f"{leaf}, where {leaf.operand} is {Values(literals) if literals else 'missing'}"


def _written(condition: Condition) -> Known:
    return [leaf.operand.literals if isinstance(leaf.operand, Values) else None for leaf in leaves(condition)]


def _nowhere(node: Condition, operands: Operands) -> None:  # noqa: ARG001  # a `Where`
    return None


def _of_items(columns: Columns, node: Condition, operands: Operands) -> NDArray[np.bool_]:
    return evaluate(node, operands, columns)


def _of_history(rows: int, line: Line, node: Condition, operands: Operands) -> NDArray[np.bool_]:
    mask = np.zeros(rows, np.bool_)
    mask[line.items[np.array([holds_of_event(node, operands, event) for event in line.events], np.bool_)]] = True
    return mask


def _keeps(expression: Expression, condition: Part) -> str:
    if condition.holds is None:
        return ""
    return f"keeps {Share.of(condition.holds if expression.action == INCLUDE else ~condition.holds)}"


def _user(expression: Expression, values: Mapping[str, str], line: Line) -> str:
    """What an IF looked at."""
    found = leaves(expression.user) if expression.user is not None else []
    attributes = [f"{leaf.field} is {_or_missing(line.attributes.get(leaf.field.name))}" for leaf in found]
    placeholders = [f"{each} is {values[each.name]}" for leaf in found if isinstance(each := leaf.operand, Parameter)]
    return ", ".join(dict.fromkeys(attributes + placeholders))


def _reasons(condition: Part, columns: Columns, line: Line, row: int) -> str:
    return "; ".join(f"{part.text}, {_value(part.node, columns, line, row)}" for part in condition.deciding(row))


def _value(leaf: Condition, columns: Columns, line: Line, row: int) -> str:
    [field] = {each.field for each in leaves(leaf)}
    if field.dataset == INTERACTIONS:
        done = {event for item, event in zip(line.items.tolist(), line.events, strict=True) if item == row}
        return f"the user did {', '.join(map(str, sorted(done))) if done else 'nothing with it'}"
    values = columns[field.name].at(row)
    return f"its {field.name} is {_or_missing('|'.join(map(str, values)) if values else None)}"


def _or_missing(value: Literal | None) -> str:
    return "missing" if value is None else str(value)


def _rows(columns: Columns) -> int:
    return max(len(each) for each in columns.values())
