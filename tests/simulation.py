"""A world of a seed: drivers as threads that take turns at each call to a store in memory, which fails, and a clock of its own.

Only one thread runs at a time, and the seed decides which one, for how long, what fails and who dies: the same seed is the same story.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, BinaryIO, Self, TypeVar

import orjson

from personalize_spark.errors import ObjectChanged, ObjectExists, ObjectNotFound, StorageError, TaskFailed
from personalize_spark.job.executor import Work
from personalize_spark.job.splits import Split
from personalize_spark.storage.store import Access, Object, Store

T = TypeVar("T")

ROOT = "/simulated/"
SEEDS = int(os.environ.get("SIMULATED_JOBS", "60"))
_LONGEST_TURN = 30
_LATE = 5.0
"""Seconds of a list that is late."""
_MAX_DEATHS = 4
"""Of a task."""


class Killed(BaseException):
    """What a process would see of its own SIGKILL, if it could."""


@dataclass
class Actor:
    """A process of the world.

    Attributes:
        name: what a message calls it.
        act: what it does.
        rate: the share of its calls to a store that fail.
        left: its calls until it dies; `None`: it does not.
        task_left: the same of the task that it runs.
        awake: its calls until it falls asleep for hours, of which it has no idea; `None`: it does not.
        raised: what ended it.
    """

    name: str
    act: Callable[[], object]
    rate: float = 0.0
    left: int | None = None
    task_left: int | None = None
    awake: int | None = None
    raised: BaseException | None = None
    turn: int = 0
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: bool = False


class World:
    """Objects by path, a clock, and who acts.

    Args:
        seed: of all that happens by chance.
        whole: by the end of a path the bytes that an output must have whenever it is there.
    """

    def __init__(self, seed: int, whole: dict[str, bytes]) -> None:
        self.dice, self.whole = random.Random(seed), whole
        self.objects: dict[str, tuple[bytes, str, float]] = {}
        self._born: dict[str, float] = {}
        self._gone: dict[str, tuple[bytes, str, float]] = {}
        self.histories: dict[str, list[dict[str, Any]]] = {}
        """Of records: what they said, one after the other."""
        self.now = time.time()
        self.clock: Any = SimpleNamespace(
            time=lambda: self.now, monotonic=lambda: self.now, sleep=self.sleep, perf_counter=lambda: self.now
        )
        self._writes = 0
        self._actors: dict[int, Actor] = {}
        self._done = threading.Semaphore(0)

    def store(self, folder: str) -> Memory:
        """The store of a folder."""
        return Memory(self, folder)

    def run(self, actors: Sequence[Actor]) -> None:
        """Let them take turns until all have ended."""
        threads = [threading.Thread(target=self._live, args=(actor,), daemon=True) for actor in actors]
        for each in threads:
            each.start()
        while alive := [actor for actor in actors if not actor.ended]:
            actor = self.dice.choice(alive)
            actor.turn = self.dice.randint(1, _LONGEST_TURN)
            actor.go.release()
            self._done.acquire()
        for each in threads:
            each.join()

    def _live(self, actor: Actor) -> None:
        self._actors[threading.get_ident()] = actor
        actor.go.acquire()
        try:
            actor.act()
        except BaseException as error:  # noqa: BLE001  # whatever it was, the test looks at it
            actor.raised = error
        del self._actors[threading.get_ident()]
        actor.ended = True
        self._done.release()

    def sleep(self, seconds: float) -> None:
        """Let time pass, and others act."""
        self.now += seconds
        if actor := self._actors.get(threading.get_ident()):
            self._give_way(actor)

    def _give_way(self, actor: Actor) -> None:
        self._done.release()
        actor.go.acquire()

    def call(self, effect: Callable[[], T]) -> T:
        """Have an effect on the objects; of somebody who acts it may fail or be the last one, before or after it."""
        self.now += 0.01
        actor = self._actors.get(threading.get_ident())
        if actor is None:
            return effect()
        actor.turn -= 1
        if actor.turn < 0:
            self._give_way(actor)
        if actor.awake is not None:
            actor.awake -= 1
            for _ in range(self.dice.randint(1, 8) if actor.awake == 0 else 0):
                self.sleep(10_000)
        late = self.dice.random() < 0.5
        fate = self._fate(actor)
        if fate is not None and not late:
            raise fate
        result = effect()
        if fate is not None:
            raise fate
        return result

    def _fate(self, actor: Actor) -> BaseException | None:
        if actor.left is not None:
            actor.left -= 1
        if actor.left is not None and actor.left <= 0:
            return Killed()
        if actor.task_left is not None:
            actor.task_left -= 1
        if actor.task_left is not None and actor.task_left <= 0:
            return Killed()
        return StorageError("The storage does not answer.") if self.dice.random() < actor.rate else None

    def written(self, path: str, data: bytes) -> str:
        """Put an object; an output must be whole."""
        for name, whole in self.whole.items():
            assert not path.endswith(name) or data == whole, f"{path} is not whole"
        self._writes += 1
        self._born.setdefault(path, self.now)
        self.objects[path] = data, f"{self._writes}", self.now
        if "/records/" in path:
            self.histories.setdefault(path, []).append(orjson.loads(data))
        return f"{self._writes}"

    def deleted(self, path: str) -> None:
        """Delete an object, if it is there."""
        if path in self.objects:
            self._gone[path] = *self.objects.pop(path)[:2], self.now

    def listed(self, start: str) -> list[tuple[str, bytes, str]]:
        """What a list shows: of staging folders one in ten is late, shows nothing that was just written, and what was just deleted."""
        late, there = self.now, self.objects
        if threading.get_ident() in self._actors and "/_staging/" in start and self.dice.random() < 0.1:
            late -= _LATE
            there = there | {path: gone for path, gone in self._gone.items() if gone[2] > late}
        found = ((path, *there[path][:2]) for path in sorted(there) if path.startswith(start))
        return [each for each in found if self._born[each[0]] <= late]

    def task_of(self, work: Callable[[], T]) -> T:
        """Run a task of the process that acts: one in ten dies, and is run again."""
        actor = self._actors.get(threading.get_ident())
        if actor is None:
            return work()
        for _ in range(_MAX_DEATHS):
            actor.task_left = self.dice.randint(1, 12) if self.dice.random() < 0.1 else None
            try:
                return work()
            except Killed:
                if actor.left is not None and actor.left <= 0:
                    raise
            finally:
                actor.task_left = None
        raise TaskFailed("A worker process was killed, 4 times in the same task.")


class Memory:
    """A store of a world; versions and etags are numbers that never come again."""

    access = Access()

    def __init__(self, world: World, folder: str) -> None:
        self._world, self._folder = world, f"{folder.rstrip('/')}/"
        self.root = f"file://{self._folder}"

    def at(self, folder: str) -> Memory:
        """See `Store.at`."""
        return Memory(self._world, self._folder + folder)

    def list(self, prefix: str = "") -> Iterator[Object]:
        """See `Store.list`."""
        start, cut = self._folder + prefix, len(self._folder)
        return iter(
            self._world.call(
                lambda: [Object(path[cut:], len(data), etag) for path, data, etag in self._world.listed(start)]
            )
        )

    def newest(self, prefix: str) -> float | None:
        """See `Store.newest`."""
        start = self._folder + prefix
        return self._world.call(
            lambda: max(
                (age for path, (_, _, age) in self._world.objects.items() if path.startswith(start)), default=None
            )
        )

    def read(self, name: str, start: int = 0, end: int | None = None, etag: str | None = None) -> bytes:
        """See `Store.read`."""
        return self._world.call(lambda: self._read(name, etag)[start:end])

    def _read(self, name: str, etag: str | None) -> bytes:
        data, there = self._there(name)
        if etag not in {None, there}:
            raise ObjectChanged(f"{self.root}{name} has changed.")
        return data

    def _there(self, name: str) -> tuple[bytes, str]:
        try:
            return self._world.objects[self._folder + name][:2]
        except KeyError:
            raise ObjectNotFound(f"{self.root}{name} does not exist.") from None

    def write(self, name: str, data: bytes) -> str:
        """See `Store.write`."""
        return self._world.call(lambda: self._world.written(self._folder + name, data))

    def upload(self, name: str, source: BinaryIO) -> str:
        """See `Store.upload`."""
        source.seek(0)
        return self.write(name, source.read())

    def load(self, name: str) -> tuple[bytes, str]:
        """See `Store.load`."""
        return self._world.call(lambda: self._there(name))

    def create(self, name: str, data: bytes) -> str:
        """See `Store.create`."""

        def created() -> str:
            if self._folder + name in self._world.objects:
                raise ObjectExists(f"{self.root}{name} exists.")
            return self._world.written(self._folder + name, data)

        return self._world.call(created)

    def replace(self, name: str, data: bytes, version: str) -> str:
        """See `Store.replace`."""

        def replaced() -> str:
            if self._there(name)[1] != version:
                raise ObjectChanged(f"{self.root}{name} has changed.")
            return self._world.written(self._folder + name, data)

        return self._world.call(replaced)

    def compose(self, name: str, source: Store, pieces: Iterable[Object]) -> str:
        """See `Store.compose`."""
        assert isinstance(source, Memory)
        data = b"".join(source.read(piece.name, etag=piece.etag) for piece in pieces)
        return self.write(name, data)

    def delete(self, prefix: str) -> None:
        """See `Store.delete`; objects go one by one."""
        for found in list(self.list(prefix)):
            self._world.call(lambda found=found: self._world.deleted(self._folder + found.name))  # type: ignore[misc]


class Here:
    """An executor in the thread of its driver; its tasks die by themselves, and with it."""

    cores, retries, here = 2, 0, False

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self, staging: Store, tasks: int, work: Work) -> list[str]:
        """As `Executor.run`."""
        return [
            failure
            for number in range(tasks)
            for failure in self._world.task_of(lambda number=number: list(work(staging, number)))  # type: ignore[misc]
        ]

    def stop(self) -> None:
        """As `Executor.stop`."""

    def gather(self, staging: Store, splits: Sequence[Split]) -> list[Split]:
        """As `Executor.gather`."""
        del staging
        return list(splits)


class Later:
    """In place of a pool of threads: what is handed in is done when it is asked for, and at the end at the latest."""

    def __init__(self, _: int = 0) -> None:
        self._promised: list[Promise] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.shutdown()

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Promise:
        """See `concurrent.futures.Executor.submit`."""
        promise = Promise(lambda: work(*arguments))
        self._promised.append(promise)
        return promise

    def map(self, work: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
        """See `concurrent.futures.Executor.map`."""
        return [work(*each) for each in zip(*arguments, strict=False)]

    def shutdown(self) -> None:
        """See `concurrent.futures.Executor.shutdown`."""
        for each in self._promised:
            each.settle()


class Promise:
    """In place of a future."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work, self._error, self._result = work, None, None
        self._settled = False

    def settle(self) -> None:
        """Do it, if it is not done."""
        if not self._settled:
            self._settled = True
            try:
                self._result = self._work()
            except Exception as error:  # noqa: BLE001  # as a future does
                self._error = error  # type: ignore[assignment]

    def done(self) -> bool:
        """See `concurrent.futures.Future.done`."""
        self.settle()
        return True

    def result(self) -> Any:
        """See `concurrent.futures.Future.result`."""
        self.settle()
        if self._error is not None:
            raise self._error
        return self._result
