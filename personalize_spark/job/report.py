"""What a job did, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

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

    @classmethod
    def of(cls, output: str, files: int, pieces: Sequence[Piece], seconds: float, notes: list[str]) -> Report:
        """Add up the pieces."""
        errors: Counter[str] = sum((piece.errors for piece in pieces), Counter())
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
