"""A batch inference request checked, and what its job will take, without creating it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import JobFailed
from personalize_spark.job.estimate import estimate as estimated
from personalize_spark.job.inputs import find_inputs, note_of_litter, note_of_old_answers
from personalize_spark.job.run import check_inputs, check_output
from personalize_spark.service.batch_inference_jobs import check_batch_inference_job
from personalize_spark.storage.location import Place


def validate_batch_inference(
    catalog: Catalog | Place,
    request: Mapping[str, Any],
    *,
    assume_role: bool = False,
    limits: Literal["service"] | None = None,
    estimate: bool = False,
    cores: int | None = None,
    rate: float | None = None,
) -> dict[str, Any]:
    """Check a CreateBatchInferenceJob request and list its input, without creating a job.

    Args:
        catalog: the catalog or its place: it holds the solution version.
        request: the parameters of CreateBatchInferenceJob.
        assume_role: read as the request's `roleArn`, not with the ambient credentials.
        limits: `service` refuses what exceeds the managed service's quotas.
        estimate: count or sample the lines, and answer some for two seconds, to say what the job will take.
        cores: of the estimate; those of this machine if left out.
        rate: lines a second of one core for the estimate, in place of the two seconds.

    Returns:
        `valid`, which is true; `input_files`; `input_bytes`; `notes`, a list of what to know before it runs; and `estimate`, if asked
        for, what `job.estimate.Estimate` holds.

    Raises:
        ServiceError: the request would be refused.
        JobFailed: the job would fail: there is no input, more than the managed service takes, or too many records for themes, or the
            output folder cannot be written.
    """
    job = check_batch_inference_job(
        Catalog(catalog), request, assume_role=assume_role, service_limits=limits == "service"
    )
    inputs = find_inputs(job.input_path, job.output_path, job.access)
    check_inputs(job, inputs)
    if refused := [each.refused for each in inputs if each.refused]:
        raise JobFailed(refused[0])
    size = sum(each.source.size for each in inputs)
    names = [each.source.name for each in inputs]
    notes = [*job.notes, *note_of_litter(job.input_path, job.access), *note_of_old_answers(names)]
    notes += check_output(job, inputs)
    said = {"valid": True, "input_files": len(inputs), "input_bytes": size, "notes": notes}
    if not estimate:
        return said
    return {**said, "estimate": asdict(estimated(job, inputs, cores, rate))}
