"""Splits, the parts of inputs that are answered one by one, and tasks, the lists of splits that are run one by one."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from personalize_spark.job.byte_ranges import ByteRange, cut
from personalize_spark.job.job import Job
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.store import Object, Store

MAX_LINES = 131_072
"""Lines of a split, unless its file would then have more than `MAX_PIECES`."""
MAX_PIECE = 64 << 20
"""Bytes of the answers to a split, as expected, with the same exception."""
MAX_PIECES = 9_000
"""Pieces of a file: an upload has at most 10,000 parts."""
MAX_TASK = 500_000
"""Lines of a task; to begin a split costs as much as `_SPLIT_COST` lines."""
TASKS_PER_CORE = 3
_SCORE, _FRAME = 11, 64
"""Bytes of a score, and of what surrounds an answer."""
_MIN_LINES = 1_024
_SPLIT_COST = 500
_SMALLEST_TASK = 8
"""The last tasks are this many times smaller than the first: each costs 0.05 s, too."""


@dataclass(frozen=True)
class Split:
    """One split of one input; `number` is its place among the splits of that input, `lines` how many lines it should have.

    `inflated` splits are of objects in the staging folder, the others of the input itself. Of a `gathered` one, the rows of
    its users lie in the staging folder too. `old` are the lines of another job's output that answer it; see `job.old_answers`.
    """

    file: int
    number: int
    range: ByteRange
    lines: float
    inflated: bool = False
    gathered: bool = False
    old: ByteRange | None = None

    @property
    def key(self) -> str:
        """Begins the names of the split's pieces; ascending keys are the order of lines."""
        return f"{self.file:06d}/{self.number:06d}"


def mean_answer_bytes(job: Job, line_bytes: float) -> float:
    """The mean length of an output line, judged by the item ids of the model and the mean length of an input line."""
    entries = job.model.open().entries
    item = entries["item_ids_json.values.npy"].rows / max(1, entries["item_ids_json.indptr.npy"].rows - 1)
    return line_bytes + _FRAME + job.settings.num_results * (item + _SCORE)


def splits_of(  # what decides a split's size
    files: Sequence[Sequence[Object]],
    inflated: Sequence[bool],
    line_bytes: float,
    answer_bytes: float,
    cores: int,
    *,
    whole: bool = False,
    packed: Container[str] = (),
) -> Iterator[Split]:
    """Cut every input into splits: small enough to keep all cores busy, large enough to be worth an object.

    Args:
        files: per input, the objects that hold its text, in order.
        inflated: per input, whether those lie in the staging folder.
        line_bytes: the mean length of a line.
        answer_bytes: the mean length of an answer.
        cores: how many tasks run at once.
        whole: cut nothing.
        packed: the names of objects that are compressed though their names do not say so.
    """
    total = sum(source.size for sources in files for source in sources) / line_bytes
    fair = min(MAX_LINES, MAX_PIECE / answer_bytes, max(_MIN_LINES, total / (TASKS_PER_CORE * cores)))
    for file, sources in enumerate(files):
        lines = sum(source.size for source in sources) / line_bytes
        # every object ends a split of its own
        target = int(max(fair, lines / max(1, MAX_PIECES + 1 - len(sources))) * line_bytes) + 1
        ranges = [
            each
            for source in sources
            for each in cut(source, source.size + 1 if whole else target, packed=source.name in packed)
        ]
        for number, each in enumerate(ranges):
            yield Split(file, number, each, (each.end - each.start) / line_bytes, inflated[file])


def tasks_of(splits: Sequence[Split], cores: int) -> list[list[Split]]:
    """Splits put together to tasks, the largest splits first.

    A task is a fair share of what is left (guided self-scheduling: Polychronopoulos and Kuck 1987), so that the last ones are small
    and all cores end together.

    Args:
        splits: the splits.
        cores: how many tasks run at once.
    """
    left = sum(_cost(split) for split in splits)
    most = min(MAX_TASK, left / (TASKS_PER_CORE * cores))
    tasks: list[list[Split]] = []
    room = 0.0
    for split in sorted(splits, key=lambda split: -_cost(split)):
        if room <= 0:
            tasks.append([])
            room = min(most, max(left / (TASKS_PER_CORE * cores), most / _SMALLEST_TASK))
        tasks[-1].append(split)
        room -= _cost(split)
        left -= _cost(split)
    return tasks


def _cost(split: Split) -> float:
    return split.lines + _SPLIT_COST


def write_splits(staging: Store, splits: Sequence[Split]) -> None:
    """Freeze the splits of a run."""
    write_document(staging, "splits.json", splits)


def read_splits(staging: Store) -> list[Split]:
    """The frozen splits of a run."""
    return read_document(staging, "splits.json", list[Split])


def write_tasks(staging: Store, attempt: int, tasks: Sequence[Sequence[Split]]) -> None:
    """Hand out the tasks of an attempt."""
    for number, splits in enumerate(tasks):
        write_document(staging, _task_name(attempt, number), splits)


def read_task(staging: Store, attempt: int, number: int) -> list[Split]:
    """The splits of one task."""
    return read_document(staging, _task_name(attempt, number), list[Split])


def _task_name(attempt: int, number: int) -> str:
    return f"tasks/{attempt}/{number:05d}.json"
