"""Jobs whose driver dies at any call to the storage, again and again, by a seed: real files, no processes, so a death costs milliseconds."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.catalog import lease
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.status import Status
from personalize_spark.job import attempts, splits
from personalize_spark.job.executor import Work
from personalize_spark.job.run import run_job
from personalize_spark.job.splits import Split
from personalize_spark.job.task import worker_of
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job, find_resumable_job
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.store import Store
from personalize_spark.testing.toy import golden_version, request

SEEDS = range(int(os.environ.get("SIMULATED_JOBS", "12")))
CALLS = ("list", "read", "write", "upload", "load", "create", "replace", "compose", "delete")
DEATHS = 6
FILES = {"in/one.json": 900, "in/sub/two.json": 400, "in/empty.json": 0}


class Killed(BaseException):
    """What a process would see of its own SIGKILL, if it could."""


class Fate:
    """Lets a driver die at a call to the storage, before or after its effect; whoever is dead has no effect any more."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.late = False

    def meet(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Make the call, if it is not the last one."""
        if self.left is None:
            return call(*arguments, **named)
        self.left -= 1
        if self.left == 0 and self.late:
            call(*arguments, **named)
        if self.left <= 0:
            raise Killed
        return call(*arguments, **named)


class HereExecutor:
    """Runs tasks one after the other in this process."""

    cores = 2

    def run(self, staging: Store, tasks: int, work: Work) -> list[str]:
        """As `Executor.run`."""
        return [failure for number in range(tasks) for failure in work(staging, number)]

    def gather(self, staging: Store, splits: Sequence[Split]) -> list[Split]:
        """As `Executor.gather`."""
        del staging
        return list(splits)


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fate]:
    fate = Fate()
    for name in CALLS:
        call = getattr(FileStore, name)

        def met(store: FileStore, *arguments: Any, _call: Callable[..., Any] = call, **named: Any) -> Any:
            return fate.meet(_call, store, *arguments, **named)

        monkeypatch.setattr(FileStore, name, met)
    monkeypatch.setattr(splits, "_MIN_LINES", 100)
    monkeypatch.setattr(attempts, "_WATCH_SECONDS", 3_600.0)  # no other thread meets the fate
    monkeypatch.setattr(lease, "BEAT_SECONDS", 3_600.0)
    yield fate
    fate.left = None
    worker_of.cache_clear()


def outputs(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.out")}


def revived(catalog: Catalog, record: Record, monkeypatch: pytest.MonkeyPatch) -> Record:
    """The record for the next driver, which watches it first: much faster than in life."""
    with monkeypatch.context() as faster:
        faster.setattr(lease, "BEAT_SECONDS", 0.001)
        return find_resumable_job(catalog, str(record.arn))


@pytest.mark.parametrize("seed", SEEDS)
def test_whenever_a_driver_dies_the_next_one_ends_with_the_same_bytes(
    seed: int, fate: Fate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, catalog = random.Random(seed), Catalog(f"file://{tmp_path}/catalog")
    for name, lines in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("".join(f'{{"userId":"u{n % 3}","n":{n}}}\n' for n in range(lines)))
    version = golden_version(catalog)

    def create(output: str) -> Record:
        asked = request(version, f"file://{tmp_path}/in/", f"file://{tmp_path}/{output}/", jobName=output)
        return create_batch_inference_job(catalog, asked)

    run_job(HereExecutor(), catalog, create("whole"), lambda _: None)
    whole, record, deaths = outputs(tmp_path / "whole"), create("out"), 0
    while True:
        fate.left, fate.late = dice.randint(1, 70) if deaths < DEATHS else None, dice.random() < 0.5
        worker_of.cache_clear()
        try:
            run_job(HereExecutor(), catalog, record, lambda _: None)
        except Killed:
            deaths += 1
        else:
            break
        finally:
            fate.left = None
        seen = outputs(tmp_path / "out")
        assert seen == {name: whole[name] for name in seen}, "an output is not whole"
        record = catalog.read(record.arn)
        if record.status is Status.ACTIVE:  # it died behind its last word
            break
        record = revived(catalog, record, monkeypatch)
    assert outputs(tmp_path / "out") == whole
    assert catalog.read(record.arn).status is Status.ACTIVE
    left = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {name for name in left if "unfinished~" not in name} == {"_CHECK", *whole}
