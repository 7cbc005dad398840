"""The plan of a job: frozen before the first task starts, written to the staging folder, never changed.

    plan.json                 everything but the lists
    inputs.json               the input objects, pinned by size and ETag, and the names of their outputs
    tasks/ATTEMPT/00000.json  the splits of one task
    pieces/KEY-UUID           the answers of a split
    manifests/UUID.json       which pieces a task has finished: what is in no task manifest does not count
    inflated/...              the text of large compressed inputs
    gathered/KEY/...          the rows of a split's users, where a host has no room for all
    publish/00000.json        what one task composes

The folder is _staging/JOB/RUN/, a new one for each run, so that nothing of another run is ever taken for this one's.
A task gets the URI of the plan, never its contents.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from personalize_spark import __version__
from personalize_spark.errors import JobFailed, StorageError
from personalize_spark.job.job import Job
from personalize_spark.job.splits import ByteRange, blocks, compression, cut
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.location import open_store, split_prefix
from personalize_spark.storage.store import Access, Object, Store

CHECK = "_CHECK"
STAGING = "_staging"
OUT = ".out"

MAX_LINES = 131_072
"""Lines of a split, unless its file would then have more than `MAX_PIECES`."""
MAX_PIECE = 64 << 20
"""Bytes of the answers to a split, as expected, with the same exception."""
MAX_PIECES = 9_000
"""Pieces of a file: an upload has at most 10,000 parts."""
MAX_TASK = 500_000
"""Lines of a task; to begin a split costs as much as `_SPLIT_COST` lines."""
TASKS_PER_CORE = 3
INFLATE_ABOVE = 64 << 20
"""A larger compressed object is first inflated into plain ones, so that more than one task can answer it."""
_SAMPLE = 64 << 10
_LINE = 32.0
"""Bytes of a line where none can be looked at."""
_SCORE, _FRAME = 11, 64
"""Bytes of a score, and of what surrounds an answer."""
_MIN_LINES = 1_024
_SPLIT_COST = 500
_SMALLEST_TASK = 8
"""The last tasks are this many times smaller than the first: each costs 0.05 s, too."""


@dataclass(frozen=True)
class Plan:
    """What all tasks of a run have in common.

    Attributes:
        job: the job that is run.
        release: of this package, on the driver.
        run: names the staging folder.
    """

    job: Job
    release: str
    run: str

    @classmethod
    def of(cls, job: Job) -> Plan:
        """The plan of a new run."""
        return cls(job, __version__, uuid.uuid4().hex)

    @property
    def staging_root(self) -> str:
        """The URI of the run's own staging folder."""
        return f"{self.output().root}{self.staging_name}"

    @property
    def staging_name(self) -> str:
        """The staging folder, relative to the output folder."""
        return f"{STAGING}/{self.job.arn.name}/{self.run}/"

    def input(self) -> Store:
        """The folder that the names of the inputs are relative to."""
        return open_store(split_prefix(self.job.input_path)[0], self.job.access)

    def output(self) -> Store:
        """The folder of the request's output path."""
        return open_store(self.job.output_path, self.job.access)

    def staging(self) -> Store:
        """The run's own staging folder."""
        return open_store(self.staging_root, self.job.access)

    def write(self) -> None:
        """Freeze the plan."""
        write_document(self.staging(), "plan.json", self)

    @classmethod
    def read(cls, staging: Store) -> Plan:
        """The plan of a staging folder."""
        return read_document(staging, "plan.json", cls)


@dataclass(frozen=True)
class Input:
    """An input object and the name of its output."""

    source: Object
    output: str


@dataclass(frozen=True)
class Split:
    """One split of one input; `number` is its place among the splits of that input, `lines` how many lines it should have.

    `inflated` splits are of objects in the staging folder, the others of the input itself. Of a `gathered` one, the rows of
    its users lie in the staging folder too.
    """

    file: int
    number: int
    range: ByteRange
    lines: float
    inflated: bool = False
    gathered: bool = False

    @property
    def key(self) -> str:
        """Begins the names of the split's pieces; ascending keys are the order of lines."""
        return f"{self.file:06d}/{self.number:06d}"


