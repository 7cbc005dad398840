"""From a tree to one that a dataset group's data can answer: names resolved, types checked, all mistakes at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from personalize_spark.errors import InvalidInputException
from personalize_spark.filters.expression import (
    ACTION_ID,
    ITEM_ID,
    USER_ID,
    And,
    Comparison,
    Condition,
    Expression,
    Field,
    Filter,
    Literal,
    Membership,
    Operand,
    Or,
    Parameter,
    Values,
    leaves,
)
from personalize_spark.filters.schema import (
    CURRENT_ITEM,
    CURRENT_USER,
    EVENT_TYPE,
    INTERACTIONS,
    ITEMS,
    USERS,
    Column,
    GroupSchema,
    dataset_named,
)
from personalize_spark.filters.values import MAX_NAME, MAX_PARAMETERS, number, time_hint

MAX_FIELDS = 10
_DATASETS = {
    ITEM_ID: (ITEMS, INTERACTIONS),
    USER_ID: (USERS, INTERACTIONS),
    ACTION_ID: ("Actions", "Action_Interactions"),
}
_EVENTS = {INTERACTIONS, "Action_Interactions"}
_IDS = {"ITEM_ID", "USER_ID"}


@dataclass(frozen=True)
class BoundFilter:
    """A filter whose fields exist, spelled as the schema spells them, with literals of the fields' types."""

    filter: Filter
    schema: GroupSchema

    def column(self, field: Field) -> Column:
        """The column that a field of the filter names."""
        dataset = {CURRENT_USER: USERS, CURRENT_ITEM: ITEMS}.get(field.dataset, field.dataset)
        return self.schema.datasets[dataset][field.name.upper()]

    @property
    def subject(self) -> str:
        """What it keeps or drops: `ItemID` is for recommendations, the others are not for batch inference."""
        return self.filter.expressions[0].subject

    @property
    def needs_user(self) -> bool:
        """It looks at what a line's user is or did."""
        return any(each.user is not None or dataset_of(each) in _EVENTS for each in self.filter.expressions)

    @property
    def user_fields(self) -> list[str]:
        """The fields of Users that its IFs look at."""
        conditions = [each.user for each in self.filter.expressions if each.user is not None]
        return sorted({leaf.field.name for condition in conditions for leaf in leaves(condition)})

    @property
    def needs_item(self) -> bool:
        """It compares with the item that a line asks about."""
        return bool(self.item_fields)

    @property
    def item_fields(self) -> list[str]:
        """The fields of that item, which the filter compares with."""
        operands = (leaf.operand for each in self.filter.expressions for leaf in each.leaves())
        return sorted({operand.name for operand in operands if isinstance(operand, Field)})

    @property
    def parameters(self) -> list[str]:
        """The names of its placeholders."""
        return sorted({name for each in self.filter.expressions for name in each.parameters()})


def bind(parsed: Filter, schema: GroupSchema) -> BoundFilter:
    """Resolve the names of a filter and check it against a schema.

    Raises:
        InvalidInputException: one message with everything that is wrong.
    """
    binder = _Binder(schema)
    expressions = tuple(binder.expression(each) for each in parsed.expressions)
    binder.problems += _shape_problems(parsed)
    if len(binder.fields) > MAX_FIELDS:
        binder.problems.append(f"{len(binder.fields)} fields are more than the {MAX_FIELDS} that a filter may have")
    _refuse(binder.problems)
    return BoundFilter(Filter(expressions), schema)


def check_shape(parsed: Filter) -> None:
    """Check what needs no schema.

    Raises:
        InvalidInputException: it could not be created in any dataset group.
    """
    _refuse(list(_shape_problems(parsed)))


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise InvalidInputException(" ".join(_sentence(each) for each in problems))


def _shape_problems(parsed: Filter) -> Iterator[str]:
    for each in parsed.expressions:
        named = [leaf.field.dataset for leaf in leaves(each.condition)]
        datasets = {dataset_named(name) or name for name in named}
        if len(datasets) > 1:
            yield f"an expression cannot mix {' and '.join(sorted(datasets))}: chain two with |"
    if len({each.subject for each in parsed.expressions}) > 1:
        yield "all expressions must have the same subject"
    names = {name for each in parsed.expressions for name in each.parameters()}
    if len(names) > MAX_PARAMETERS:
        yield f"{len(names)} placeholders are more than the {MAX_PARAMETERS} that a line may have values for"
    for name in sorted(names):
        if len(name) > MAX_NAME:
            yield f"the name of the placeholder ${name} has more than {MAX_NAME} characters"


