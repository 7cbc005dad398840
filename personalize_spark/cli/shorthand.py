"""The AWS CLI's shorthand for values: `path=s3://b/in,kmsKeyArn=x`, `s3DataSource={path=s3://b/in}`, `tags=[a,b]`, `"quoted, text"`."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from personalize_spark.errors import InvalidInputException

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"' + r"|'((?:[^'\\]|\\.)*)'")
_KEY = re.compile(r"[A-Za-z0-9_.:-]+")
_BARE = re.compile(r"(?:[^,\]}\\]|\\.)*")


def parse(text: str) -> Any:
    """The value that the shorthand spells; all leaves are texts.

    Raises:
        InvalidInputException: it is none.
    """
    reader = _Reader(text)
    return reader.members("") if re.match(rf"\s*{_KEY.pattern}\s*=", text) else reader.values("")


class _Reader:
    """A text, and how far it was read."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def members(self, end: str) -> dict[str, Any]:
        """`key=value,...` up to the bracket that ends it, or to the end of the text."""
        found: dict[str, Any] = {}
        while True:
            key = self._take(_KEY, "a name")[0]
            self._expect("=")
            if key in found:
                self._fail(f"'{key}' is there twice")
            found[key] = self._value()
            if not self._goes_on(end):
                return found

    def values(self, end: str) -> list[Any]:
        """`value,...` up to the bracket that ends it, or to the end of the text."""
        found = []
        while True:
            found.append(self._value())
            if not self._goes_on(end):
                return found

    def _value(self) -> Any:
        if self._skip("{"):
            return {} if self._skip("}") else self.members("}")
        if self._skip("["):
            return [] if self._skip("]") else self.values("]")
        if quoted := _QUOTED.match(self._text, self._at):
            self._at = quoted.end()
            return re.sub(r"\\(.)", r"\1", quoted[1] if quoted[1] is not None else quoted[2])
        return re.sub(r"\\(.)", r"\1", self._take(_BARE, "a value")[0].strip())

    def _goes_on(self, end: str) -> bool:
        if self._skip(","):
            return True
        if end:
            self._expect(end)
        elif self._at < len(self._text):
            self._fail("',' is missing")
        return False

    def _take(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        self._blank()
        match = pattern.match(self._text, self._at)
        if match is None:
            self._fail(f"{what} is missing")
        self._at = match.end()
        return match

    def _expect(self, mark: str) -> None:
        if not self._skip(mark):
            self._fail(f"'{mark}' is missing")

    def _skip(self, mark: str) -> bool:
        self._blank()
        there = self._text.startswith(mark, self._at)
        self._at += len(mark) if there else 0
        return there

    def _blank(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1

    def _fail(self, why: str) -> NoReturn:
        raise InvalidInputException(f"{self._text} is not a value in shorthand: {why} at character {self._at + 1}.")
