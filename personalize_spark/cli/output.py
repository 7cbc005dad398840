"""How the AWS CLI prints an answer: as JSON, as a table or as text, all of it or what a JMESPath query selects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from personalize_spark.errors import InvalidInputException

FORMATS = ("json", "table", "text")


def spelled(answer: Mapping[str, Any], form: str, query: str | None) -> str:
    """The answer of an operation as it is printed, with a line break at its end.

    Raises:
        InvalidInputException: the query is not one.
    """
    value: Any = answer
    if query is not None:
        import jmespath

        try:
            value = jmespath.search(query, answer)
        except jmespath.exceptions.JMESPathError as error:
            raise InvalidInputException(f"Bad value for --query {query}: {error}") from error
    if form == "json":
        return json.dumps(value, indent=4, ensure_ascii=False) + "\n"
    lines = _text("", value) if form == "text" else _table(value)
    return "".join(f"{line}\n" for line in lines)


def _text(name: str, value: Any) -> Iterator[str]:
    """A line for each object, its scalars by name between tabs, what it holds below it; a line for each scalar of a list with a name."""
    prefix = [name.upper()] if name else []
    if isinstance(value, Mapping):
        yield from _text_of_object(prefix, value, [key for key in sorted(value) if not _nests(value[key])])
    elif isinstance(value, list):
        scalars = [_scalar(each) for each in value if not _nests(each)]
        if scalars:
            yield from ("\t".join([*prefix, each]) for each in scalars) if name else ["\t".join(scalars)]
        objects = [each for each in value if isinstance(each, Mapping)]
        columns = sorted({key for each in objects for key in each if not _nests(each[key])})
        for each in value:
            if isinstance(each, Mapping):
                yield from _text_of_object(prefix, each, columns)
            elif _nests(each):
                yield from _text(name, each)
    else:
        yield _scalar(value)


def _text_of_object(prefix: Sequence[str], value: Mapping[str, Any], columns: Sequence[str]) -> Iterator[str]:
    """Its scalars in the columns of the list that it is in, then what it holds."""
    if columns:
        yield "\t".join([*prefix, *(_scalar(value.get(key, "")) for key in columns)])
    for key in sorted(value):
        if _nests(value[key]):
            yield from _text(key, value[key])


def _table(value: Any) -> Iterator[str]:
    """A box of rows and columns for each list of objects, one of names and values for each other object."""
    for name, head, rows in _boxes("", value):
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
        if name:
            yield name
        yield rule
        for number, row in enumerate(rows):
            yield "|" + "|".join(f" {cell:<{width}} " for cell, width in zip(row, widths, strict=True)) + "|"
            if number == 0 and head:
                yield rule
        yield rule


def _boxes(name: str, value: Any) -> Iterator[tuple[str, bool, Sequence[Sequence[str]]]]:
    """Of each box the name, whether its first row is a head, and the rows."""
    if isinstance(value, Mapping):
        if scalars := [(key, _scalar(each)) for key, each in value.items() if not _nests(each)]:
            yield name, False, scalars
        for key, each in value.items():
            if _nests(each):
                yield from _boxes(key, each)
    elif isinstance(value, list) and value and all(isinstance(each, list) for each in value):
        width = max(map(len, value))
        if width:
            yield name, False, [[*map(_scalar, each), *[""] * (width - len(each))] for each in value]
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        columns = list(dict.fromkeys(key for each in value for key in each))
        yield name, True, [columns, *([_scalar(each.get(key, "")) for key in columns] for each in value)]
    else:
        yield name, False, [[_scalar(each)] for each in (value if isinstance(value, list) else [value])]


def _nests(value: Any) -> bool:
    return isinstance(value, (Mapping, list))


def _scalar(value: Any) -> str:
    return json.dumps(value) if _nests(value) else str(value)
