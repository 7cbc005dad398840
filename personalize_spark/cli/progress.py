"""The progress of a running job, on one line: `42 %  3.1 M lines  96,000/s  0 errors  ETA 0:40`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Self, TextIO

from personalize_spark.errors import counted
from personalize_spark.logs import as_json

if TYPE_CHECKING:
    from personalize_spark.job.attempts import Progress

_QUIET_SECONDS = 10.0
_TOLD_START = 1.0
_SMOOTH_SECONDS = 10.0
_MILLION = 1_000_000
_log = logging.getLogger(__name__)


class ProgressLine:
    """A line that rewrites itself on a terminal; elsewhere a new line every ten seconds.

    The first progress that it is given is the start of the answering: what came before, such as the start of Spark, is said
    apart and does not count in the rate.

    Args:
        stream: where it is written.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._moves = stream.isatty()
        self._created = self._shown = clock()
        self._first: tuple[float, Progress] | None = None
        self._end: tuple[float, float] | None = None
        """When the end was told last, and for when."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._moves and not as_json():
            self._stream.write("\r\033[K")

    def show(self, progress: Progress) -> None:
        """Say how far the job is."""
        now = self._clock()
        if as_json():
            if self._first is None or now - self._shown >= _QUIET_SECONDS:
                self._first = self._first or (now, progress)
                self._shown = now
                _log.info("%s", self._text(now, progress), extra={"fields": {"progress": asdict(progress)}})
            return
        if self._first is None:
            self._first = now, progress
            if (start := now - self._created) >= _TOLD_START:
                self._stream.write(f"Started after {start:.1f} s.\n")
        elif self._moves:
            self._stream.write(f"\r\033[K{self._text(now, progress)}")
        elif now - self._shown >= _QUIET_SECONDS:
            self._stream.write(f"{self._text(now, progress)}\n")
            self._shown = now
        self._stream.flush()

    def _text(self, now: float, progress: Progress) -> str:
        started, first = self._first or (now, progress)
        seconds, gained = now - started, progress.share - first.share
        rate = (progress.lines - first.lines) / seconds if seconds > 0 else 0.0
        parts = [f"{progress.share:.0%}".replace("%", " %"), _lines(progress.lines), f"{rate:,.0f}/s"]
        parts.append(counted(progress.errors, "error"))
        if gained > 0:
            parts.append(f"ETA {_clock_text(self._left(now, seconds * (1 - progress.share) / gained))}")
        return "  ".join(parts)

    def _left(self, now: float, seconds: float) -> float:
        """The seconds that are left, if so many seem to be: splits end by the handful, so the end moves there slowly."""
        end = now + seconds
        if self._end is not None and seconds:
            told, last = self._end
            end += (last - end) * math.exp((told - now) / _SMOOTH_SECONDS)
        self._end = now, end
        return max(0.0, end - now)


def _lines(number: int) -> str:
    return f"{number / _MILLION:.1f} M lines" if number >= _MILLION else counted(number, "line")


def _clock_text(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: `0:40`, `1:02:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
