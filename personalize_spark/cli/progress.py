"""What a person sees of a running job: one line that moves, and a summary at its end."""

from __future__ import annotations

import time
from typing import Self, TextIO

from personalize_spark.job.report import Progress, Report

_QUIET_SECONDS = 10.0


class ProgressLine:
    """A line that rewrites itself on a terminal; elsewhere a new line every ten seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._moves = stream.isatty()
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._moves:
            self._stream.write("\r\033[K")

    def show(self, progress: Progress) -> None:
        """Say how far the job is."""
        now = time.monotonic()
        text = (
            f"{progress.lines:,} lines in {now - self._started:.0f} s, {progress.splits} of {progress.of_splits} parts"
        )
        text += f", {progress.errors:,} errors" if progress.errors else ""
        if self._moves:
            self._stream.write(f"\r\033[K{text}")
        elif now - self._shown >= _QUIET_SECONDS:
            self._stream.write(f"{text}\n")
            self._shown = now
        self._stream.flush()


def summary(report: Report) -> str:
    """A job's report, for reading."""
    rate = report.lines / report.seconds if report.seconds else 0.0
    read = f"{_count(report.lines, 'line')} of {_count(report.files, 'file')}"
    lines = [
        f"{read} answered in {report.seconds:.1f} s ({rate:,.0f} lines/s)",
        *(f"  {_count(lines, 'error line')}: {reason}" for reason, lines in report.errors.items()),
        *(f"  note: {note}" for note in report.notes),
        f"output: {report.output}",
    ]
    return "\n".join(lines) + "\n"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