def find_inputs(input_path: str, output_path: str, access: Access) -> list[Input]:
    """All objects whose URI starts with the input path, but what a job itself leaves under the output path, and Hadoop's checksums.

    Raises:
        JobFailed: nothing matches.
    """
    folder, prefix = split_prefix(input_path)
    store = open_store(folder, access)
    own = open_store(output_path, access).root
    found = [
        each for each in store.list(prefix) if each.name == prefix or not _left_by_a_job(store.root + each.name, own)
    ]
    if not found:
        raise JobFailed(f"Invalid S3 input path: no object's name starts with {input_path}.")
    names = {each.name for each in found}
    found = [each for each in found if _checksum_of(each.name) not in names]
    common = len(_common_folder([each.name for each in found]))
    return [Input(each, each.name[common:] + OUT) for each in found]


def _common_folder(names: Sequence[str]) -> str:
    """The longest folder that all names lie in, with its slash; empty for the root."""
    first, last = min(names), max(names)
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return first[: first.rfind("/", 0, alike) + 1]


def _checksum_of(name: str) -> str | None:
    """The file that a `.NAME.crc` belongs to: Spark leaves one beside every file that it writes on a local disk."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file[1:-4]}" if file.startswith(".") and file.endswith(".crc") else None


def _left_by_a_job(uri: str, output_root: str) -> bool:
    if not uri.startswith(output_root):
        return False
    name = uri[len(output_root) :]
    return name.endswith(OUT) or name == CHECK or name.startswith(f"{STAGING}/")


def write_inputs(staging: Store, inputs: Sequence[Input]) -> None:
    """Freeze the list of inputs."""
    write_document(staging, "inputs.json", inputs)


def read_inputs(staging: Store) -> list[Input]:
    """The frozen list of inputs."""
    return read_document(staging, "inputs.json", list[Input])


def bytes_per_line(store: Store, inputs: Sequence[Input]) -> float:
    """The mean length of a line, judged by the beginning of the largest input, a plain one if there is any."""
    found = sorted((each.source for each in inputs if each.source.size), key=lambda each: (_packed(each), -each.size))
    if not found:
        return _LINE
    try:
        if _packed(found[0]):
            sample = next(blocks(store, ByteRange(found[0], 0, found[0].size)), b"")[:_SAMPLE]
        else:
            sample = store.read(found[0].name, 0, _SAMPLE, found[0].etag)
    except StorageError:  # whoever answers it will say what is wrong with it
        return _LINE
    return len(sample) / max(1, sample.count(b"\n")) or _LINE


def _packed(source: Object) -> bool:
    return compression(source.name) is not None


def bytes_per_answer(plan: Plan, line: float) -> float:
    """The length of an output line, judged by the item ids of the model; `line` is that of an input line."""
    entries = plan.job.model.open().entries
    item = entries["item_ids_json.values.npy"].rows / max(1, entries["item_ids_json.indptr.npy"].rows - 1)
    return line + _FRAME + plan.job.settings.num_results * (item + _SCORE)


def splits_of(
    files: Sequence[Sequence[Object]], inflated: Sequence[bool], line: float, answer: float, cores: int
) -> Iterator[Split]:
    """Cut every input into splits: small enough to keep all cores busy, large enough to be worth an object.

    Args:
        files: per input, the objects that hold its text, in order.
        inflated: per input, whether those lie in the staging folder.
        line: the mean bytes of a line.
        answer: the mean bytes of an answer.
        cores: how many tasks run at once.
    """
    total = sum(source.size for sources in files for source in sources) / line
    fair = min(MAX_LINES, MAX_PIECE / answer, max(_MIN_LINES, total / (TASKS_PER_CORE * cores)))
    for file, sources in enumerate(files):
        lines = sum(source.size for source in sources) / line
        # every object ends a split of its own
        target = int(max(fair, lines / max(1, MAX_PIECES + 1 - len(sources))) * line) + 1
        ranges = [each for source in sources for each in cut(source, target)]
        for number, each in enumerate(ranges):
            yield Split(file, number, each, (each.end - each.start) / line, inflated[file])


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


def write_tasks(staging: Store, attempt: int, tasks: Sequence[Sequence[Split]]) -> None:
    """Hand out the tasks of an attempt."""
    for number, splits in enumerate(tasks):
        write_document(staging, _task_name(attempt, number), splits)


def read_task(staging: Store, attempt: int, number: int) -> list[Split]:
    """The splits of one task."""
    return read_document(staging, _task_name(attempt, number), list[Split])


def _task_name(attempt: int, number: int) -> str:
    return f"tasks/{attempt}/{number:05d}.json"