def dataset_of(expression: Expression) -> str:
    """The one dataset that an expression's condition is about."""
    return leaves(expression.condition)[0].field.dataset


class _Binder:
    def __init__(self, schema: GroupSchema) -> None:
        self.schema = schema
        self.problems: list[str] = []
        self.fields: set[tuple[str, str]] = set()

    def expression(self, given: Expression) -> Expression:
        allowed = _DATASETS[given.subject]
        condition = self.condition(given.condition, allowed)
        user = self.condition(given.user, (CURRENT_USER,)) if given.user is not None else None
        return replace(given, condition=condition, user=user)

    def condition(self, given: Condition, allowed: tuple[str, ...]) -> Condition:
        if isinstance(given, And | Or):
            return replace(given, parts=tuple(self.condition(part, allowed) for part in given.parts))
        field, column = self.field(given.field, allowed)
        if column is None:
            return given
        self.problems += _leaf_problems(given, field, column)
        operand = self.operand(given.operand, field, column)
        return replace(given, field=field, operand=operand)

    def field(self, given: Field, allowed: tuple[str, ...]) -> tuple[Field, Column | None]:
        dataset = dataset_named(given.dataset)
        if dataset not in allowed:
            self.problems.append(f"{given} cannot stand there: use a field of {' or '.join(allowed)}")
            return given, None
        source = USERS if dataset == CURRENT_USER else ITEMS if dataset == CURRENT_ITEM else dataset
        columns = self.schema.datasets.get(source)
        if columns is None:
            self.problems.append(f"the dataset group has no {source} dataset, which {given} needs")
            return given, None
        column = columns.get(given.name.upper())
        if column is None:
            near = difflib.get_close_matches(given.name.upper(), columns, 1, 0.6)
            there = ", ".join(each.name for each in columns.values())
            hint = f"did you mean {columns[near[0]].name}?" if near else f"there are {there}"
            self.problems.append(f"{source} has no field {given.name} ({hint})")
            return given, None
        self.fields.add((source, column.name))
        self.problems += _field_problems(Field(dataset, column.name), column)
        return Field(dataset, column.name), column

    def operand(self, given: Operand, subject: Field, column: Column) -> Operand:
        if isinstance(given, Field):
            field, other = self.field(given, (CURRENT_ITEM,))
            if subject.dataset in _EVENTS:
                self.problems.append(f"{subject} cannot be compared with {given}")
            if other is not None and other.is_text != column.is_text:
                self.problems.append(
                    f"{given} is {other.type} and cannot be compared with {column.name}, which is {column.type}"
                )
            return field
        if isinstance(given, Values):
            return Values(tuple(self.literal(each, column) for each in given.literals))
        return given

    def literal(self, given: Literal, column: Column) -> Literal:
        if column.is_text:
            return str(given)
        value = number(given) if isinstance(given, str) else given
        if value is None:
            self.problems.append(f"'{given}' is no number, and {column.name} is {column.type}{time_hint(str(given))}")
            return given
        return value


def _field_problems(field: Field, column: Column) -> Iterator[str]:
    if column.textual:
        yield f"{field} is textual and cannot be filtered"
    if column.type == "boolean":
        yield f'{field} is boolean and cannot be filtered: use a string field with "True" and "False"'
    if field.dataset not in _EVENTS and column.name.upper() in _IDS:
        yield f"{field} is an id and cannot be filtered: use a metadata field"


def _leaf_problems(leaf: Comparison | Membership, field: Field, column: Column) -> Iterator[str]:
    if field.dataset in _EVENTS and column.name.upper() != EVENT_TYPE:
        yield f"{field.dataset} can be filtered only by {EVENT_TYPE}, not by {field.name}"
    if isinstance(leaf, Membership) and leaf.negated and isinstance(leaf.operand, Parameter):
        yield f"Invalid input symbol: {leaf.operand}. Placeholders are not allowed with NOT_IN operator"
    if isinstance(leaf, Comparison) and column.is_text and leaf.operator not in {"=", "!="}:
        schema = "import it with a schema in which it is a long or a double to compare numbers"
        yield f"{field} is a string and cannot be compared by {leaf.operator}: {schema}"
    if isinstance(leaf, Comparison) and field.dataset in _EVENTS and column.name.upper() == EVENT_TYPE:
        yield f"{field} is filtered by IN"
    literals = leaf.operand.literals if isinstance(leaf.operand, Values) else ()
    if "*" in literals and field.dataset not in _EVENTS:
        yield f'"*" stands for any event type, and {field} is none'


def _sentence(problem: str) -> str:
    return problem[0].upper() + problem[1:] + "."
