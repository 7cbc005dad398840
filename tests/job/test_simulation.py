"""Several drivers on one job, in simulated worlds: they die, sleep and meet failures at any call to the storage, by a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.catalog import catalog as catalogs
from personalize_spark.catalog import lease
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.status import Status
from personalize_spark.errors import ArtifactError, JobFailed, ObjectNotFound, ServiceError, StorageError, TaskFailed
from personalize_spark.job import attempts, publish, splits, task
from personalize_spark.job.job import KIND
from personalize_spark.job.run import run_job
from personalize_spark.job.task import worker_of
from personalize_spark.service import garbage
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job, find_resumable_job
from personalize_spark.service.garbage import collect_garbage
from personalize_spark.storage import location
from personalize_spark.storage.file import FileStore
from personalize_spark.testing.toy import golden_version, request
from tests.simulation import ROOT, SEEDS, Actor, Here, Killed, Later, World

BLOCK = 20
"""Seeds of a test."""
FILES = {"one.json": 25, "sub/two.json": 13, "empty.json": 0}
OUT = [f"out/{name}.out" for name in FILES]
EXPECTED = (JobFailed, ServiceError, StorageError, TaskFailed, ArtifactError, ObjectNotFound, Killed)
"""What may end a driver."""

Create = Callable[..., World]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Create]:
    """Makes the next world of a seed: with inputs, and a catalog with a solution version."""
    version = golden_version(Catalog(tmp_path), "aws-popularity-count")  # the quickest
    fields = Catalog(tmp_path).read(version).fields
    monkeypatch.setattr(splits, "_MIN_LINES", 10)
    monkeypatch.setattr(attempts, "_WATCH_SECONDS", 3_600.0)  # no thread acts beside its driver
    monkeypatch.setattr(lease, "BEAT_SECONDS", 3_600.0)
    for module in (attempts, publish, task):
        monkeypatch.setattr(module, "ThreadPoolExecutor", Later)

    def begin(seed: int, whole: dict[str, bytes]) -> World:
        world = World(seed, whole)
        monkeypatch.setattr(
            location, "FileStore", lambda folder: world.store(folder) if folder.startswith(ROOT) else FileStore(folder)
        )
        for module in (lease, catalogs, garbage, attempts):
            monkeypatch.setattr(module, "time", world.clock)
        for name, lines in FILES.items():
            text = b"".join(b'{"userId":"u%d","n":%d}\n' % (n % 3, n) for n in range(lines))
            world.store(f"{ROOT}in").write(name, text)
        catalog(world).create(version, {name: value for name, value in fields.items() if name != "arn"})
        return world

    yield begin
    worker_of.cache_clear()


def catalog(_: World) -> Catalog:
    return Catalog(f"file://{ROOT}catalog")


def create(world: World, name: str) -> Record:
    [version] = catalog(world).list("solution", "toy")
    asked = request(version.arn, f"file://{ROOT}in/", f"file://{ROOT}out/", jobName=name, numResults=3)
    return create_batch_inference_job(catalog(world), asked)


def outputs(world: World) -> dict[str, bytes]:
    return {path.removeprefix(ROOT): data for path, (data, *_) in world.objects.items() if path.endswith(".out")}


@pytest.fixture
def whole(begin: Create) -> dict[str, bytes]:
    """The outputs of an undisturbed job."""
    world = begin(0, {})
    run_job(Here(world), catalog(world), create(world, "whole"), lambda _: None)
    assert sorted(outputs(world)) == sorted(OUT)
    return outputs(world)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_whatever_happens_to_drivers_no_line_is_lost(begin: Create, whole: dict[str, bytes], first: int) -> None:
    for seed in range(first, min(first + BLOCK, SEEDS)):
        try:
            tell(begin(seed, whole), whole)
        except BaseException as error:
            error.add_note(f"seed {seed}: SIMULATED_JOBS={seed + 1}")
            raise


def tell(world: World, whole: dict[str, bytes]) -> None:
    """The story of a job, and what must be true in it."""
    dice, record = world.dice, create(world, "job")
    active: list[str] = []

    def drive(name: str, found: Callable[[], Record]) -> None:
        run_job(Here(world), catalog(world), found(), lambda _: None)
        active.append(name)

    def resume(name: str) -> None:
        for _ in range(3):
            world.sleep(dice.choice([1, 100, 10_000]))
            try:
                drive(name, lambda: find_resumable_job(catalog(world), str(record.arn)))
            except (ServiceError, JobFailed, StorageError):
                continue
            return

    def actor(name: str, act: Callable[[], object]) -> Actor:
        dies, fails = dice.random() < 0.5, dice.random() < 0.5
        return Actor(name, act, dice.choice([0.003, 0.03]) if fails else 0.0, dice.randint(1, 120) if dies else None)

    held = catalog(world).read(record.arn)  # a record of its own for each process
    actors = [actor("first", partial(drive, "first", lambda: held))]
    actors += [actor(f"other {n}", partial(resume, f"other {n}")) for n in range(dice.randint(0, 2))]
    if dice.random() < 0.3:
        actors.append(actor("gc", lambda: collect_garbage(catalog(world), older_than="1h")))
    worker_of.cache_clear()
    world.run(actors)
    for each in actors:
        assert each.raised is None or isinstance(each.raised, EXPECTED), f"{each.name}: {each.raised!r}"
    finish(world)
    assert outputs(world) == whole
    assert len(active) <= 1, "two drivers say that they ended the job"
    for path, history in world.histories.items():
        if f"/{KIND}/" in path:
            check(history)


def finish(world: World) -> None:
    """What somebody does in the end, in peace: the job is resumed, or created again under another name."""
    for n in range(5):
        [*_, record] = sorted(catalog(world).list(KIND), key=lambda each: each.fields["creationDateTime"])
        if record.status is Status.ACTIVE:
            return
        if record.status.unfinished or lease.RESUMABLE in record.fields:
            record = find_resumable_job(catalog(world), str(record.arn))
        else:
            assert record.fields["failureReason"]
            record = create(world, f"again-{n}")
        # a driver that died with its report stored had decided: what failed then is only told
        with suppress(JobFailed) if "report" in record.fields else nullcontext():
            run_job(Here(world), catalog(world), record, lambda _: None)
    raise AssertionError("it never ends")


LEGAL = {
    (Status.PENDING, Status.IN_PROGRESS),
    (Status.PENDING, Status.FAILED),
    (Status.IN_PROGRESS, Status.IN_PROGRESS),
    (Status.IN_PROGRESS, Status.FAILED),
    (Status.IN_PROGRESS, Status.ACTIVE),
    (Status.FAILED, Status.IN_PROGRESS),
    (Status.FAILED, Status.FAILED),
}


def check(history: list[dict[str, Any]]) -> None:
    """One driver holds a record at a time, and what is ACTIVE stays as it is."""
    for before, after in pairwise(history):
        was, now = Status(before["status"]), Status(after["status"])
        assert (was, now) in LEGAL, f"{was} -> {now}"
        if was is Status.IN_PROGRESS and now is not Status.FAILED:
            assert before["owner"] == after["owner"], "two drivers at once"
