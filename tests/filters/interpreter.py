"""An independent reading of filters: one item and one user at a time, plain Python, no arrays."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from personalize_spark.filters.expression import (
    And,
    Comparison,
    Condition,
    Expression,
    Filter,
    Membership,
    Or,
    Parameter,
    Values,
)

COMPARE = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class User:
    """What a user is, what the user did (pairs of event type and item), and the row of the item that is asked about."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[tuple[str, str]] = ()
    current: Mapping[str, Any] = field(default_factory=dict)


def allowed(parsed: Filter, item: str, row: Mapping[str, Any], user: User, values: Mapping[str, list[Any]]) -> bool:
    """Whether an item may be recommended; `values` are typed already."""
    includes, included = False, False
    for expression in parsed.expressions:
        if any(name not in values for name in parameters(expression)):
            assert expression.action == "EXCLUDE"  # an INCLUDE without its value is an error line
            continue
        if expression.user is not None and not truth(expression.user, user.attributes, values, user.current):
            continue
        if expression_matches(expression, item, row, user, values):
            if expression.action == "EXCLUDE":
                return False
            included = True
        includes = includes or expression.action == "INCLUDE"
    return included or not includes


def expression_matches(
    expression: Expression, item: str, row: Mapping[str, Any], user: User, values: Mapping[str, list[Any]]
) -> bool:
    if "EVENT_TYPE" in str(expression.condition).upper():
        done = [event for event, touched in user.events if touched == item]
        return any(truth(expression.condition, {"EVENT_TYPE": event}, values, {}, events=True) for event in done)
    return truth(expression.condition, row, values, user.current)


def values_of(row: Mapping[str, Any], name: str) -> list[Any]:
    upper = {each.upper(): value for each, value in row.items()}
    value = upper.get(name.upper())
    return [] if value is None else value.split("|") if isinstance(value, str) else [value]


def truth(
    condition: Condition,
    row: Mapping[str, Any],
    values: Mapping[str, list[Any]],
    current: Mapping[str, Any],
    *,
    events: bool = False,
) -> bool:
    if isinstance(condition, And):
        return all(truth(part, row, values, current, events=events) for part in condition.parts)
    if isinstance(condition, Or):
        return any(truth(part, row, values, current, events=events) for part in condition.parts)
    has = values_of(row, condition.field.name)
    operand = condition.operand
    wanted: list[Any] = (
        list(operand.literals)
        if isinstance(operand, Values)
        else values[operand.name]
        if isinstance(operand, Parameter)
        else values_of(current, operand.name)
    )
    if events:
        wanted = [has[0] if each == "*" else each for each in wanted]
        has, wanted = [each.lower() for each in has], [each.lower() for each in wanted]
    if isinstance(condition, Membership):
        found = any(one == other for one in has for other in wanted)
        return not found if condition.negated else found
    if condition.operator == "!=":
        return bool(has) and bool(wanted) and all(one != other for one in has for other in wanted)
    return any(COMPARE[condition.operator](one, other) for one in has for other in wanted)


def leaves(condition: Condition | None) -> list[Comparison | Membership]:
    if condition is None:
        return []
    if isinstance(condition, And | Or):
        return [leaf for part in condition.parts for leaf in leaves(part)]
    return [condition]


def parameters(expression: Expression) -> list[str]:
    operands = [leaf.operand for leaf in leaves(expression.condition) + leaves(expression.user)]
    return [operand.name for operand in operands if isinstance(operand, Parameter)]


def refuses(parsed: Filter, values: Mapping[str, list[Any]]) -> bool:
    """Whether a line with these values is an error line: an INCLUDE lacks one, or a comparison has several."""
    for expression in parsed.expressions:
        if not set(parameters(expression)) <= values.keys():
            if expression.action == "INCLUDE":
                return True
            continue
        for leaf in leaves(expression.condition) + leaves(expression.user):
            several = isinstance(leaf.operand, Parameter) and len(values[leaf.operand.name]) > 1
            if several and isinstance(leaf, Comparison):
                return True
    return False
