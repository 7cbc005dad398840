"""Output lines of batch inference jobs, read into arrays: of each line the hash of its input, and its list of items."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, count
from types import NoneType
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from personalize_spark.errors import DataError
from personalize_spark.scoring.ragged import Ragged

Codes = defaultdict[str, int]
"""A number for every item id, in the order of appearance; both sides share one."""


def item_codes() -> Codes:
    """Codes that number an item when it is first asked for."""
    return defaultdict(count().__next__)


@dataclass(frozen=True)
class Lists:
    """The answers of n output lines.

    Attributes:
        keys: uint64 (n,), the hash of each line's `input`. Among 10 million inputs two share one with a chance of 3e-6.
        errors: bool (n,), whether a line is an error line.
        items: by line the codes of its items, none twice; an error line has none.
        scores: float64 (m,), of each of the items; NaN where there is none.
    """

    keys: NDArray[np.uint64]
    errors: NDArray[np.bool_]
    items: Ragged[np.int32]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, answers: Sequence[_Answer], codes: Codes) -> Lists:
        """From lines that were read."""
        ids = chain.from_iterable(answer.items for answer in answers)
        return cls(
            np.array([answer.key for answer in answers], np.uint64),
            np.array([answer.error for answer in answers], np.bool_),
            Ragged.of_lengths(
                np.array([len(answer.items) for answer in answers], np.int64),
                np.fromiter(map(codes.__getitem__, ids), np.int32),
            ),
            np.array(list(chain.from_iterable(answer.scores for answer in answers)), np.float64),
        )

    @classmethod
    def unpacked(cls, data: bytes) -> Lists:
        """From what `packed` made, any number of times."""
        file = io.BytesIO(data)
        packs = [cls.of([], item_codes())]
        while file.tell() < len(data):
            keys, errors, indptr, items, scores = (np.load(file, allow_pickle=False) for _ in range(5))
            packs.append(cls(keys, errors, Ragged(indptr, items), scores))
        return cls(
            np.concatenate([each.keys for each in packs]),
            np.concatenate([each.errors for each in packs]),
            Ragged.stacked([each.items for each in packs]),
            np.concatenate([each.scores for each in packs]),
        )

    def packed(self) -> bytes:
        """As bytes that may be put one behind the other."""
        file = io.BytesIO()
        for column in (self.keys, self.errors, self.items.indptr, self.items.values, self.scores):
            np.save(file, column, allow_pickle=False)
        return file.getvalue()

    def parts(self, number: int) -> Iterator[tuple[int, Lists]]:
        """The lists by the part, of `number` many, that their keys belong to; empty parts are left out."""
        part = self.keys % np.uint64(number)
        for each in np.unique(part):
            yield int(each), self.take(np.flatnonzero(part == each))

    def take(self, rows: NDArray[np.int64]) -> Lists:
        """Some of the lists, in the order of int64 (r,) `rows`."""
        at = self.items.positions(rows)
        items, scores = self.items.values[at.values], self.scores[at.values]
        return Lists(self.keys[rows], self.errors[rows], at.with_values(items), scores)


def read_lists(lines: Sequence[bytes], codes: Codes, source: str, first: int) -> Lists:
    """Read output lines; blank ones are skipped.

    Args:
        lines: of a `.out` file.
        codes: given to the items, and grown by those that are new.
        source: the file, for messages.
        first: the number in it of the first of the lines, from 1.

    Raises:
        DataError: a line is no output line.
    """
    answers = []
    for number, line in enumerate(lines, first):
        if line.isspace() or not line:
            continue
        try:
            answers.append(_answer(line))
        except (ValueError, orjson.JSONEncodeError) as error:
            raise DataError(
                f"{source}, line {number} is not an output line: {error}. Compare the .out files of batch inference jobs."
            ) from error
    return Lists.of(answers, codes)


@dataclass(frozen=True)
class _Answer:
    key: int
    items: Sequence[str] = ()
    scores: Sequence[float | None] = ()
    error: bool = False


def _answer(line: bytes) -> _Answer:
    value = orjson.loads(line)
    if type(value) is not dict or "input" not in value or not {"output", "error"} & value.keys():
        raise ValueError("it has no input, or neither output nor error")
    canonical = orjson.dumps(value["input"], option=orjson.OPT_SORT_KEYS)
    key = int.from_bytes(blake2b(canonical, digest_size=8).digest())
    if value.get("error") is not None:
        return _Answer(key, error=True)
    items, scores = _items(value.get("output"))
    return _Answer(key, items, scores)


def _items(output: Any) -> tuple[Sequence[str], Sequence[float | None]]:
    items = output.get("recommendedItems") if type(output) is dict else None
    if type(items) is not list or not set(map(type, items)) <= {str, int}:
        raise ValueError("its output has no recommendedItems, or they are not a list of item ids")
    scores = output.get("scores")
    if scores is None:
        scores = [None] * len(items)
    if type(scores) is not list or len(scores) != len(items) or not set(map(type, scores)) <= {float, int, NoneType}:
        raise ValueError("its scores are not one number for each of its recommendedItems")
    if int in map(type, items):
        items = list(map(str, items))
    if len(set(items)) == len(items):
        return items, scores
    # a list of items to rank may have named one twice: the first place counts
    firsts = sorted({item: place for place, item in reversed(list(enumerate(items)))}.values())
    return [items[place] for place in firsts], [scores[place] for place in firsts]
