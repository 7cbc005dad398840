"""From pieces to outputs: every `.out` is composed whole, in the order of its input, or is not there."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from personalize_spark.errors import JobFailed, PersonalizeSparkError, TaskFailed
from personalize_spark.job.attempts import Ledger
from personalize_spark.job.executor import Executor
from personalize_spark.job.inputs import ERRORS, OUT, PARQUET, Input
from personalize_spark.job.plan import Plan
from personalize_spark.job.task import Piece
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.store import Object, Store

_WRITERS = 8
_FILES_PER_TASK = 500
_POLL_SECONDS = 1.0
_Output = tuple[str, str, list[Object]]
"""What an output is, one of the suffixes of `job.inputs`, its name, and the objects that it is composed of, in order."""


class Publisher:
    """The outputs of a job: the largest grow while their splits are answered, the others are composed by tasks at the end.

    Used as a context manager around the attempts. No output appears before `publish`; without it, none does.
    """

    def __init__(self, executor: Executor, plan: Plan, inputs: Sequence[Input], ledger: Ledger) -> None:
        self._executor, self._plan, self._inputs, self._ledger = executor, plan, inputs, ledger
        self._output = plan.output()
        self._keys: dict[int, list[str]] = {number: [] for number in range(len(inputs))}
        for split in ledger.splits:
            self._keys[split.file].append(split.key)
        self._growing: dict[int, Future[Object | str | None]] = {}
        self._granted = False
        self._decided = threading.Event()
        self._pool = ThreadPoolExecutor(_WRITERS)

    def __enter__(self) -> Self:
        # each of them holds a thread until the end
        for number in sorted(self._keys, key=lambda number: -self._inputs[number].source.size)[:_WRITERS]:
            pieces = self._pieces(self._keys[number])
            self._growing[number] = self._pool.submit(
                _compose, self._output, self._ledger.staging, self._inputs[number].output, pieces
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._decided.set()
        self._pool.shutdown()

    def publish(self) -> dict[str, Object]:
        """Let the outputs appear whose every split has a piece.

        Returns:
            By its name, each `.out` as it was written.

        Raises:
            JobFailed: an output could not be written.
        """
        self._granted = True
        self._decided.set()
        try:
            outputs = [*self._others(), *self._errors(), *self._parquet()]
            written, failures = _compose_in_tasks(self._executor, self._ledger.staging, outputs)
        except TaskFailed as error:
            raise JobFailed(error.message) from error
        for growing in self._growing.values():
            _sort(growing.result(), written, failures)
        if failures:
            raise JobFailed(failures[0])
        return {each.name: each for each in written}

    def _pieces(self, keys: Sequence[str]) -> Iterator[Object]:
        """The objects of the splits in their order, as they are finished; ends when the output may appear."""
        pieces = self._ledger.pieces
        for key in keys:
            while key not in pieces and not self._decided.wait(_POLL_SECONDS):
                pass
            if key not in pieces:
                raise _NotToAppear
            yield from pieces[key].objects()
        self._decided.wait()
        if not self._granted:
            raise _NotToAppear

    def _others(self) -> Iterator[_Output]:
        """The outputs that do not grow and whose every split has a piece, each with its objects in order."""
        for number, pieces in self._finished():
            if number not in self._growing:
                yield OUT, self._inputs[number].output, _objects(pieces)

    def _errors(self) -> Iterator[_Output]:
        """The error lines of all inputs, where they are apart."""
        if self._plan.job.errors_to is not None:
            for number, pieces in self._finished():
                yield ERRORS, self._inputs[number].errors, [piece.apart for piece in pieces if piece.apart is not None]

    def _parquet(self) -> Iterator[_Output]:
        """The outputs as Parquet, where they are asked for."""
        if self._plan.job.extensions.also_parquet is not None:
            for number, pieces in self._finished():
                yield PARQUET, self._inputs[number].parquet, _objects(pieces)

    def _finished(self) -> Iterator[tuple[int, list[Piece]]]:
        """The inputs whose every split has a piece, each with its pieces in order."""
        pieces = self._ledger.pieces
        for number, keys in self._keys.items():
            if all(key in pieces for key in keys):
                yield number, [pieces[key] for key in keys]


def _objects(pieces: Iterable[Piece]) -> list[Object]:
    return [each for piece in pieces for each in piece.objects()]


class _NotToAppear(Exception):  # no error: the output was given up
    pass


def _compose(output: Store, staging: Store, name: str, pieces: Iterable[Object]) -> Object | str | None:
    """The output as it was written, or why it was not; nothing of one that was given up."""
    size = 0

    def counted() -> Iterator[Object]:
        nonlocal size
        for each in pieces:
            size += each.size
            yield each

    try:
        etag = output.compose(name, staging, counted())
    except _NotToAppear:
        return None
    except PersonalizeSparkError as error:
        return error.message
    return Object(name, size, etag)


def _sort(composed: Object | str | None, written: list[Object], failures: list[str]) -> None:
    if isinstance(composed, Object):
        written.append(composed)
    elif composed is not None:
        failures.append(composed)


def _compose_in_tasks(executor: Executor, staging: Store, outputs: Sequence[_Output]) -> tuple[list[Object], list[str]]:
    """What was written, and the failures."""
    if not outputs:
        return [], []
    tasks = min(len(outputs), max(executor.cores, -(-len(outputs) // _FILES_PER_TASK)))
    parts = defaultdict[int, list[_Output]](list)
    for number, each in enumerate(outputs):
        parts[number % tasks].append(each)
    for number, part in parts.items():
        write_document(staging, _part(number), part)
    failures = executor.run(staging, tasks, _compose_part)
    return [each for number in parts for each in read_document(staging, _written_of(number), list[Object])], failures


def _compose_part(staging: Store, number: int) -> Iterator[str]:
    plan = Plan.read(staging)
    stores = {OUT: plan.output(), ERRORS: plan.errors() or plan.output()}
    part = read_document(staging, _part(number), list[_Output])
    with ThreadPoolExecutor(_WRITERS) as pool:
        composing = [
            pool.submit(_compose, stores[kind], staging, name, pieces) for kind, name, pieces in part if kind in stores
        ]
    written, failures = list[Object](), list[str]()
    for each in composing:
        _sort(each.result(), written, failures)
    write_document(staging, _written_of(number), written)
    yield from failures
    yield from _written(plan, staging, [each for each in part if each[0] == PARQUET])


def _written(plan: Plan, staging: Store, outputs: Sequence[_Output]) -> Iterator[str]:
    """Write outputs as Parquet, one after the other; yields the failures."""
    store = plan.parquet()
    if store is None or not outputs:
        return
    from personalize_spark.job.parquet import write_parquet  # costs 0.1 s

    for _, name, pieces in outputs:
        try:
            write_parquet(plan.job, staging, store, name, pieces)
        except PersonalizeSparkError as error:
            yield error.message


def _part(number: int) -> str:
    return f"publish/{number:05d}.json"


def _written_of(number: int) -> str:
    return f"publish/{number:05d}-written.json"
