"""CreateBatchInferenceJob, DescribeBatchInferenceJob, ListBatchInferenceJobs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from personalize_spark.arns import Arn
from personalize_spark.errors import (
    InvalidInputException,
    InvalidNextTokenException,
    LimitExceededException,
    ResourceInUseException,
)
from personalize_spark.job.job import Job
from personalize_spark.job.lease import FAILED, IN_PROGRESS, PENDING, reap
from personalize_spark.job.plan import Pinned
from personalize_spark.recipes import Recipe, recipe_named
from personalize_spark.request import BATCH_INFERENCE, THEME_GENERATION, BatchInferenceRequest, validate
from personalize_spark.storage.catalog import Catalog, Fields, Record

KIND = "batch-inference-job"
MAX_RUNNING = 5

_DESCRIBED = (
    "jobName",
    "batchInferenceJobArn",
    "filterArn",
    "failureReason",
    "solutionVersionArn",
    "numResults",
    "jobInput",
    "jobOutput",
    "batchInferenceJobConfig",
    "roleArn",
    "batchInferenceJobMode",
    "themeGenerationConfig",
    "status",
    "creationDateTime",
    "lastUpdatedDateTime",
)
_LISTED = (
    "batchInferenceJobArn",
    "jobName",
    "status",
    "creationDateTime",
    "lastUpdatedDateTime",
    "failureReason",
    "solutionVersionArn",
    "batchInferenceJobMode",
)
_PAGE = 100


def check_batch_inference_job(
    catalog: Catalog, params: Mapping[str, Any]
) -> tuple[BatchInferenceRequest, Record, list[str]]:
    """Everything that CreateBatchInferenceJob checks, without creating anything.

    Returns:
        The request, the record of its solution version, and notes for the user.

    Raises:
        ServiceError: as the service would refuse the request.
    """
    request = BatchInferenceRequest.parse(params)
    version = _solution_version(catalog, request.solution_version_arn)
    recipe = recipe_named(version.fields["recipeArn"].rpartition("/")[2])
    problems = list(_problems(request, recipe))
    if problems:
        raise InvalidInputException(" ".join(problems))
    return request, version, list(_notes(request, recipe))


def create_batch_inference_job(
    catalog: Catalog, params: Mapping[str, Any], *, assume_role: bool = False, service_limits: bool = False
) -> Job:
    """Create the job's record; `job.batch_inference.run_job` carries it out.

    Raises:
        ServiceError: as the service would refuse the request.
    """
    request, version, notes = check_batch_inference_job(catalog, params)
    if service_limits and sum(1 for _ in _running(catalog)) >= MAX_RUNNING:
        raise LimitExceededException(f"More than {MAX_RUNNING} resources with PENDING or IN_PROGRESS status.")
    arn = version.arn.sibling(KIND, request.job_name)
    record = catalog.create(
        arn,
        {
            **{name: params[name] for name in _DESCRIBED if name in params},
            "batchInferenceJobArn": str(arn),
            "batchInferenceJobMode": request.mode,
            "tags": params.get("tags", []),
            "status": PENDING,
        },
    )
    return Job(
        record=record,
        request=request,
        recipe=version.fields["recipeArn"].rpartition("/")[2],
        model=Pinned(version.fields["model"], version.fields["modelSha256"]),
        notes=notes,
        assume_role=assume_role,
        service_limits=service_limits,
    )


def describe_batch_inference_job(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The job as it stands; a job whose driver is gone is CREATE FAILED from now on."""
    validate("DescribeBatchInferenceJob", params)
    arn = Arn.parse(params["batchInferenceJobArn"])
    record = catalog.read(arn)
    if arn.kind != KIND:
        raise InvalidInputException(f"The ARN '{arn}' is not the ARN of a batch inference job.")
    return {"batchInferenceJob": _shown(reap(catalog, record), _DESCRIBED)}


def list_batch_inference_jobs(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The jobs of the catalog, or of one solution version, the newest first."""
    validate("ListBatchInferenceJobs", params)
    version = params.get("solutionVersionArn")
    records = [each for each in catalog.list(KIND) if version in (None, each.fields["solutionVersionArn"])]
    records.sort(key=_age)
    if "nextToken" in params:
        last = _untoken(params["nextToken"])
        records = [record for record in records if _age(record) > last]
    page = records[: params.get("maxResults", _PAGE)]
    answer: Fields = {"batchInferenceJobs": [_shown(reap(catalog, record), _LISTED) for record in page]}
    if len(page) < len(records):
        answer["nextToken"] = base64.urlsafe_b64encode(orjson.dumps(_age(page[-1]))).decode()
    return answer


def _solution_version(catalog: Catalog, text: str) -> Record:
    arn = Arn.parse(text)
    if arn.kind != "solution" or arn.version is None:
        raise InvalidInputException(f"The ARN '{text}' is not the ARN of a solution version.")
    record = catalog.read(arn)
    status = record.fields["status"]
    if status == FAILED:
        raise InvalidInputException(f"The solution version {text} is {status}: {record.fields.get('failureReason')}")
    if status != "ACTIVE":
        raise ResourceInUseException(f"The solution version {text} is {status}; wait until it is ACTIVE.")
    return record


def _problems(request: BatchInferenceRequest, recipe: Recipe) -> Iterator[str]:
    config = request.params.get("batchInferenceJobConfig") or {}
    if request.mode == THEME_GENERATION and not recipe.themed:
        yield f"The mode {THEME_GENERATION} needs a solution version of the recipe aws-similar-items, not of {recipe.name}."
    if recipe.explores and config.get("itemExplorationConfig"):
        yield "This release does not explore yet: remove batchInferenceJobConfig.itemExplorationConfig."
    if "filterArn" in request.params:
        yield "This release does not apply filters yet: remove filterArn."


def _notes(request: BatchInferenceRequest, recipe: Recipe) -> Iterator[str]:
    config = request.params.get("batchInferenceJobConfig") or {}
    if config.get("itemExplorationConfig") and not recipe.explores:
        yield f"itemExplorationConfig has no effect: the recipe {recipe.name} does not explore."
    if config.get("rankingInfluence") and not recipe.influenced:
        yield f"rankingInfluence has no effect: the recipe {recipe.name} does not use it."
    if request.mode == BATCH_INFERENCE and request.params.get("themeGenerationConfig"):
        yield f"themeGenerationConfig has no effect in the mode {BATCH_INFERENCE}."


def _running(catalog: Catalog) -> Iterator[Record]:
    for record in catalog.list(KIND):
        if reap(catalog, record).fields["status"] in {PENDING, IN_PROGRESS}:
            yield record


def _shown(record: Record, names: tuple[str, ...]) -> Fields:
    return {name: record.fields[name] for name in names if name in record.fields}


def _age(record: Record) -> tuple[float, str]:
    """Ascending from the newest."""
    return -record.fields["creationDateTime"], str(record.arn)


def _untoken(token: str) -> tuple[float, str]:
    try:
        age, arn = orjson.loads(base64.urlsafe_b64decode(token))
        return float(age), str(arn)
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidNextTokenException("The nextToken is not one that ListBatchInferenceJobs returned.") from error
