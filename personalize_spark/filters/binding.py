"""A tree is bound to a schema: names found, types checked, all mistakes at once; then, line by line, resolved to literals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from personalize_spark.errors import InvalidInputException, did_you_mean
from personalize_spark.filters.expression import (
    ACTION_ID,
    ACTION_INTERACTIONS,
    ACTIONS,
    CURRENT_ITEM,
    CURRENT_USER,
    INCLUDE,
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
    Operands,
    Or,
    Parameter,
    Values,
    dataset_named,
    leaves,
)
from personalize_spark.filters.mask import holds
from personalize_spark.filters.values import MAX_NAME, MAX_PARAMETERS, BadValue, number, time_hint, typed_values
from personalize_spark.schemas import EVENT_TYPE, INTERACTIONS, ITEMS, USERS, Column, Schema

MAX_FIELDS = 10
_DATASETS = {
    ITEM_ID: (ITEMS, INTERACTIONS),
    USER_ID: (USERS, INTERACTIONS),
    ACTION_ID: (ACTIONS, ACTION_INTERACTIONS),
}
_EVENTS = {INTERACTIONS, ACTION_INTERACTIONS}
_SOURCES = {CURRENT_USER: USERS, CURRENT_ITEM: ITEMS}
"""The datasets that have the fields of a line's own user and item."""
_IDS = {"ITEM_ID", "USER_ID"}


Resolved = tuple[Operands | None, ...]
"""For each expression its operands on a line, or `None` where it has no effect there."""

Item = Mapping[str, tuple[Literal, ...]]
"""The values of the item that a line asks about, by field; a field that is not there has none."""


@dataclass(frozen=True)
class BoundFilter:
    """A filter whose fields exist, spelled as the schema spells them, with literals of the fields' types."""

    filter: Filter
    schemas: Mapping[str, Schema]

    def column(self, field: Field) -> Column:
        """The column that a field of the filter names."""
        column = self.schemas[_SOURCES.get(field.dataset, field.dataset)].column(field.name)
        assert column is not None  # noqa: S101  # bound
        return column

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

    def resolve(self, values: Mapping[str, str], user: Mapping[str, Literal | None], item: Item) -> Resolved | BadValue:
        """What the filter says for one line; equal results, equal masks.

        Args:
            values: the strings of the line's `filterValues`.
            user: the attributes of the line's user; empty for an unknown one.
            item: the item that the line asks about; empty where it asks about none.
        """
        resolved: list[Operands | None] = []
        for expression in self.filter.expressions:
            missing = [name for name in expression.parameters() if name not in values]
            if missing and expression.action == INCLUDE:
                return BadValue(f"filterValues must have a value for ${missing[0]}")
            if missing:
                resolved.append(None)
                continue
            operands = self._operands(expression.condition, values, item)
            only_if = self._operands(expression.user, values, item) if expression.user is not None else ()
            if isinstance(operands, BadValue):
                return operands
            if isinstance(only_if, BadValue):
                return only_if
            met = expression.user is None or holds(expression.user, only_if, user)
            resolved.append(operands if met else None)
        return tuple(resolved)

    def _operands(self, condition: Condition, values: Mapping[str, str], item: Item) -> Operands | BadValue:
        """The literals of a condition's leaves, none of whose placeholders is missing."""
        operands: list[tuple[Literal, ...]] = []
        for leaf in leaves(condition):
            if isinstance(leaf.operand, Values):
                operands.append(leaf.operand.literals)
            elif isinstance(leaf.operand, Parameter):
                literals = self._literals(leaf, leaf.operand.name, values[leaf.operand.name])
                if isinstance(literals, BadValue):
                    return literals
                operands.append(literals)
            else:
                operands.append(item.get(leaf.operand.name, ()))
        return tuple(operands)

    def _literals(self, leaf: Comparison | Membership, name: str, value: str) -> tuple[Literal, ...] | BadValue:
        literals = typed_values(name, value, self.column(leaf.field).type)
        if isinstance(leaf, Comparison) and not isinstance(literals, BadValue) and len(literals) > 1:
            return BadValue(f"filterValues: the value of ${name} must be one value, not {len(literals)}: {leaf}")
        return literals


