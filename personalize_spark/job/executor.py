"""What runs the tasks of a job: the same work for every number below a count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from personalize_spark.errors import reason_of
from personalize_spark.logs import begin_logging
from personalize_spark.storage.store import RETRIES, Store

if TYPE_CHECKING:
    from personalize_spark.job.splits import Split

Work = Callable[[Store, int], Iterable[str]]
"""Gets the staging folder and a number, returns failures.

A function of a module, or a `partial` of one with plain values: its name travels, not its code. It may run more than once for a number.
"""


class Ended(msgspec.Struct):
    """How a task or a stage ended: what the work reported, what it died of, and how many requests to the storage it made again."""

    failures: list[str] = []
    died: str | None = None
    retries: int = 0


def carry_out(work: Work, staging: Store, number: int) -> Ended:
    """Do the work for a number. Whatever it raises comes home as data: nobody has to find it in a traceback."""
    begin_logging()
    ended, before = Ended([]), RETRIES.count
    try:
        ended.failures.extend(work(staging, number))
    except Exception as error:  # noqa: BLE001
        ended.died = reason_of(error)
    ended.retries = RETRIES.count - before
    return ended


class Executor(Protocol):
    """Where tasks run: on Spark (`spark_executor`), or in processes of this machine (`local_executor`)."""

    cores: int
    """How many tasks run at once."""
    retries: int
    """Requests to a storage that tasks made again, so far."""
    here: bool
    """Tasks run where this process runs, and a stage more costs time."""

    def run(self, staging: Store, tasks: int, work: Work) -> list[str]:
        """Run the work for 0, 1, ... tasks - 1.

        No task runs any more when this ends, whether it returns or raises; but for one that the system cannot end.

        Returns:
            All failures that the work reported.

        Raises:
            TaskFailed: a task died of something else than it reports.
            EngineLost: what runs tasks is gone.
        """

    def stop(self) -> None:
        """End the tasks that run, stopped processes among them; called by another thread, `run` then raises `TaskFailed`."""

    def gather(self, staging: Store, splits: Sequence[Split]) -> list[Split]:
        """Lay users' rows beside the splits, if there are more than a host may hold.

        Returns:
            The splits, which know now where to look.

        Raises:
            TaskFailed: a shard or an input could not be read.
            InvalidInputException: the limit of a host is no size.
        """
