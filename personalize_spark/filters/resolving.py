"""From a bound filter and one line to literals: its placeholders, its user and its item put in. Equal results, equal masks."""

from __future__ import annotations

from collections.abc import Mapping

from personalize_spark.filters.binding import BoundFilter
from personalize_spark.filters.expression import (
    INCLUDE,
    Comparison,
    Condition,
    Literal,
    Membership,
    Parameter,
    Values,
    leaves,
)
from personalize_spark.filters.mask import holds
from personalize_spark.filters.values import BadValue, typed_values

Bound = tuple[tuple[Literal, ...], ...]
"""The literals of each leaf of a condition."""

Binding = tuple[Bound | None, ...]
"""For each expression its literals, or `None` where it has no effect on a line."""

Item = Mapping[str, tuple[Literal, ...]]
"""The values of the item that a line asks about, by field; a field that is not there has none."""


def resolve(
    bound: BoundFilter, given: Mapping[str, str], user: Mapping[str, Literal | None], item: Item
) -> Binding | BadValue:
    """What a filter says for one line.

    Args:
        bound: the filter.
        given: the strings of the line's `filterValues`.
        user: the attributes of the line's user; empty for an unknown one.
        item: the item that the line asks about; empty where it asks about none.
    """
    binding: list[Bound | None] = []
    for expression in bound.filter.expressions:
        missing = [name for name in expression.parameters() if name not in given]
        if missing and expression.action == INCLUDE:
            return BadValue(f"filterValues must have a value for ${missing[0]}")
        if missing:
            binding.append(None)
            continue
        literals = operands(bound, expression.condition, given, item)
        only_if = operands(bound, expression.user, given, item) if expression.user is not None else ()
        if isinstance(literals, BadValue):
            return literals
        if isinstance(only_if, BadValue):
            return only_if
        met = expression.user is None or holds(expression.user, only_if, user)
        binding.append(literals if met else None)
    return tuple(binding)


def operands(bound: BoundFilter, condition: Condition, given: Mapping[str, str], item: Item) -> Bound | BadValue:
    """The literals of a condition's leaves, none of whose placeholders is missing."""
    literals: list[tuple[Literal, ...]] = []
    for leaf in leaves(condition):
        if isinstance(leaf.operand, Values):
            literals.append(leaf.operand.literals)
        elif isinstance(leaf.operand, Parameter):
            values = _values(bound, leaf, given[leaf.operand.name], leaf.operand.name)
            if isinstance(values, BadValue):
                return values
            literals.append(values)
        else:
            literals.append(item.get(leaf.operand.name, ()))
    return tuple(literals)


def _values(bound: BoundFilter, leaf: Comparison | Membership, text: str, name: str) -> tuple[Literal, ...] | BadValue:
    values = typed_values(name, text, bound.column(leaf.field).type)
    if isinstance(leaf, Comparison) and not isinstance(values, BadValue) and len(values) > 1:
        return BadValue(f"filterValues: the value of ${name} must be one value, not {len(values)}: {leaf}")
    return values
