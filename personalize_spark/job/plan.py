"""The plan of a job: frozen before the first task starts, written to the staging folder, never changed.

    plan.json                 everything but the lists
    inputs.json               the input objects, pinned by size and ETag, and the names of their outputs
    splits.json               all splits, in order
    tasks/ATTEMPT/00000.json  the splits of one task
    phrases.json              what a language model calls the sets of items, where one is asked
    pieces/KEY-UUID           the answers of a split
    manifests/UUID.json       which pieces a task has finished: what is in no task manifest does not count
    inflated/...              the text of large compressed inputs
    gathered/KEY/...          the rows of a split's users, where a host has no room for all
    publish/00000.json        what one task composes, and what it has written
    old/...                   of a job that answers another one's error lines again: where old answers lie

The folder is _staging/JOB/RUN/, so that nothing of another job of the same name is ever taken for this one's. The record names the
run, and says whether another driver may go on with what lies there.
A task gets the URI of the plan, never its contents.
"""

from __future__ import annotations

from dataclasses import dataclass

from personalize_spark import __version__
from personalize_spark.errors import ObjectNotFound
from personalize_spark.job.job import Job
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.location import open_store, split_prefix
from personalize_spark.storage.store import Store

CHECK = "_CHECK"
STAGING = "_staging"
REPORTS = "_report"


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
    def of(cls, job: Job, run: str) -> Plan:
        """The plan of a run, made by this release."""
        return cls(job, __version__, run)

    @classmethod
    def find(cls, job: Job, run: str) -> Plan | None:
        """The stored plan of a run; `None` if its driver did not come as far.

        Raises:
            ArtifactError: it is damaged.
        """
        try:
            return cls.read(cls.of(job, run).staging())
        except ObjectNotFound:
            return None

    @property
    def staging_root(self) -> str:
        """The URI of the run's own staging folder."""
        return f"{self.output().root}{self.staging_name}"

    @property
    def staging_name(self) -> str:
        """The staging folder, relative to the output folder."""
        return f"{STAGING}/{self.job.arn.name}/{self.run}/"

    @property
    def report_name(self) -> str:
        """The folder of the job's report files, relative to the output folder; readers of the outputs leave names with `_` out."""
        return f"{REPORTS}/{self.job.arn.name}/"

    def input(self) -> Store:
        """The folder that the names of the inputs are relative to."""
        return open_store(split_prefix(self.job.input_path)[0], self.job.access)

    def output(self) -> Store:
        """The folder of the request's output path."""
        return open_store(self.job.output_path, self.job.access)

    def errors(self) -> Store | None:
        """The folder of the error lines, if they go to one of their own."""
        return open_store(self.job.errors_to, self.job.access) if self.job.errors_to is not None else None

    def parquet(self) -> Store | None:
        """The folder of the outputs as Parquet, if there is to be one."""
        folder = self.job.extensions.also_parquet
        return open_store(folder, self.job.access) if folder is not None else None

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
