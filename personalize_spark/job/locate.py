"""The stage before the tasks of a job that answers another one's error lines again: where each split's old answers lie."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, pairwise

from personalize_spark.errors import JobFailed, ObjectChanged, ObjectNotFound, PersonalizeSparkError
from personalize_spark.job.byte_ranges import ByteRange
from personalize_spark.job.executor import Executor
from personalize_spark.job.inputs import Input
from personalize_spark.job.job import OldAnswers
from personalize_spark.job.old_answers import OldLines
from personalize_spark.job.plan import Plan
from personalize_spark.job.splits import Split
from personalize_spark.job.task import Worker, worker_of
from personalize_spark.records import count_records
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import READ_CHUNK, Object, Store

_log = logging.getLogger(__name__)

_READERS = 8


@dataclass(frozen=True)
class _File:
    """An old output and the splits of its input, in order."""

    output: Object
    splits: list[Split]


def with_old_answers(executor: Executor, plan: Plan, inputs: Sequence[Input], splits: Sequence[Split]) -> list[Split]:
    """The splits, which know now where their old answers lie, if they have some.

    An output that somebody has replaced is left alone: its input is answered as a whole.

    Raises:
        JobFailed: there is such an output, and only its error lines are asked for.
        TaskFailed: a task died.
    """
    if plan.job.old is None:
        return [*splits]
    files, staging = defaultdict[int, list[Split]](list), plan.staging()
    for split in splits:
        files[split.file].append(split)
    there = _there(plan, plan.job.old, [inputs[number].source.name for number in files])
    old = {number: there[name] for number in files if (name := inputs[number].source.name) in there}
    several = [number for number in old if len(files[number]) > 1]
    for number in several:
        write_document(staging, _name(number), _File(old[number], files[number]))
    for failure in executor.run(staging, len(several), partial(_locate, several)) if several else []:
        if not plan.job.old.repeated:
            raise JobFailed(failure)
        _log.warning("%s", failure)
    for number, output in old.items():
        starts = _read_starts(staging, number) if number in several else [0]
        parts = [ByteRange(output, *part) for part in pairwise([*starts, output.size])]
        # no start where the output could not be read: its input is answered as a whole
        files[number] = [
            replace(split, old=part if part.start < part.end else None)
            for split, part in zip(files[number], parts, strict=bool(starts))
        ] or files[number]
    return [split for of_file in files.values() for split in of_file]


def _there(plan: Plan, old: OldAnswers, names: Sequence[str]) -> Mapping[str, Object]:
    """By the name of their input the old outputs that are as they were written."""
    store = open_store(old.folder, plan.job.access)

    def is_there(output: Object) -> bool:
        try:
            store.read(output.name, 0, 1, output.etag)
        except (ObjectChanged, ObjectNotFound) as error:
            if not old.repeated:
                raise JobFailed(
                    f"{store.root}{output.name} is not what the job wrote, so nobody knows which lines were error lines. "
                    "Without --retry-to its whole input is answered again."
                ) from error
            _log.warning("%s%s is not what the job wrote: its input is answered as a whole.", store.root, output.name)
            return False
        return True

    wanted = [name for name in names if name in old.outputs and old.outputs[name].size]
    with ThreadPoolExecutor(_READERS) as readers:
        found = readers.map(is_there, [old.outputs[name] for name in wanted])
        return {name: old.outputs[name] for name, there in zip(wanted, found, strict=True) if there}


def _locate(files: Sequence[int], staging: Store, task: int) -> Iterator[str]:
    """Write where in its old output the answers to each split of a file begin."""
    number, worker = files[task], worker_of(staging.root, staging.access)
    file, old = read_document(staging, _name(number), _File), worker.job.old
    if old is None:
        return
    store = open_store(old.folder, worker.job.access)
    try:
        found = _read_in_step(worker, store, file) if old.apart else _counted(worker, store, file)
        write_document(staging, _starts(number), [*found])
    except PersonalizeSparkError as error:
        yield error.message


def _counted(worker: Worker, store: Store, file: _File) -> Iterator[int]:
    """By line feeds: a line of the input has a line of the output."""
    output = file.output

    def lines(split: Split) -> int:
        return sum(map(count_records, worker.text(split)))

    def feeds(start: int) -> int:
        return store.read(output.name, start, start + READ_CHUNK, output.etag).count(b"\n")

    with ThreadPoolExecutor(_READERS) as readers:
        wanted = [0, *accumulate(readers.map(lines, file.splits[:-1]))]
        there = [0, *accumulate(readers.map(feeds, range(0, output.size, READ_CHUNK)))]
    for line in wanted:
        if line > there[-1]:
            yield output.size
            continue
        chunk = max(0, bisect_left(there, line) - 1)
        start, position = chunk * READ_CHUNK, 0
        text = store.read(output.name, start, start + READ_CHUNK, output.etag) if line else b""
        for _ in range(line - there[chunk]):
            position = text.index(b"\n", position) + 1
        yield start + position


def _read_in_step(worker: Worker, store: Store, file: _File) -> Iterator[int]:
    """Where error lines are apart, only what the lines say tells which of them have an answer."""
    old = OldLines(store, ByteRange(file.output, 0, file.output.size), apart=True)
    for split in file.splits:
        yield old.position
        for lines in worker.lines(worker.text(split)):
            old.left_out(lines)


def _name(number: int) -> str:
    return f"old/{number:06d}.json"


def _read_starts(staging: Store, number: int) -> list[int]:
    with suppress(ObjectNotFound):
        return read_document(staging, _starts(number), list[int])
    return []


def _starts(number: int) -> str:
    return f"old/{number:06d}-starts.json"
