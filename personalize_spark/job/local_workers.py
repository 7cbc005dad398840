"""The processes of `local_executor`: a foreman, and the workers that it forks.

The foreman imports what tasks need and has a single thread, so that it may fork. It reads stages from the driver, a line of JSON
each, hands their tasks to its workers, and answers with how the stage ended. Whoever loses the driver ends.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any, NoReturn

import msgspec

from personalize_spark.job.executor import Ended, carry_out
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Access, Store

MAX_DEATHS = 4
"""As often as Spark tries a task."""


class Stage(msgspec.Struct):
    """Work for 0, 1, ... tasks - 1: the function `module:name` gets the arguments, the staging folder and the number."""

    staging: str
    access: Access
    tasks: int
    function: str
    arguments: list[Any]


class _Order(msgspec.Struct):
    stage: Stage
    number: int


def main(cores: int) -> NoReturn:
    """Be the foreman of so many workers; the driver's socket is the standard input."""
    sys.meta_path.insert(0, _NoPandas())
    import_module("personalize_spark.job.run")
    gc.collect()
    gc.freeze()  # what is imported by now is no garbage, and workers share its pages
    control = socket.socket(fileno=0)
    crew: list[_Worker] = []
    for line in control.makefile("rb"):
        ended = _run(msgspec.json.decode(line, type=Stage), control, crew, cores)
        control.sendall(msgspec.json.encode(ended) + b"\n")
    _end_all()


class _NoPandas(MetaPathFinder):
    """pyarrow imports pandas where there is one, which takes a quarter of a second; no task needs it."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        """Hide it."""
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


def ending(code: int) -> str:
    """How a process ended, by its return code: `was killed by signal 9 (SIGKILL)`."""
    return f"was killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exited with status {code}"


class _Worker:
    """The foreman's end of a worker."""

    def __init__(self, siblings: Sequence[_Worker]) -> None:
        self._socket, theirs = socket.socketpair()
        self._replies = self._socket.makefile("rb")
        self.task: int | None = None
        with theirs:
            self._pid = os.fork()
            if self._pid == 0:
                for each in (self, *siblings):  # else they would not notice the end of the foreman
                    each._close()
                _work(theirs)

    def fileno(self) -> int:
        """For `select`: readable when the worker has answered, or died."""
        return self._socket.fileno()

    def order(self, stage: Stage, number: int) -> None:
        """Give it a task."""
        self.task = number
        try:
            self._socket.sendall(msgspec.json.encode(_Order(stage, number)) + b"\n")
        except OSError:  # it died while it was idle, which its answer will tell
            return

    def answer(self) -> Ended | str:
        """How its task ended, or how itself."""
        try:
            reply = self._replies.readline()
        except ConnectionResetError:  # it died before it read its order
            reply = b""
        if reply.endswith(b"\n"):
            self.task = None
            return msgspec.json.decode(reply, type=Ended)
        self._close()
        return ending(os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1]))

    def _close(self) -> None:
        self._replies.close()
        self._socket.close()


def _run(stage: Stage, control: socket.socket, crew: list[_Worker], cores: int) -> Ended:
    """Run one stage; a task whose worker dies is run again. A task that fails does not keep the others from being run."""
    waiting, deaths, ended = list(reversed(range(stage.tasks))), Counter[int](), Ended([])
    while waiting or any(worker.task is not None for worker in crew):
        while len(crew) < min(cores, stage.tasks):
            crew.append(_Worker(crew))
        for worker in crew:
            if worker.task is None and waiting:
                worker.order(stage, waiting.pop())
        for worker in _ready(control, crew):
            task, answer = worker.task, worker.answer()
            if isinstance(answer, Ended):
                ended.failures += answer.failures
                ended.died = ended.died or answer.died
                ended.retries += answer.retries
                continue
            crew.remove(worker)
            if task is None:
                continue
            deaths[task] += 1
            if deaths[task] < MAX_DEATHS:
                waiting.append(task)
            else:
                ended.died = ended.died or f"A worker process {answer}, {MAX_DEATHS} times in the same task."
    return ended


def _ready(control: socket.socket, crew: Sequence[_Worker]) -> list[_Worker]:
    sources: list[Any] = [control, *crew]
    ready, _, _ = select.select(sources, [], [])
    if control in ready:  # the driver says nothing during a stage: it is gone
        _end_all()
    return ready


def _end_all() -> NoReturn:
    os.killpg(0, signal.SIGKILL)
    raise AssertionError


def _work(orders: socket.socket) -> NoReturn:
    """Be a worker: carry out orders until there is no foreman any more."""
    try:
        with orders.makefile("rwb") as stream:
            for line in stream:
                stream.write(msgspec.json.encode(_carry_out(msgspec.json.decode(line, type=_Order))) + b"\n")
                stream.flush()
    finally:
        os._exit(1)


def _carry_out(order: _Order) -> Ended:
    stage = order.stage
    module, _, name = stage.function.partition(":")

    def work(staging: Store, number: int) -> Iterable[str]:
        found: Callable[..., Iterable[str]] = getattr(import_module(module), name)
        return found(*stage.arguments, staging, number)

    return carry_out(work, open_store(stage.staging, stage.access), order.number)
