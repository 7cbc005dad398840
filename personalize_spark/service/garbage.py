"""What nothing needs any more: the staging folders of jobs that have ended, artifacts that no record names, and lists of rejected rows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.lease import RESUMABLE, reap
from personalize_spark.errors import InvalidInputException, counted
from personalize_spark.job.job import KIND, Job
from personalize_spark.job.plan import Plan
from personalize_spark.service import dataset_groups
from personalize_spark.storage.store import Store

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_FOLDERS = {"models": 3, "updates": 4, "views": 3}
"""The parts of the path of an artifact in the catalog, by where it lies."""
_REJECTED = 4
"""The same of the rows that an import rejected: `datasets/GROUP/rejected/IMPORT`."""


@dataclass(frozen=True)
class Garbage:
    """What was removed.

    Attributes:
        folders: the URIs of the folders.
        dry_run: they are still there.
    """

    folders: list[str]
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def __str__(self) -> str:
        done = "would be removed" if self.dry_run else "removed"
        return "\n".join([*self.folders, f"{counted(len(self.folders), 'folder')} {done}"])


def collect_garbage(catalog: Catalog, *, older_than: str = "7d", dry_run: bool = False) -> Garbage:
    """Remove what is left of dead jobs, the models, updates and views that no record names, and the lists of rows that old imports rejected.

    A job that could be resumed cannot be any more when its staging folder is removed. Neither what a job that runs has planned nor what
    the record of anything but an ended job names is removed.

    Args:
        catalog: holds the records.
        older_than: the age of what is removed, as `90s`, `30m`, `12h` or `7d`; what is younger may belong to somebody who still writes.
        dry_run: only tell what would be removed.

    Raises:
        InvalidInputException: `older_than` is no age.
        ArtifactError: a record is damaged; it cannot be seen what it names, so nothing is removed.
        StorageError: a folder may not be listed or removed.
    """
    match = re.fullmatch(r"([0-9]+)([smhd])", older_than)
    if match is None:
        raise InvalidInputException(f"older_than is '{older_than}': use an age such as 90s, 30m, 12h or 7d.")
    before = time.time() - int(match[1]) * _SECONDS[match[2]]
    records = list(catalog.everything())
    jobs = reap(catalog, [each for each in records if each.arn.kind == KIND])
    others = [each for each in records if each.arn.kind != KIND]
    needed = [*others, *(each for each in jobs if each.status.unfinished or RESUMABLE in each.fields)]
    orphans = [folder for folder in _artifacts(catalog, needed) if _is_old(catalog.store, folder, before)]
    ended = [each for each in jobs if not each.status.unfinished and each.fields["lastUpdatedDateTime"] < before]
    plans = [(record, Plan.of(Job.of(record), record.fields["run"])) for record in ended]
    dead = [(record, plan) for record, plan in plans if _is_old(plan.output(), plan.staging_name, before)]
    if not dry_run:
        for record, plan in dead:
            _end(catalog, record)
            plan.output().delete(plan.staging_name)
        for folder in orphans:
            catalog.store.delete(folder)
    return Garbage(
        [*(plan.staging_root for _, plan in dead), *(f"{catalog.store.root}{each}" for each in orphans)], dry_run
    )


def _is_old(store: Store, folder: str, before: float) -> bool:
    newest = store.newest(folder)
    return newest is not None and newest < before


def _end(catalog: Catalog, record: Record) -> None:
    """From now on nobody resumes the job. Fails if somebody has begun to."""
    if RESUMABLE in record.fields:
        reason = "Its driver is gone, and what it had answered was removed. Create it again under a new name."
        catalog.update(record, failureReason=reason, **{RESUMABLE: None})


def _artifacts(catalog: Catalog, needed: Iterable[Record]) -> Iterator[str]:
    """The folders that no record names; by their end, since a catalog may be reached under several URIs."""
    named = [text for record in needed for text in _texts(record.fields)]
    groups = (each.arn.name for each in needed if each.arn.kind == dataset_groups.KIND)
    rejected = ((f"datasets/{group}/rejected", _REJECTED) for group in groups)
    for top, parts in [*_FOLDERS.items(), *rejected]:
        names = (found.name.split("/") for found in catalog.store.list(f"{top}/"))
        for folder in dict.fromkeys("/".join(name[:parts]) for name in names if len(name) > parts):
            if not any(text.rstrip("/").endswith(f"/{folder}") for text in named):
                yield f"{folder}/"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
