"""The options of `run` for what the service does not have; they make one dictionary, as the request holds it."""

from __future__ import annotations

import argparse
from typing import Any

from personalize_spark.storage.location import uri_of


def add_extensions(command: argparse.ArgumentParser) -> None:
    """Add the options; all of them are `extensions`."""
    group = command.add_argument_group("beyond the service", "docs/extensions.md describes them")
    group.add_argument(
        "--max-per",
        dest="extensions",
        metavar="COLUMN=COUNT",
        action=_Extension,
        type=_count,
        const="maxPer",
        help="at most so many items of a list share a value of a column of Items; may be repeated",
    )
    group.add_argument(
        "--with-columns",
        dest="extensions",
        metavar="COLUMN,...",
        action=_Extension,
        type=_names,
        const="withColumns",
        help="write these columns of Items beside the recommended items",
    )
    group.add_argument(
        "--line-keys",
        dest="extensions",
        metavar="KEY,...",
        action=_Extension,
        type=_names,
        const="lineKeys",
        help="lines may have these keys: allowList, denyList, itemIds",
    )
    group.add_argument(
        "--also-parquet",
        dest="extensions",
        metavar="PREFIX",
        action=_Extension,
        type=uri_of,
        const="alsoParquet",
        help="write the outputs there as Parquet, too, one file for each input",
    )


class _Extension(argparse.Action):
    """Puts a value under the option's name, beside what is there."""

    def __call__(
        self, _: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, __: str | None = None
    ) -> None:
        found: dict[str, Any] = dict(getattr(namespace, self.dest) or {})
        name, old = str(self.const), found.get(str(self.const))
        found[name] = {**(old or {}), **values} if isinstance(values, dict) else values
        setattr(namespace, self.dest, found)


def _count(text: str) -> dict[str, int]:
    name, equals, count = text.partition("=")
    if not (name and equals and count.isascii() and count.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is no COLUMN=COUNT, such as CATEGORY=2")
    return {name: int(count)}


def _names(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]
