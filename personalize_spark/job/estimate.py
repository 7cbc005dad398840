"""What a job will take, before it runs: its lines are counted or sampled, and the job is carried out on some of them for two seconds.

    seconds = start + lines / (lines a second of a core * cores)

`start` is what the first lines take longer, that of the processes among it. Spark's own start is not in it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from threading import Event, Thread

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import InvalidInputException
from personalize_spark.job.byte_ranges import ByteRange, blocks, compressed
from personalize_spark.job.inputs import Input
from personalize_spark.job.job import Job
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.report import Report
from personalize_spark.job.run import run_job
from personalize_spark.job.splits import mean_answer_bytes
from personalize_spark.storage.location import open_store, split_prefix
from personalize_spark.storage.store import Access, Object, Store

_COUNTED = 64 << 20
"""Bytes of inputs that are counted; of more, as many are read in as many places."""
_PLACES, _PLACE = 64, 1 << 20
_SAMPLE, _LINE = 50_000, 40
_CALIBRATION_SECONDS = 2.0
_FIRST, _TIMES, _ROUNDS = 1_000, 10, 4
"""Lines of the first round, and how many times as many the next one has."""
_WORKER = 200 << 20
"""Bytes of a worker that it shares with no other, at the most (docs/sizing.md), where none was looked at."""
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Estimate:
    """What a job will take.

    Attributes:
        lines: of all inputs.
        lines_counted: whether they were counted; else they are judged by a sample.
        cores: that work side by side.
        lines_per_second: of one core.
        seconds: until the outputs are there, without the start of Spark.
        core_hours: of that time, of all cores.
        output_bytes: of all outputs; a file system holds them twice for a moment.
        memory_bytes: of a host with that many cores, without a JVM.
        disk_bytes: what a host's cache takes for the model; 0 where the catalog lies on its disk.
    """

    lines: int
    lines_counted: bool
    cores: int
    lines_per_second: float
    seconds: float
    core_hours: float
    output_bytes: int
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class _Text:
    """The lines of all inputs: their number, whether it is counted, their mean length in bytes, and some of them."""

    lines: int
    counted: bool
    mean: float
    sample: Sequence[bytes]


@dataclass(frozen=True)
class _Measured:
    """One core: lines a second, the bytes of an answer, seconds until the first answers, and a worker's bytes at their highest."""

    rate: float
    answer_bytes: float
    start: float
    worker: float = _WORKER


def estimate(job: Job, inputs: Sequence[Input], cores: int | None = None, rate: float | None = None) -> Estimate:
    """Estimate a job.

    Args:
        job: checked, not created.
        inputs: of the job.
        cores: that will work side by side; those of this machine if left out.
        rate: lines a second of one core, if it is known; else this machine measures its own.

    Raises:
        InvalidInputException: `cores` or `rate` is not above 0.
        StorageError: an input or the model cannot be read.
    """
    cores = (os.cpu_count() or 1) if cores is None else cores
    if cores <= 0 or (rate is not None and not 0 < rate < float("inf")):
        raise InvalidInputException("Cores and lines a second must be above 0.")
    text = _text_of(open_store(split_prefix(job.input_path)[0], job.access), [each.source for each in inputs])
    measured = _measured(job, text) if rate is None else _Measured(rate, mean_answer_bytes(job, text.mean), 0.0)
    seconds = measured.start + text.lines / (measured.rate * cores)
    size = sum(
        entry.size
        for pinned in (job.model, job.update, job.view, job.themes)
        if pinned is not None
        for entry in pinned.open().entries.values()
    )
    local = open_store(job.model.uri).root.startswith("file:")
    return Estimate(
        text.lines,
        text.counted,
        cores,
        round(measured.rate, 1),
        round(seconds, 1),
        round(seconds * cores / 3600, 4),
        round(text.lines * measured.answer_bytes),
        round(cores * measured.worker) + size,
        0 if local else size,
    )


def _text_of(store: Store, sources: Sequence[Object]) -> _Text:
    packed = [each for each in sources if each.size and compressed(store, each)]
    plain = [each for each in sources if each.size and each not in packed]
    parts = [_read(store, plain, [*_places(plain)]), _read(store, packed, [*_first(packed)])]
    lines, size = sum(each.lines for each in parts), sum(each.lines * each.mean for each in parts)
    sample = [line for each in parts for line in each.sample]
    return _Text(lines, all(each.counted for each in parts), size / lines if lines else _LINE, sample)


