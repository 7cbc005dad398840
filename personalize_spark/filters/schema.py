"""The fields that a dataset group's filters may name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

INTERACTIONS, ITEMS, USERS = "Interactions", "Items", "Users"
CURRENT_USER, CURRENT_ITEM = "CurrentUser", "CurrentItem"
EVENT_TYPE = "EVENT_TYPE"

_SPELLINGS = {
    **{name.lower(): name for name in (INTERACTIONS, ITEMS, USERS, "Actions", "Action_Interactions")},
    **{name.lower(): name for name in (CURRENT_USER, CURRENT_ITEM)},
    # The first documents had the singular.
    "interaction": INTERACTIONS,
    "item": ITEMS,
    "user": USERS,
    "action": "Actions",
    "action_interaction": "Action_Interactions",
}


@dataclass(frozen=True)
class Column:
    """A field of a dataset; `type` as in the service's schemas."""

    name: str
    type: str
    textual: bool = False

    @property
    def is_text(self) -> bool:
        """Whether its values are texts, else numbers."""
        return self.type == "string"


@dataclass(frozen=True)
class GroupSchema:
    """The columns of each dataset, by upper-case name."""

    datasets: Mapping[str, Mapping[str, Column]]

    @classmethod
    def of(cls, avro: Iterable[Mapping[str, Any]]) -> GroupSchema:
        """From schemas in the service's Avro form."""
        datasets = {}
        for schema in avro:
            columns = [
                Column(each["name"], _type(each["type"]), bool(each.get("textual"))) for each in schema["fields"]
            ]
            datasets[dataset_named(schema["name"]) or schema["name"]] = {
                column.name.upper(): column for column in columns
            }
        if INTERACTIONS in datasets:  # without the column, every interaction has the empty event type
            datasets[INTERACTIONS].setdefault(EVENT_TYPE, Column(EVENT_TYPE, "string"))
        return cls(datasets)


def dataset_named(name: str) -> str | None:
    """A dataset's name as the service spells it, from any case and from the old singular."""
    return _SPELLINGS.get(name.lower())


def _type(avro: str | list[str]) -> str:
    return avro if isinstance(avro, str) else next(each for each in avro if each != "null")
