"""What a job pins, sent along with a query of Spark to tasks that cannot read the catalog.

One archive for each session and each set of artifacts; Spark unpacks it once on each host:

    model/  update/  view/      the artifacts, file by file
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from personalize_spark.artifacts.artifact import MANIFEST, Pinned
from personalize_spark.errors import EnvironmentProblem
from personalize_spark.job.job import Job

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_sent: WeakKeyDictionary[SparkSession, dict[tuple[str, ...], Path]] = WeakKeyDictionary()
_folder: list[tempfile.TemporaryDirectory[str]] = []
"""Holds the archives until the process ends: Spark without Connect fetches them when the first task of a host needs them."""


def ship(spark: SparkSession, job: Job) -> str:
    """Send the artifacts of a job to the tasks of a session, once; gives the name that `shipped` asks for.

    Raises:
        ArtifactError: an artifact is unfinished or damaged.
        EnvironmentProblem: the session takes no files: it is of Spark 3.5, without Connect.
    """
    of_session = _sent.setdefault(spark, {})
    key = tuple(pinned.sha256 for _, pinned in _pins(job))
    if key not in of_session:
        archive = _packed(job)
        try:
            spark.addArtifacts(str(archive), archive=True)
        except RuntimeError as error:
            raise EnvironmentProblem(
                f"This session takes no files for its tasks: use Spark Connect, or Spark 4.0 or newer ({error})."
            ) from error
        of_session[key] = archive
    return of_session[key].name


def shipped(job: Job, name: str) -> Job:
    """In a task: the job, with its artifacts where Spark has unpacked them."""
    from pyspark import SparkFiles

    folder = SparkFiles.get(name)
    here: dict[str, Any] = {role: replace(pinned, uri=f"file://{folder}/{role}/") for role, pinned in _pins(job)}
    return replace(job, **here)


def _pins(job: Job) -> Iterator[tuple[str, Pinned]]:
    for role, pinned in (("model", job.model), ("update", job.update), ("view", job.view)):
        if pinned is not None:
            yield role, pinned


def _packed(job: Job) -> Path:
    if not _folder:
        _folder.append(tempfile.TemporaryDirectory(prefix="personalize-spark-"))
    packed = Path(_folder[0].name) / f"personalize-spark-{uuid.uuid4().hex}.tar"
    with tarfile.open(packed, "w") as archive:
        for role, pinned in _pins(job):
            artifact = pinned.open()
            for name in artifact.entries:
                with artifact.file(name) as path:
                    archive.add(path, f"{role}/{name}")
            manifest = artifact.store.read(MANIFEST)
            told = tarfile.TarInfo(f"{role}/{MANIFEST}")
            told.size = len(manifest)
            archive.addfile(told, io.BytesIO(manifest))
    return packed
