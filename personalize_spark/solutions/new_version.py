"""What a training or an import of a model returns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.quality.template import fragment, section, table

_CAPITAL = re.compile("[A-Z]")


@dataclass(frozen=True)
class NewVersion:
    """A solution version that a training or an import has made.

    Attributes:
        arn: its ARN; a request names it as `solutionVersionArn`.
        metrics: log-losses in nats, for recipes whose scores are probabilities; `held_out_users` and others are counts. The names
            are those of the version's record, in the style of this package.
        notes: how to read the metrics.
    """

    arn: str
    metrics: Mapping[str, float]
    notes: list[str]

    def __post_init__(self) -> None:
        named = {_CAPITAL.sub(lambda found: f"_{found[0].lower()}", name): each for name, each in self.metrics.items()}
        object.__setattr__(self, "metrics", named)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join([*self.remarks(), self.arn])

    def _repr_html_(self) -> str:
        rows = [
            (name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}") for name, value in self.metrics.items()
        ]
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return fragment(section("Solution version", f"<p><code>{escape(self.arn)}</code></p>{notes}{table((), rows)}"))

    def remarks(self) -> list[str]:
        """The metrics and the notes, a line each."""
        numbers = (
            (name, f"{value}" if isinstance(value, int) else f"{value:.4f}") for name, value in self.metrics.items()
        )
        return [*(f"{name}: {value}" for name, value in numbers), *self.notes]


def new_version(catalog: Catalog, arn: Arn) -> NewVersion:
    """What there is to tell of a version that has just been made."""
    fields = catalog.read(arn).fields
    metrics: dict[str, float] = fields.get("metrics", {})
    notes: list[str] = [*fields.get("notes", ())]
    if "choice" in fields:
        notes.append(str(fields["choice"]["choice"]))
    if "logLossPopularity" in metrics:
        better = "better" if metrics["logLoss"] < metrics["logLossPopularity"] else "no better"
        notes.append(f"The scores predict what users did next {better} than popularity does.")
    elif "logLossUniform" in metrics and metrics["logLoss"] >= metrics["logLossUniform"]:
        notes.append(
            "The scores predict the interactions no better than chance: do the ids of users and items belong to these factors?"
        )
    return NewVersion(str(arn), metrics, notes)
