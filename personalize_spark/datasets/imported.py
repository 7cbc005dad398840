"""What an import did, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from personalize_spark.errors import counted
from personalize_spark.schemas import ITEMS, USERS, Schema

KEYS = {ITEMS: "ITEM_ID", USERS: "USER_ID"}
"""The column that names a row; interactions have none."""
SHOWN = 10
"""Rejected rows that a report shows."""


@dataclass(frozen=True)
class Imported:
    """What became of one dataset's files.

    Attributes:
        rows: how many were imported.
        replaced: how many were not, as a later row has the same id.
        rejected: how many could not be; `examples` shows the first, `rejected_uri` holds all, if the import was no dry run.
        delta_version: of the table, after the import; `None` after a dry run.
        notes: why columns have their types, how times are written, which values count as missing, and what was left out.
    """

    dataset: str
    schema: Schema
    rows: int
    replaced: int
    rejected: int
    examples: list[str]
    rejected_uri: str | None
    delta_version: int | None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        dataset_group_arn: the ARN of the dataset group.
        datasets: one for each dataset that was imported.
        view: the URI of the group's new view; `None` after a dry run, which writes nothing.
        refreshed: by the ARN of a solution version, how many of its user vectors now reflect the new interactions.
    """

    dataset_group_arn: str
    datasets: list[Imported]
    view: str | None
    refreshed: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain values; schemas in the service's Avro form."""
        datasets = [{**asdict(each), "schema": each.schema.avro()} for each in self.datasets]
        return {**asdict(self), "datasets": datasets}

    def __str__(self) -> str:
        lines = []
        for each in self.datasets:
            types = ", ".join(f"{field.name} {field.type}" for field in each.schema.columns)
            would = "imported" if self.view is not None else "to import"
            lines.append(f"{each.dataset}: {counted(each.rows, 'row')} {would} ({types})")
            if each.replaced:
                lines.append(
                    f"  {counted(each.replaced, 'row')} replaced by a later row with the same {KEYS[each.dataset]}"
                )
            if each.rejected:
                lines.append(f"  {counted(each.rejected, 'row')} {_rejected(each)}")
                lines += [f"    {example}" for example in each.examples]
            lines += [f"  note: {note}" for note in each.notes]
        lines.append("Dry run: nothing was written." if self.view is None else f"view: {self.view}")
        lines += [f"{counted(users, 'user')} refreshed in {arn}" for arn, users in self.refreshed.items()]
        return "\n".join(lines)


def _rejected(imported: Imported) -> str:
    if imported.rejected_uri is None:
        return "cannot be imported:"
    were = "was not imported; it is" if imported.rejected == 1 else "were not imported; all of them are"
    return f"{were} listed in {imported.rejected_uri}"


def rejected_row(file: str, line: int | None, reason: str) -> str:
    """A rejected row, for reading; a table's has no line."""
    return f"{file}: {reason}" if line is None else f"{file}, line {line}: {reason}"


def missing_notes(words: Mapping[str, int]) -> list[str]:
    """What to say of the words that count as missing values: how often each column has which."""
    if not words:
        return []
    found = ", ".join(f"{name} ({times:,})" for name, times in words.items())
    return [
        f"These values count as missing: {found}. With a schema they are texts; import --print-schema gives one to keep."
    ]
