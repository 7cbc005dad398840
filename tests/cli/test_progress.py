"""The progress line: what it says of a job, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
from itertools import pairwise

from personalize_spark.cli.progress import ProgressLine
from personalize_spark.job.attempts import Progress


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that is one."""

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, *moments: tuple[float, Progress]) -> str:
    clock = Clock()
    with ProgressLine(stream, clock) as line:
        for now, progress in moments:
            clock.now = now
            line.show(progress)
    return stream.getvalue()


def test_a_terminal_has_one_line_with_rate_errors_and_what_is_left() -> None:
    said = shown(
        Terminal(),
        (6.25, Progress(0, 4, 0, 0, 0.0)),
        (7.25, Progress(1, 4, 1, 0, 0.25)),
        (36.25, Progress(2, 4, 2_880_000, 1, 0.5)),
        (66.25, Progress(4, 4, 3_100_000, 1_200, 1.0)),
    )
    assert said.split("\r\033[K") == [
        "Started after 6.2 s.\n",
        "25 %  1 line  1/s  0 errors  ETA 0:03",
        "50 %  2.9 M lines  96,000/s  1 error  ETA 0:27",
        "100 %  3.1 M lines  51,667/s  1,200 errors  ETA 0:00",
        "",
    ]


def test_the_end_does_not_jump_as_splits_finish_by_the_handful() -> None:
    moments = [(float(now), Progress(0, 40, 0, 0, now // 5 / 20)) for now in range(0, 101, 2)]
    told = re.findall(r"ETA (\d+):(\d\d)", shown(Terminal(), *moments))
    left = [60 * int(minutes) + int(seconds) for minutes, seconds in told]
    steps = [after - before for before, after in pairwise(left[5:])]
    assert max(steps) <= 2  # unsmoothed: 11
    assert left[-1] == 0


def test_elsewhere_a_line_comes_every_ten_seconds() -> None:
    said = shown(
        io.StringIO(),
        (0.5, Progress(0, 9, 0, 0, 0.0)),
        (9.0, Progress(1, 9, 80, 0, 0.1)),
        (20.5, Progress(2, 9, 200, 0, 0.01)),
        (21.0, Progress(3, 9, 300, 0, 0.3)),
    )
    assert said == "1 %  200 lines  10/s  0 errors  ETA 33:00\n"


def test_a_resumed_job_counts_what_it_answers_itself() -> None:
    said = shown(
        Terminal(),
        (0.0, Progress(5, 10, 500_000, 0, 0.5)),
        (100.0, Progress(6, 10, 501_000, 0, 0.51)),
    )
    assert said.endswith("51 %  501,000 lines  10/s  0 errors  ETA 1:21:40\r\033[K")


def test_a_job_that_gained_nothing_yet_has_no_end() -> None:
    said = shown(Terminal(), (0.0, Progress(0, 1, 0, 0, 0.0)), (0.0, Progress(0, 1, 0, 0, 0.0)))
    assert said == "\r\033[K0 %  0 lines  0/s  0 errors\r\033[K"
