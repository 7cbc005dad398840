"""What an import did, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from personalize_spark.errors import counted
from personalize_spark.schemas import ITEMS, USERS, Schema

KEYS = {ITEMS: "ITEM_ID", USERS: "USER_ID"}
"""The column that names a row; interactions have none."""


@dataclass(frozen=True)
class Imported:
    """What became of one dataset's files.

    Attributes:
        rows: how many were imported.
        replaced: how many were not, as a later row has the same id.
        rejected: how many could not be; `examples` shows the first, `rejected_uri` holds all.
        delta_version: of the table, after the import.
    """

    dataset: str
    schema: Schema
    rows: int
    replaced: int
    rejected: int
    examples: list[str]
    rejected_uri: str
    delta_version: int


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        dataset_group_arn: the ARN of the dataset group.
        datasets: one for each dataset that was imported.
        view: the URI of the group's new view.
        refreshed: by the ARN of a solution version, how many of its user vectors now reflect the new interactions.
    """

    dataset_group_arn: str
    datasets: list[Imported]
    view: str
    refreshed: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain values; schemas in the service's Avro form."""
        values = asdict(self)
        arn = values.pop("dataset_group_arn")
        datasets = [{**asdict(each), "schema": each.schema.avro()} for each in self.datasets]
        return {"datasetGroupArn": arn, **values, "datasets": datasets}

    def __str__(self) -> str:
        lines = []
        for each in self.datasets:
            types = ", ".join(f"{field.name} {field.type}" for field in each.schema.columns)
            lines.append(f"{each.dataset}: {counted(each.rows, 'row')} imported ({types})")
            if each.replaced:
                lines.append(
                    f"  {counted(each.replaced, 'row')} replaced by a later row with the same {KEYS[each.dataset]}"
                )
            if each.rejected:
                were = "was not imported; it is" if each.rejected == 1 else "were not imported; all of them are"
                lines.append(f"  {counted(each.rejected, 'row')} {were} listed in {each.rejected_uri}")
                lines += [f"    {example}" for example in each.examples]
        lines.append(f"view: {self.view}")
        lines += [f"{counted(users, 'user')} refreshed in {arn}" for arn, users in self.refreshed.items()]
        return "\n".join(lines)
