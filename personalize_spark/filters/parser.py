"""From text to tree; the only error that leaves is `InvalidInputException`, with place and expectation."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, cast

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedEOF, UnexpectedInput, UnexpectedToken

from personalize_spark.errors import InvalidInputException
from personalize_spark.filters.expression import (
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
)

MAX_EXPRESSION = 2_500
_MAX_DEPTH = 100
_TEXT = re.compile(
    r"""
    "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'
""",
    re.DOTALL | re.VERBOSE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOW = re.compile(r"\bNOW\s*\(", re.IGNORECASE)
_QUOTED_PARAMETER = re.compile(r"\$[A-Za-z0-9_]+")
_WORDS = {
    "ACTION": "INCLUDE or EXCLUDE",
    "SUBJECT": "ItemID",
    "NAME": "a field",
    "PARAMETER": "a $PLACEHOLDER",
    "NUMBER": "a number",
    "TEXT": 'a "text"',
    "NOW": "NOW()",
    "SIGN": "+ or -",
    "COUNT": "a whole number",
    "UNIT": "SECONDS, MINUTES, HOURS, DAYS or WEEKS",
    "OPERATOR": "=, !=, <, <=, > or >=",
    "NOT": "NOT IN",
    "_IN": "IN",
    "VBAR": "'|'",
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "DOT": "'.'",
    "$END": "the end",
}
_HINTS = [
    (re.compile(left, re.IGNORECASE), re.compile(right), f" {hint}")
    for left, right, hint in (
        (r"\bNOT\s+$", r"\w", 'Write NOT before IN: Items.GENRES NOT IN ("drama").'),
        (r"\$\w+\"?\s*$", r",", "One placeholder can stand for several values."),
        (r"\d{4}$", r"-\d", "Times are numbers here: seconds since 1970, such as 1577836800, or NOW() - 30 DAYS."),
        (r"", r";", "Leave the semicolon out."),
        (r"", r"\"[^\"]*$|'[^']*$", "The quote is not closed."),
        (r"[(=,]\s*[A-Za-z_]\w*\s*$", r"", "Write texts in quotes."),
        (r"[A-Za-z_]\w*\s*$", r"(?i)(IN\b|[=<>!])", "Write the dataset before the field: Items.GENRES."),
    )
]
"""What stands before a mistake, what stands there, and what may help."""
_SUBJECTS = {"ITEMID": "ItemID", "USERID": "UserID", "ACTIONID": "ActionID"}


_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}


def frozen(text: str) -> str:
    """The expression with the time in place of each `NOW()`; any other expression is returned as it is."""
    return str(parse(text)) if _NOW.search(_TEXT.sub("", text)) else text


def parse(text: str) -> Filter:
    """Read a filter expression; `NOW()`, which the service has not, becomes the number of seconds since 1970.

    Raises:
        InvalidInputException: where the text stops being one, and what could stand there.
    """
    if not 1 <= len(text) <= MAX_EXPRESSION:
        raise InvalidInputException(f"A filter expression has 1 to {MAX_EXPRESSION} characters, not {len(text)}.")
    if _SURROGATE.search(text):
        raise InvalidInputException(f"The filter expression is not valid Unicode: {text!a}.")
    if _depth(_TEXT.sub("", text)) > _MAX_DEPTH:
        raise InvalidInputException(f"The filter expression is nested more than {_MAX_DEPTH} levels deep.")
    try:
        tree = _lark().parse(text)
    except UnexpectedInput as error:
        raise InvalidInputException(_explained(text, error)) from None
    return cast(Filter, _Builder().transform(tree))


@cache
def _lark() -> Lark:
    grammar = files(__package__).joinpath("grammar.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", start="filter", maybe_placeholders=True)


def _depth(text: str) -> int:
    depth = most = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        most = max(most, depth)
    return most


def _explained(text: str, error: UnexpectedInput) -> str:
    column = (
        len(text) + 1 if isinstance(error, UnexpectedEOF) or error.pos_in_stream is None else error.pos_in_stream + 1
    )
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        column = len(text) + 1
    before, after = text[: column - 1], text[column - 1 :]
    parser = getattr(error, "interactive_parser", None)
    names = parser.accepts() if parser is not None else ()
    expected = ", ".join(sorted({_WORDS.get(name, f"'{name}'") for name in names}))
    hint = next((hint for left, right, hint in _HINTS if left.search(before) and right.match(after)), "")
    return (
        f"Invalid filter expression at {_place(text, column)}, '{before[-19:]}' here -> '{after[:21]}'; "
        f"expected one of: {expected}.{hint}"
    )


def _place(text: str, column: int) -> str:
    before = text[: column - 1]
    line, character = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"character {character}" if line == 1 else f"line {line}, character {character}"


def _flat(kind: type[And | Or], parts: Iterable[Condition]) -> tuple[Condition, ...]:
    """Parentheses that change nothing leave no trace, so that equal conditions are equal trees."""
    return tuple(each for part in parts for each in (part.parts if isinstance(part, kind) else (part,)))


class _Builder(Transformer[Token, Any]):
    """Lark's tree into ours; a method for each rule of the grammar."""

    def __init__(self) -> None:
        super().__init__()
        self.time = int(time.time())

    def filter(self, expressions: list[Expression]) -> Filter:
        return Filter(tuple(expressions))

    def expression(self, parts: list[Any]) -> Expression:
        action, subject, condition, user = parts
        return Expression(action.upper(), _SUBJECTS[subject.upper()], condition, user)

    def condition(self, parts: list[Condition]) -> Condition:
        return parts[0]

    def or_(self, parts: list[Condition]) -> Condition:
        return Or(_flat(Or, parts))

    def and_(self, parts: list[Condition]) -> Condition:
        return parts[0] if len(parts) == 1 else And(_flat(And, parts))

    def comparison(self, parts: list[Any]) -> Comparison:
        field, operator, operand = parts
        return Comparison(
            field, str(operator), operand if isinstance(operand, Field | Parameter) else Values((operand,))
        )

    def membership(self, parts: list[Any]) -> Membership:
        negated = isinstance(parts[1], Token)
        return Membership(parts[0], negated, parts[-1])

    def values(self, literals: list[Literal]) -> Operand:
        if len(literals) == 1 and isinstance(literals[0], str) and _QUOTED_PARAMETER.fullmatch(literals[0]):
            return Parameter(literals[0][1:])  # IN ("$CATEGORY"), as an example for the CLI has it
        return Values(tuple(literals))

    def field(self, parts: list[Token]) -> Field:
        return Field(str(parts[0]), str(parts[1]))

    def parameter(self, parts: list[Token]) -> Parameter:
        return Parameter(str(parts[0])[1:])

    def number(self, parts: list[Token]) -> Literal:
        whole, dot, _ = parts[0].partition(".")
        if not dot:
            return int(whole)
        value = float(parts[0])
        return value if math.isfinite(value) else int(whole)

    def now(self, parts: list[Token | None]) -> Literal:
        _, sign, count, unit = parts
        if sign is None or count is None or unit is None:
            return self.time
        return self.time + int(sign + count) * _SECONDS[unit.lower().removesuffix("s")]

    def text(self, parts: list[Token]) -> Literal:
        return re.sub(r"\\(.)", r"\1", parts[0][1:-1], flags=re.DOTALL)
