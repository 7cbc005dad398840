"""A batch inference job from its record to its outputs."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import msgspec

from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.lease import RESUMABLE, Lease, way_on
from personalize_spark.catalog.status import Status
from personalize_spark.errors import (
    EngineLost,
    JobFailed,
    ObjectNotFound,
    PersonalizeSparkError,
    StorageError,
    counted,
    reason_of,
)
from personalize_spark.job.attempts import Ledger, Progress, run_attempts
from personalize_spark.job.executor import Executor
from personalize_spark.job.inflate import inflate
from personalize_spark.job.inputs import (
    Input,
    check_records,
    find_inputs,
    mean_line_bytes,
    note_of_litter,
    note_of_old_answers,
    packed_inside,
    read_inputs,
    read_refusals,
    write_inputs,
    write_refusals,
)
from personalize_spark.job.job import Job
from personalize_spark.job.locate import with_old_answers
from personalize_spark.job.plan import CHECK, Plan
from personalize_spark.job.preflight import preflight
from personalize_spark.job.publish import Publisher
from personalize_spark.job.report import Report, Timing, report_of
from personalize_spark.job.report_page import report_page
from personalize_spark.job.splits import Split, mean_answer_bytes, read_splits, splits_of, write_splits
from personalize_spark.job.themed import Phrases
from personalize_spark.logs import about
from personalize_spark.storage.documents import converted
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.location import open_store, split_prefix
from personalize_spark.storage.store import RETRIES, Store

_log = logging.getLogger(__name__)

MAX_FILES = 1_000
MAX_BYTES = 1_000_000_000
MAX_RECORDS = 50_000_000
MAX_THEMED_RECORDS = 100
_SHOWN = 5
"""Failures that a failureReason tells."""


def run_job(executor: Executor, catalog: Catalog, record: Record, show: Callable[[Progress], None]) -> Report:
    """Run the job of a record to its end, and keep the record. A run that lost its driver goes on from what it has finished.

    Raises:
        JobFailed: the job is CREATE FAILED, the message is its `failureReason`; or another driver has it.
    """
    with about(str(record.arn)):
        return _run_job(executor, catalog, record, show)


def _run_job(executor: Executor, catalog: Catalog, record: Record, show: Callable[[Progress], None]) -> Report:
    job, run, lease = Job.of(record), record.fields["run"], Lease(catalog, record)
    plan = Plan.of(job, run)
    try:
        with lease:
            if "report" not in record.fields:
                lease.update(report=asdict(_run(executor, plan, lease, show)))
            # all outputs that can be are there: a driver that is killed from here on leaves nothing to do but this
            report = converted(record.fields["report"], Report, f"The record of {record.arn}")
            report.notes.extend([*_clean(plan), *(_write_report(plan, report) if job.report_files else [])])
            lease.update(**_end(report), report=asdict(report), **{RESUMABLE: None})
    except EngineLost as error:
        reason = f"{error.message} {way_on(record)}"
        lease.update(status=Status.FAILED, failureReason=reason)
        raise JobFailed(reason) from error
    except PersonalizeSparkError as error:
        lease.update(
            status=Status.FAILED, failureReason=error.message, **{RESUMABLE: None}
        )  # raises if the run is another driver's
        _clean(plan)
        _log.info("The job is CREATE FAILED: %s", error.message)
        raise JobFailed(error.message) from error
    except KeyboardInterrupt:
        lease.update(status=Status.FAILED, failureReason=f"The driver was stopped. {way_on(record)}")
        raise
    except BaseException as error:
        lease.update(status=Status.FAILED, failureReason=reason_of(error), **{RESUMABLE: None})
        _clean(plan)
        raise
    _log.info(
        "The job has ended after %.1f s: %s of %s", report.seconds, counted(report.lines, "line"), plan.job.input_path
    )
    if report.failure is not None:
        failed = JobFailed(report.failure)
        failed.add_note(f"{replace(report, failure=None)}")
        raise failed
    return report


def _end(report: Report) -> dict[str, Any]:
    """The status of a job that has a report."""
    if report.failure is None:
        return {"status": Status.ACTIVE}
    return {"status": Status.FAILED, "failureReason": report.failure}


def _run(executor: Executor, plan: Plan, lease: Lease, show: Callable[[Progress], None]) -> Report:
    started, retries = time.monotonic(), RETRIES.count + executor.retries
    inputs, staging = _plan(plan), plan.staging()
    preflight(executor, staging)
    splits = _cut(executor, plan, inputs, staging)
    phrases = _phrases(plan, staging, splits)
    _log.info(
        "%s in %s, on %s", counted(len(inputs), "input"), counted(len(splits), "split"), counted(executor.cores, "core")
    )
    ledger = Ledger(staging, splits)
    ledger.refresh()
    there, ready = len(ledger.pieces), time.monotonic()
    before = ledger.progress()
    show(before)
    with Publisher(executor, plan, inputs, ledger) as outputs:
        run_attempts(executor, ledger, lambda: show(ledger.progress()), lease.update)
        show(ledger.progress())
        if plan.job.service_limits:
            _check_records(ledger, inputs)
        lease.update()  # the fence: who has lost the job publishes nothing
        written = outputs.publish()
    ledger.storage_retries = RETRIES.count + executor.retries - retries
    timing = Timing(time.monotonic() - started, ready - started, before.lines)
    refused = read_refusals(staging)
    report = report_of(plan, [each.source.name for each in inputs], [name for name, _ in refused], ledger, timing)
    report.error_outputs.update(
        (each.source.name, written[each.output]) for each in inputs if each.source.name in report.error_files
    )
    report.notes.extend(phrases.notes)
    report.notes.extend(note_of_litter(plan.job.input_path, plan.job.access))
    report.notes.extend(note_of_old_answers([each.source.name for each in inputs]))
    if there:
        report.notes.append(
            f"The job was resumed: {there} of {counted(len(ledger.splits), 'split')} were answered before."
        )
    if not report.unanswered:
        return replace(report, failure=_too_many_errors(report, plan.job.tolerated_failures))
    # what could be answered is there all the same
    return replace(
        report, failure=_why(report.unanswered, report.files, [*(why for _, why in refused), *ledger.failures])
    )


def _phrases(plan: Plan, staging: Store, splits: Sequence[Split]) -> Phrases:
    """What the job's language model calls the sets of its lines; nothing without one."""
    if plan.job.theme_model is None:
        return Phrases()
    from personalize_spark.job.phrases import freeze_phrases  # for a few jobs

    return freeze_phrases(plan, staging, splits)


