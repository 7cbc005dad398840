"""What a request asks beyond the service: one member of `batchInferenceJobConfig`, which the service does not have.

    "batchInferenceJobConfig": {"personalizeSpark": {"maxPer": {"CATEGORY": 2}, "withColumns": ["TITLE", "PRICE"]}}

Each is off unless it is asked for; docs/extensions.md describes them. They travel with the job, in its record and its plan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from personalize_spark.errors import InvalidInputException, did_you_mean

CONFIG, KEY = "batchInferenceJobConfig", "personalizeSpark"
ALLOW_LIST, DENY_LIST, ITEM_IDS = "allowList", "denyList", "itemIds"
LINE_KEYS = (ALLOW_LIST, DENY_LIST, ITEM_IDS)
_PATH = f"{CONFIG}.{KEY}"


@dataclass(frozen=True)
class Extensions:
    """What is asked beyond the service; nothing by default.

    Attributes:
        max_per: by column of Items, how many items of a list may share a value of it.
        with_columns: the columns of Items that stand in the output.
        line_keys: which of `LINE_KEYS` lines may have.
        also_parquet: the folder that gets the outputs as Parquet, too.
    """

    max_per: dict[str, int] = field(default_factory=dict)
    with_columns: list[str] = field(default_factory=list)
    line_keys: list[str] = field(default_factory=list)
    also_parquet: str | None = None

    @property
    def asked(self) -> list[str]:
        """The names of those that are asked for, as a request spells them."""
        return [name for name, (attribute, _) in _MEMBERS.items() if getattr(self, attribute)]

    @property
    def columns(self) -> list[str]:
        """The columns of Items that they need."""
        return list(dict.fromkeys([*self.max_per, *self.with_columns]))


def with_extensions(params: Mapping[str, Any], extensions: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters of a request with these extensions in it, each in place of the request's own."""
    if not extensions:
        return dict(params)
    config = params.get(CONFIG) or {}
    return {**params, CONFIG: {**config, KEY: {**(config.get(KEY) or {}), **extensions}}}


def taken(params: Mapping[str, Any]) -> tuple[dict[str, Any], Extensions]:
    """The parameters as the service knows them, and the extensions.

    Raises:
        InvalidInputException: one message with everything that is wrong with the extensions.
    """
    config = params.get(CONFIG)
    if not isinstance(config, Mapping) or config.get(KEY) is None:
        return dict(params), Extensions()
    asked, rest = config[KEY], {name: value for name, value in config.items() if name != KEY}
    if problems := list(_problems(asked)):
        raise InvalidInputException("; ".join(problems))
    found = {_MEMBERS[name][0]: value for name, value in asked.items() if value is not None}
    return {**params, CONFIG: rest}, Extensions(**found)


def _problems(asked: object) -> Iterator[str]:
    if not isinstance(asked, Mapping):
        yield f"{_PATH} must be an object"
        return
    for name, value in asked.items():
        if name not in _MEMBERS:
            hint = did_you_mean(str(name), list(_MEMBERS))
            yield f"Unknown parameter '{name}' in '{_PATH}'{hint}, must be one of: {', '.join(_MEMBERS)}"
        elif value is not None and (must := _MEMBERS[name][1](value)):
            yield f"{_PATH}.{name} must be {must}"


def _why_no_counts(value: object) -> str:
    if isinstance(value, Mapping) and all(type(each) is int and each > 0 for each in value.values()):
        return ""
    return 'an object of columns and whole numbers from 1 on, such as {"CATEGORY": 2}'


def _why_no_names(value: object) -> str:
    if (
        isinstance(value, list | tuple)
        and all(isinstance(each, str) for each in value)
        and len(set(value)) == len(value)
    ):
        return ""
    return 'a list of different texts, such as ["TITLE", "PRICE"]'


def _why_no_keys(value: object) -> str:
    if isinstance(value, list | tuple) and all(each in LINE_KEYS for each in value):
        return ""
    return f"a list of some of {', '.join(LINE_KEYS)}"


def _why_no_folder(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"s3a?://[^/]+/?.*|file:///.+", value):
        return ""
    return "the URI of a folder, such as s3://bucket/parquet/"


_MEMBERS: Mapping[str, tuple[str, Callable[[object], str]]] = {
    "maxPer": ("max_per", _why_no_counts),
    "withColumns": ("with_columns", _why_no_names),
    "lineKeys": ("line_keys", _why_no_keys),
    "alsoParquet": ("also_parquet", _why_no_folder),
}
"""By the name in a request, that of the attribute, and what a value must be, where it is not."""
