"""The answers of another job that stay: those to lines that are as they were.

An answer depends on nothing but its line and what is pinned, and an output line holds its input's. So an old answer stands for every line
that is the same value; error lines, and lines that were changed, are answered. Line i of an output answers line i of its input, blank
ones left out: old and new lines are read in step, and where a mended file has more lines or fewer than before, those behind are answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from personalize_spark.answer import Answers
from personalize_spark.job.byte_ranges import ByteRange, blocks
from personalize_spark.records import parse, places_of
from personalize_spark.storage.store import Store

_RIGHT = b'"error":null}'


class OldLines:
    """Lines of an output, in step with those of its input.

    Attributes:
        position: in the output, behind the lines that were passed.
    """

    def __init__(self, store: Store, part: ByteRange, *, apart: bool) -> None:
        self.position, self._apart = part.start, apart
        self._lines, self._ahead = _lines_of(store, part), list[bytes]()

    def left_out(self, lines: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """The lines, those that keep their answers made blank; and for each that was not blank its old answer, empty where there is none."""
        begins = [b'{"input":%b,"output":' % value for value in parse(lines, ()).inputs]
        there = self._next(len(begins))
        stays = [line.endswith(_RIGHT) and line.startswith(begin) for line, begin in zip(there, begins, strict=False)]
        if len(begins) == len(there) and all(stays):
            self._pass(there)
            return [b""] * len(lines), there
        old = self._in_step(begins, there) if self._apart else self._side_by_side(begins, there, stays)
        asked = list(lines)
        for place, each in zip(places_of(lines), old, strict=True):
            if each:
                asked[place] = b""
        return asked, old

    def _side_by_side(self, begins: Sequence[bytes], there: Sequence[bytes], stays: Sequence[bool]) -> list[bytes]:
        self._pass(there)
        kept = [line if stay else b"" for line, stay in zip(there, stays, strict=True)]
        return kept + [b""] * (len(begins) - len(there))

    def _in_step(self, begins: Sequence[bytes], there: list[bytes]) -> list[bytes]:
        """Where error lines are apart, one that was has nothing here to pass."""
        old, at = list[bytes](), 0
        for begin in begins:
            same = at < len(there) and there[at].startswith(begin)
            old.append(there[at] if same and there[at].endswith(_RIGHT) else b"")
            at += same
        self._pass(there[:at])
        self._ahead = there[at:] + self._ahead
        return old

    def _next(self, count: int) -> list[bytes]:
        lines = [*self._ahead, *islice(self._lines, max(0, count - len(self._ahead)))]
        self._ahead = lines[count:]
        return lines[:count]

    def _pass(self, lines: Sequence[bytes]) -> None:
        self.position += sum(map(len, lines)) + len(lines)


def put_together(given: Answers, old: Sequence[bytes], *, repeated: bool, apart: bool) -> Answers:
    """Answers to the lines that `OldLines` did not leave out, and between them the old ones.

    Args:
        given: the answers, error lines among them.
        old: as `OldLines.left_out` gives them.
        repeated: whether the old ones are to be there.
        apart: whether error lines are not to be.
    """
    new = iter(given.data.split(b"\n"))
    lines = [each or next(new) for each in old if repeated or not each]
    right = [line for line in lines if line.endswith(_RIGHT)] if apart else lines
    wrong = [line for line in lines if not line.endswith(_RIGHT)] if apart else []
    outcomes = replace(given.outcomes, repeated=sum(map(bool, old)) if repeated else 0)
    return Answers(_text(right), _text(wrong), outcomes)


def _text(lines: Sequence[bytes]) -> bytes:
    return b"\n".join([*lines, b""])


def _lines_of(store: Store, part: ByteRange) -> Iterator[bytes]:
    for block in blocks(store, part):
        yield from block.removesuffix(b"\n").split(b"\n")