def _too_many_errors(report: Report, tolerated: float | None) -> str | None:
    errors = report.lines - report.answered
    if tolerated is None or 100 * errors <= tolerated * report.lines:
        return None
    kind, first = next((kind, report.first[kind]) for kind in report.errors)
    return (
        f"{errors:,} of {counted(report.lines, 'line')} are error lines, more than the {tolerated:g} % of toleratedFailurePercentage; "
        f"most of them {kind}, first in {first.file}, line {first.line}. The outputs are kept."
    )


def _why(broken: int, files: int, reasons: Sequence[str]) -> str:
    failures = list(dict.fromkeys(reasons)) or ["The tasks gave no reason"]
    if files == 1:
        return failures[0]
    more = f" And {len(failures) - _SHOWN} more." if len(failures) > _SHOWN else ""
    return (
        f"{broken} of {files} input files could not be answered; the others have their output: "
        f"{' '.join(failures[:_SHOWN])}{more}"
    )


def _plan(plan: Plan) -> list[Input]:
    """The inputs of the run, frozen with its plan by its first driver."""
    job = plan.job
    with _invalid_output(plan), contextlib.suppress(ObjectNotFound):
        inputs = read_inputs(plan.staging())
        plan.write()  # the catalog may have moved since
        return inputs
    found = find_inputs(job.input_path, job.output_path, job.access, job.only)
    inputs = [each for each in found if not each.refused]
    check_inputs(job, inputs)
    with _invalid_output(plan):
        plan.write()
        write_refusals(plan.staging(), [each for each in found if each.refused])
        write_inputs(plan.staging(), inputs)
    return inputs


@contextlib.contextmanager
def _invalid_output(plan: Plan) -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise JobFailed(f"Invalid S3 output path: {plan.output().root} cannot be written: {error.message}") from error


