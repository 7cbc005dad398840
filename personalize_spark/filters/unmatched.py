"""Values of a filter that no row has: a slip of the pen keeps nothing, or drops nothing, without a word."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from personalize_spark.errors import did_you_mean, quoted
from personalize_spark.filters.binding import BoundFilter
from personalize_spark.filters.expression import Field, Values
from personalize_spark.schemas import EVENT_TYPE, INTERACTIONS

Known = Callable[[Field], Collection[str] | None]
"""All values that a field of texts has; `None` where nothing is known of them."""


def unmatched_values(bound: BoundFilter, known: Known) -> Iterator[str]:
    """For each text in the filter that no row has, a sentence that says so and names the one that is like it.

    Event types count in any case, and `*` stands for all of them; all other texts count as they are.
    """
    for leaf in dict.fromkeys(leaf for each in bound.filter.expressions for leaf in each.leaves()):
        values = known(leaf.field) if isinstance(leaf.operand, Values) else None
        if values is None or not isinstance(leaf.operand, Values):
            continue
        is_event = leaf.field.dataset == INTERACTIONS and leaf.field.name == EVENT_TYPE
        there = {value.casefold() for value in values} | {"*"} if is_event else set(values)
        for text in leaf.operand.literals:
            if isinstance(text, str) and (text.casefold() if is_event else text) not in there:
                yield f"No row has {quoted(text)} in {leaf.field}{did_you_mean(text, values)}."
