"""Ids that the model does not know, and that it would know in another spelling: `user-1` where it has `1`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from personalize_spark.artifacts.shards import Shards

_TAIL = re.compile(r".*[-_:/.|# ](?=.)", re.DOTALL)


def spellings(name: str) -> Iterator[str]:
    """Other ways to spell an id: without spaces, in other cases, without a prefix, zeros in front or a decimal `.0`."""
    yield name.strip()
    yield name.lower()
    yield name.upper()
    yield _TAIL.sub("", name, count=1)
    yield name.lstrip("0")
    yield name.removesuffix(".0")
    yield f"{name}.0"


def near_misses(names: Iterable[str], known: Callable[[Sequence[str]], Iterable[str]]) -> dict[str, str]:
    """By unknown id the known one that it may mean.

    Args:
        names: ids that are unknown.
        known: gives those of some ids that are known.
    """
    others = {name: [each for each in dict.fromkeys(spellings(name)) if each and each != name] for name in names}
    there = set(known([each for some in others.values() for each in some]))
    found = {name: next((each for each in some if each in there), None) for name, some in others.items()}
    return {name: other for name, other in found.items() if other is not None}


def known_users(sources: Iterable[Shards], names: Sequence[str]) -> list[str]:
    """Those users that the shards at hand know: a guess is not worth that others are fetched."""
    found: list[str] = []
    for shards in sources:
        there = shards.at_hand([each.encode() for each in names])
        for hit in shards.find(there):
            found += [there[each].decode() for each in hit.positions.tolist()]
    return found