def _cut(executor: Executor, plan: Plan, inputs: Sequence[Input], staging: Store) -> list[Split]:
    """The splits of the run, frozen before the first of them is answered."""
    with contextlib.suppress(ObjectNotFound):
        return read_splits(staging)
    inflated = inflate(executor, staging, inputs)
    files = [inflated.get(number, [each.source]) for number, each in enumerate(inputs)]
    line_bytes = mean_line_bytes(plan.input(), inputs)
    there = [number in inflated for number in range(len(files))]
    answer_bytes = mean_answer_bytes(plan.job, line_bytes)
    whole = plan.job.themes is not None
    cut_in = partial(splits_of, files, there, line_bytes, answer_bytes, executor.cores, whole=whole)
    splits = list(cut_in())
    # a split of a whole file finds out by itself what it is
    cut = {split.file: split.range.source for split in splits if split.number > 0 and not split.inflated}
    if packed := packed_inside(plan.input(), cut.values()):
        splits = list(cut_in(packed=packed))
    splits = with_old_answers(executor, plan, inputs, splits)
    splits = executor.gather(staging, splits)
    write_splits(staging, splits)
    return splits


def _write_report(plan: Plan, report: Report) -> list[str]:
    """Write the report's files; the notes of what could not be written."""
    try:
        plan.output().write(f"{plan.report_name}report.json", msgspec.json.format(msgspec.json.encode(report)))
        plan.output().write(f"{plan.report_name}report.html", report_page(report).encode())
    except StorageError as error:  # the record has it, and the answers are none the worse
        return [f"The report could not be written beside the outputs: {error.message}"]
    return []


def _clean(plan: Plan) -> list[str]:
    try:
        plan.output().delete(plan.staging_name)
    except StorageError as error:  # a role made for the service may not delete; the answers are none the worse
        return [f"The staging folder {plan.staging_root} could not be removed: {error.message}"]
    return []


def check_inputs(job: Job, inputs: Sequence[Input]) -> None:
    """Keep the limit of themes, and on demand the managed service's quotas.

    Raises:
        JobFailed: an input has too many records for themes, or there are too many files or bytes.
    """
    if job.themes is not None:
        check_records(open_store(split_prefix(job.input_path)[0], job.access), inputs, MAX_THEMED_RECORDS)
    if job.service_limits:
        _check_size(inputs)


def check_output(job: Job, inputs: Sequence[Input]) -> list[str]:
    """Prove that the output folder can be written, as a job does, and leave it as it was; gives what to know of it.

    Raises:
        JobFailed: it cannot be written.
    """
    store = open_store(job.output_path, job.access)
    try:
        _prove_writable(store)
    except (StorageError, OSError) as error:
        raise JobFailed(f"Invalid S3 output path: {store.root} cannot be written: {reason_of(error)}") from error
    folder = open_store(split_prefix(job.input_path)[0], job.access).root
    if not any(f"{folder}{each.source.name}".startswith(store.root) for each in inputs):
        return []
    said = f"The input lies in the output folder {store.root}. The service asks for another one"
    return [f"{said}; here no input is overwritten, and the outputs of jobs are no inputs."]


def _prove_writable(store: Store) -> None:
    if isinstance(store, FileStore):
        place = next(each for each in (store.folder, *store.folder.parents) if each.exists())
        if not (place.is_dir() and os.access(place, os.W_OK)):
            raise PermissionError(
                errno.EACCES, "It is not writable" if place.is_dir() else "It is no folder", str(place)
            )
        return
    there = any(store.list(CHECK))
    store.write(CHECK, b"")
    if not there:
        with contextlib.suppress(StorageError):  # a role made for the service may not delete
            store.delete(CHECK)


def _check_size(inputs: Sequence[Input]) -> None:
    size = sum(each.source.size for each in inputs)
    if len(inputs) > MAX_FILES or size > MAX_BYTES:
        raise JobFailed(
            f"{len(inputs)} input files of {size} bytes exceed the service's limit of {MAX_FILES} files and {MAX_BYTES} bytes per job."
        )


def _check_records(ledger: Ledger, inputs: Sequence[Input]) -> None:
    for number, each in enumerate(inputs):
        lines = sum(piece.outcomes.lines for piece in ledger.pieces.values() if piece.file == number)
        if lines > MAX_RECORDS:
            raise JobFailed(
                f"{each.source.name} has {lines} records, more than the service's limit of {MAX_RECORDS} per input file."
            )
