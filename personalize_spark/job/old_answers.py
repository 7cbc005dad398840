"""The answers of another job that stay: those to lines that are as they were.

An answer depends on nothing but its line and what is pinned, and an output line holds its input's. So an old answer stands for every line
that is the same value; error lines, and lines that were changed, are answered. Line i of an output answers line i of its input, blank
ones left out: old and new lines are read in step, and where a mended file has more lines or fewer than before, those behind are answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

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
        self._lines = _lines_of(store, part)
        self._next = next(self._lines, b"")

    def left_out(self, lines: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """The lines, those that keep their answers made blank; and for each that was not blank its old answer, empty where there is none."""
        asked, old = list(lines), list[bytes]()
        for place, value in zip(places_of(lines), parse(lines, ()).inputs, strict=True):
            stays = self._next.endswith(_RIGHT) and self._next.startswith(b'{"input":%b,"output":' % value)
            old.append(self._next if stays else b"")
            if stays:
                asked[place] = b""
            if stays or not self._apart:  # where error lines are apart, one that was has nothing here to pass
                self.position += len(self._next) + 1
                self._next = next(self._lines, b"")
        return asked, old


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
    return b"".join(line + b"\n" for line in lines)


def _lines_of(store: Store, part: ByteRange) -> Iterator[bytes]:
    for block in blocks(store, part):
        yield from block.removesuffix(b"\n").split(b"\n")
