"""The tree of a filter, before it knows any schema. `str` gives the normal form, which parses to the same tree."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from personalize_spark.schemas import INTERACTIONS, ITEMS, USERS

INCLUDE, EXCLUDE = "INCLUDE", "EXCLUDE"
ITEM_ID, USER_ID, ACTION_ID = "ItemID", "UserID", "ActionID"
ACTIONS, ACTION_INTERACTIONS = "Actions", "Action_Interactions"
CURRENT_USER, CURRENT_ITEM = "CurrentUser", "CurrentItem"

_DATASETS = (INTERACTIONS, ITEMS, USERS, ACTIONS, ACTION_INTERACTIONS)
# The first documents had the singular.
_SPELLINGS = {
    **{name.lower(): name for name in (*_DATASETS, CURRENT_USER, CURRENT_ITEM)},
    **{name.lower().removesuffix("s"): name for name in _DATASETS},
}

Literal = str | int | float


@dataclass(frozen=True)
class Field:
    """`Dataset.NAME`, as it was written."""

    dataset: str
    name: str

    def __str__(self) -> str:
        return f"{self.dataset}.{self.name}"


@dataclass(frozen=True)
class Parameter:
    """`$NAME`: the value comes with each line, in its `filterValues`."""

    name: str

    def __str__(self) -> str:
        return f"${self.name}"


@dataclass(frozen=True)
class Values:
    """Literals in parentheses."""

    literals: tuple[Literal, ...]

    def __str__(self) -> str:
        return f"({', '.join(_spelled(literal) for literal in self.literals)})"


Operand = Values | Parameter | Field


@dataclass(frozen=True)
class Comparison:
    """`field OPERATOR operand`; the operand has one literal, or is a parameter or a field of CurrentItem."""

    field: Field
    operator: str
    operand: Operand

    def __str__(self) -> str:
        [text] = (
            [_spelled(each) for each in self.operand.literals]
            if isinstance(self.operand, Values)
            else [str(self.operand)]
        )
        return f"{self.field} {self.operator} {text}"


@dataclass(frozen=True)
class Membership:
    """`field [NOT] IN operand`."""

    field: Field
    negated: bool
    operand: Operand

    def __str__(self) -> str:
        operand = f"({self.operand})" if isinstance(self.operand, Parameter) else str(self.operand)
        return f"{self.field} {'NOT IN' if self.negated else 'IN'} {operand}"


@dataclass(frozen=True)
class And:
    """All of the parts."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " AND ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Or:
    """Any of the parts."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " OR ".join(str(part) for part in self.parts)


Condition = Comparison | Membership | And | Or

Operands = tuple[tuple[Literal, ...], ...]
"""The literals of each comparison and membership of a condition, from left to right."""


@dataclass(frozen=True)
class Expression:
    """`INCLUDE|EXCLUDE subject WHERE condition [IF user]`."""

    action: str
    subject: str
    condition: Condition
    user: Condition | None = None

    def leaves(self) -> list[Comparison | Membership]:
        """Those of its condition and of its IF."""
        return leaves(self.condition) + (leaves(self.user) if self.user is not None else [])

    def parameters(self) -> list[str]:
        """The names of its placeholders, from left to right."""
        return [leaf.operand.name for leaf in self.leaves() if isinstance(leaf.operand, Parameter)]

    def __str__(self) -> str:
        only_if = f" IF {self.user}" if self.user is not None else ""
        return f"{self.action} {self.subject} WHERE {self.condition}{only_if}"


@dataclass(frozen=True)
class Filter:
    """One or more expressions, joined by `|`."""

    expressions: tuple[Expression, ...]

    def __str__(self) -> str:
        return " | ".join(str(expression) for expression in self.expressions)


def leaves(condition: Condition) -> list[Comparison | Membership]:
    """The comparisons and memberships of a condition, from left to right."""
    if isinstance(condition, And | Or):
        return [leaf for part in condition.parts for leaf in leaves(part)]
    return [condition]


def _spelled(literal: Literal) -> str:
    if isinstance(literal, str):
        return '"' + literal.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(literal, int):
        return str(literal)
    digits = f"{Decimal(repr(literal)):f}"  # the language has no exponents
    return digits if "." in digits else f"{digits}.0"


def dataset_named(name: str) -> str | None:
    """A dataset's name as the service spells it, from any case and from the old singular."""
    return _SPELLINGS.get(name.lower())