def bind(parsed: Filter, schemas: Mapping[str, Schema]) -> BoundFilter:
    """Resolve the names of a filter and check it against a schema.

    Raises:
        InvalidInputException: one message with everything that is wrong.
    """
    binder = _Binder(schemas)
    expressions = tuple(binder.expression(each) for each in parsed.expressions)
    binder.problems += _shape_problems(parsed)
    if len(binder.fields) > MAX_FIELDS:
        binder.problems.append(f"{len(binder.fields)} fields exceed the limit of {MAX_FIELDS} for a filter")
    _refuse(binder.problems)
    return BoundFilter(Filter(expressions), schemas)


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
        yield f"{len(names)} placeholders exceed the limit of {MAX_PARAMETERS} that a line may have values for"
    for name in sorted(names):
        if len(name) > MAX_NAME:
            yield f"the name of the placeholder ${name} has more than {MAX_NAME} characters"


def dataset_of(expression: Expression) -> str:
    """The one dataset that an expression's condition is about."""
    return leaves(expression.condition)[0].field.dataset


class _Binder:
    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self.schemas = schemas
        self.problems: list[str] = []
        self.fields: set[tuple[str, str]] = set()

    def expression(self, written: Expression) -> Expression:
        allowed = _DATASETS[written.subject]
        condition = self.condition(written.condition, allowed)
        user = self.condition(written.user, (CURRENT_USER,)) if written.user is not None else None
        return replace(written, condition=condition, user=user)

    def condition(self, written: Condition, allowed: tuple[str, ...]) -> Condition:
        if isinstance(written, And | Or):
            return replace(written, parts=tuple(self.condition(part, allowed) for part in written.parts))
        field, column = self.field(written.field, allowed)
        if column is None:
            return written
        self.problems += _leaf_problems(written, field, column)
        operand = self.operand(written.operand, field, column)
        return replace(written, field=field, operand=operand)

    def field(self, written: Field, allowed: tuple[str, ...]) -> tuple[Field, Column | None]:
        dataset = dataset_named(written.dataset)
        if dataset not in allowed:
            self.problems.append(f"{written} is not allowed there: use a field of {' or '.join(allowed)}")
            return written, None
        source = _SOURCES.get(dataset, dataset)
        schema = self.schemas.get(source)
        if schema is None:
            self.problems.append(f"the dataset group has no {source} dataset, which {written} needs")
            return written, None
        column = schema.column(written.name)
        if column is None:
            names = [each.name for each in schema.columns if not any(_field_problems(Field(dataset, each.name), each))]
            if dataset in _EVENTS:
                names = [each for each in names if each.upper() == EVENT_TYPE]
            hint = (
                did_you_mean(written.name.upper(), names) or f" (there are {', '.join(names) or 'none to filter by'})"
            )
            self.problems.append(f"{source} has no field {written.name}{hint}")
            return written, None
        self.fields.add((source, column.name))
        self.problems += _field_problems(Field(dataset, column.name), column)
        return Field(dataset, column.name), column

    def operand(self, written: Operand, subject: Field, column: Column) -> Operand:
        if isinstance(written, Field):
            field, other = self.field(written, (CURRENT_ITEM,))
            if subject.dataset in _EVENTS:
                self.problems.append(f"{subject} cannot be compared with {written}")
            if other is not None and other.is_text != column.is_text:
                self.problems.append(
                    f"{written} is {other.type} and cannot be compared with {column.name}, which is {column.type}"
                )
            return field
        if isinstance(written, Values):
            return Values(tuple(self.literal(each, column) for each in written.literals))
        return written

    def literal(self, written: Literal, column: Column) -> Literal:
        if column.is_text:
            return str(written)
        value = number(written) if isinstance(written, str) else written
        if value is None:
            self.problems.append(
                f"{column.name} is {column.type}, but '{written}' is not a number{time_hint(str(written))}"
            )
            return written
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
        yield f"{field} is a string and cannot be compared with {leaf.operator}: {schema}"
    if isinstance(leaf, Comparison) and field.dataset in _EVENTS and column.name.upper() == EVENT_TYPE:
        yield f"{field} must be filtered with IN"
    literals = leaf.operand.literals if isinstance(leaf.operand, Values) else ()
    if "*" in literals and field.dataset not in _EVENTS:
        yield f'"*" stands for any event type, but {field} is not an event type'


def _sentence(problem: str) -> str:
    return problem[0].upper() + problem[1:] + "."
