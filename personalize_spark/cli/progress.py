"""The progress of a running job, on one line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from personalize_spark.job.attempts import Progress

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