def _read(store: Store, sources: Sequence[Object], ranges: Sequence[ByteRange]) -> _Text:
    """The lines of some objects, judged by these ranges of them."""
    lines, size, sample = 0, 0, list[bytes]()
    for each in ranges:
        for block in blocks(store, each):
            lines, size = lines + block.count(b"\n") + (not block.endswith(b"\n")), size + len(block)
            if len(sample) < _SAMPLE:
                sample.extend(islice(block.removesuffix(b"\n").split(b"\n"), _SAMPLE // len(ranges) + 1))
    seen, there = sum(each.end - each.start for each in ranges), sum(each.size for each in sources)
    return _Text(round(lines * there / max(1, seen)), seen >= there, size / max(1, lines), sample)


def _places(sources: Sequence[Object]) -> Iterator[ByteRange]:
    """All of the objects where that is little, else pieces of them at equal distances."""
    total = sum(each.size for each in sources)
    if total <= _COUNTED:
        yield from (ByteRange(each, 0, each.size) for each in sources)
        return
    step, next_one, behind = total / _PLACES, 0.0, 0
    for each in sources:
        while next_one < behind + each.size:
            start = int(next_one) - behind
            yield ByteRange(each, start, min(start + _PLACE, each.size))
            next_one += step
        behind += each.size


def _first(packed: Sequence[Object]) -> Iterator[ByteRange]:
    """The smallest compressed objects, one at least: how many lines a stored byte holds is judged by them."""
    size = 0
    for each in sorted(packed, key=lambda each: each.size):
        if size == 0 or size + each.size <= _COUNTED:
            yield ByteRange(each, 0, each.size)
        size += each.size


def _measured(job: Job, text: _Text) -> _Measured:
    """Carry out the job itself on a sample, on all cores of this machine, into a folder that goes.

    Each round has more lines than the one before: the difference is what lines take, and the rest is what a job takes to begin.
    """
    with tempfile.TemporaryDirectory() as folder, LocalExecutor() as executor, measuring(executor.memory) as memory:
        rounds: list[Report] = []
        tried = min(_FIRST, text.lines)
        while len(rounds) < 2 or _more(rounds)[1] < _CALIBRATION_SECONDS:
            rounds.append(_tried(job, text.sample, tried, Path(folder, str(len(rounds))), executor))
            if tried == text.lines or len(rounds) == _ROUNDS:
                break
            tried = min(tried * _TIMES, text.lines)
        first, last = rounds[0], rounds[-1]
        lines, seconds = _more(rounds) if len(rounds) > 1 else (last.lines, _answering(last))
        if seconds <= 0:  # the machine was busy with something else in the round before
            lines, seconds = last.lines, _answering(last)
        rate = max(1, lines) / max(1e-3, seconds)
        start = max(0.0, first.seconds - first.lines / rate)
        worker = max(memory) / executor.cores or _WORKER
        return _Measured(rate / executor.cores, last.bytes / max(1, last.lines), start, worker)


@contextmanager
def measuring(measure: Callable[[], int]) -> Iterator[list[int]]:
    """Measure something again and again while other work goes on; the first of the figures is 0."""
    looks, ended = [0], Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            looks.append(measure())

    looking = Thread(target=look)
    looking.start()
    try:
        yield looks
    finally:
        ended.set()
        looking.join()


def _more(rounds: Sequence[Report]) -> tuple[int, float]:
    """How many lines the last round had more than the one before, and how many seconds they took."""
    before, last = rounds[-2:]
    return last.lines - before.lines, _answering(last) - _answering(before)


def _answering(report: Report) -> float:
    return report.seconds - report.start_seconds


def _tried(job: Job, sample: Sequence[bytes], lines: int, folder: Path, executor: LocalExecutor) -> Report:
    """The report of the job on so many lines of the sample."""
    (folder / "in").mkdir(parents=True)
    with (folder / "in" / "sample.json").open("wb") as file:
        file.writelines(line + b"\n" for line in islice(cycle(sample), lines))
    places = {
        "jobInput": {"s3DataSource": {"path": (folder / "in").as_uri() + "/"}},
        "jobOutput": {"s3DataDestination": {"path": (folder / "out").as_uri() + "/"}},
    }
    extensions = replace(job.extensions, also_parquet=None)
    trial = replace(job, request={**job.request, **places}, access=Access(), extensions=extensions, theme_model=None)
    trial = replace(trial, errors_to=None, report_files=False, tolerated_failures=None, only=None, old=None)
    catalog = Catalog(folder / "catalog")
    return run_job(executor, catalog, trial.create(catalog), lambda _: None)
