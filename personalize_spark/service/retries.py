"""A job made of an ended one: only the inputs whose files failed, or that have error lines, with the model and the data of then."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import ArtifactError, InvalidInputException, counted
from personalize_spark.job.job import Job, OldAnswers
from personalize_spark.job.report import MAX_NAMED, Report
from personalize_spark.service.batch_inference_jobs import report
from personalize_spark.storage.documents import read_document
from personalize_spark.storage.location import Place, open_store, split_prefix, uri_of

_MAX_NAME = 63
_RETRY = re.compile(r"-retry-\d+$")


def job_to_retry(
    catalog: Catalog, of: Place, extensions: Mapping[str, Any] | None = None, to: Place | None = None
) -> Job:
    """The job that answers again what went wrong in another one; its outputs take the place of the old ones, each as a whole.

    Only the files that have error lines or no output are in it, and of these the lines that had no answer, or are others by now:
    see `job.old_answers`. All that the other job had pinned is pinned again. The inputs are read as they are now.

    Args:
        catalog: holds the other job.
        of: its ARN, or the path or URI of its `report.json`.
        extensions: must be none: lines that are answered again get what the other job asked for.
        to: a folder for outputs that hold the new answers alone; the old ones stay.

    Raises:
        InvalidInputException: there is nothing to answer again, an artifact is no longer there, or nobody knows which lines were error lines.
        ResourceNotFoundException: there is no such job.
    """
    if extensions:
        raise InvalidInputException(f"A retry answers as the job did: {', '.join(extensions)} cannot be given with it.")
    told = report(catalog, _arn_of(of))
    names = list(dict.fromkeys([*told.failed_files, *told.error_files]))
    if not names:
        unread = f" but for {counted(told.unanswered, 'file')} whose name is not UTF-8" if told.unanswered else ""
        raise InvalidInputException(
            f"The job {told.job} has no error line and no file without an output{unread}: there is nothing to retry."
        )
    job = Job.of(catalog.read(Arn.parse(told.job)))
    try:
        for artifact in filter(None, (job.model, job.update, job.view, job.themes)):
            artifact.open()
    except ArtifactError as error:
        raise InvalidInputException(f"The job {told.job} cannot be retried: {error.message}") from error
    # of more files than a report names any may be meant
    some = names if max(len(told.failed_files), len(told.error_files)) < MAX_NAMED else None
    what = f"{counted(len(names), 'file')} of {told.files:,}" if some is not None else f"all {told.files:,} files"
    name = next(each for each in _names(job.arn.name) if not catalog.holds(job.arn.sibling(job.arn.kind, each)))
    note = f"This job answered {what} of {told.job} again."
    again = replace(
        job, request={**job.request, "jobName": name}, only=some, notes=[*job.notes, note], old=_old(job, told)
    )
    return again if to is None else _with_new_outputs(again, told, uri_of(to))


def _old(job: Job, told: Report) -> OldAnswers | None:
    """What is known of the outputs; nothing where there are themes, as these depend on other lines."""
    if job.old is not None and not job.old.repeated:
        raise InvalidInputException(
            f"The outputs of {told.job} hold only lines of another job: retry that one. {told.notes[0]}"
        )
    if job.themes is not None:
        return None
    return OldAnswers(job.output_path, told.error_outputs, apart=job.errors_to is not None, repeated=True)


def _with_new_outputs(job: Job, told: Report, folder: str) -> Job:
    """The job with outputs that have only what it answers, and no other files: those of the first job have it all."""
    old = job.old
    if old is None or job.only is None or not told.error_files.keys() <= old.outputs.keys():
        raise InvalidInputException(
            f"Which lines of {told.job} were error lines is not known: it has themes, or more than {MAX_NAMED - 1:,} files with error "
            "lines, or is of an earlier release. Without --retry-to its whole files are answered again."
        )
    if open_store(folder).root == open_store(job.output_path).root:
        raise InvalidInputException(
            f"{folder} has the outputs of {told.job}: name another folder, or leave --retry-to out."
        )
    place = {**job.request["jobOutput"]["s3DataDestination"], "path": folder}
    return replace(
        job,
        request={**job.request, "jobOutput": {"s3DataDestination": place}},
        old=replace(old, repeated=False),
        errors_to=None,
        extensions=replace(job.extensions, also_parquet=None),
    )


def _names(name: str) -> Iterator[str]:
    base = _RETRY.sub("", name)
    for number in count(1):
        end = f"-retry-{number}"
        yield base[: _MAX_NAME - len(end)] + end


def _arn_of(of: Place) -> str:
    if str(of).startswith("arn:"):
        return str(of)
    folder, name = split_prefix(uri_of(of))
    return read_document(open_store(folder), name, Report).job
