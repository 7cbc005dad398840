"""What a job did, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from personalize_spark.errors import counted
from personalize_spark.job.task import Piece


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    splits: int
    of_splits: int
    lines: int
    errors: int


@dataclass(frozen=True)
class Report:
    """The sum over all pieces of a job.

    Attributes:
        output: the output path.
        files: outputs written.
        lines: lines answered, error lines among them.
        errors: error lines by reason.
        bytes: bytes of all outputs.
        task_seconds: time that tasks spent, summed.
        seconds: time from the start of the job to its last output.
        notes: what the user should know of the request, settings without effect for one.
    """

    output: str
    files: int
    lines: int
    errors: dict[str, int]
    bytes: int
    task_seconds: float
    seconds: float
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def __str__(self) -> str:
        rate = self.lines / self.seconds if self.seconds else 0.0
        read = f"{counted(self.lines, 'line')} of {counted(self.files, 'file')}"
        lines = [
            f"{read} answered in {self.seconds:.1f} s ({rate:,.0f} lines/s)",
            *(f"  {counted(lines, 'error line')}: {reason}" for reason, lines in self.errors.items()),
            *(f"  note: {note}" for note in self.notes),
            f"output: {self.output}",
        ]
        return "\n".join(lines)

    @classmethod
    def of(cls, output: str, files: int, pieces: Sequence[Piece], seconds: float, notes: list[str]) -> Report:
        """Add up the pieces."""
        errors: Counter[str] = sum((Counter(piece.errors) for piece in pieces), Counter())
        return cls(
            output=output,
            files=files,
            lines=sum(piece.lines for piece in pieces),
            errors=dict(errors.most_common()),
            bytes=sum(piece.bytes for piece in pieces),
            task_seconds=round(sum(piece.seconds for piece in pieces), 3),
            seconds=round(seconds, 3),
            notes=notes,
        )
