"""CreateBatchInferenceJob, DescribeBatchInferenceJob, ListBatchInferenceJobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import reap, running
from personalize_spark.catalog.resources import find, find_active_version, latest_active_version
from personalize_spark.catalog.status import Status
from personalize_spark.errors import (
    InvalidInputException,
    LimitExceededException,
    ResourceAlreadyExistsException,
)
from personalize_spark.job.job import Job
from personalize_spark.job.plan import Exploring, Filtering
from personalize_spark.recipes import Recipe, Settings, recipe_of
from personalize_spark.request import BATCH_INFERENCE, THEME_GENERATION, BatchInferenceRequest, validate
from personalize_spark.service.filters import filtering_of
from personalize_spark.service.pages import page_of, shown

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


@dataclass(frozen=True)
class Checked:
    """A request that the service would take.

    Attributes:
        request: what was asked.
        version: the record of its solution version.
        filtering: its filter, if it names one.
        exploring: its exploration, if the recipe explores and there is data to explore.
        notes: what the user should know.
    """

    request: BatchInferenceRequest
    version: Record
    filtering: Filtering | None
    exploring: Exploring | None
    notes: list[str]


def check_batch_inference_job(catalog: Catalog, params: Mapping[str, Any], *, service_limits: bool = False) -> Checked:
    """Everything that CreateBatchInferenceJob checks, without creating anything.

    Raises:
        ServiceError: as the service would refuse the request.
    """
    request = BatchInferenceRequest.parse(params)
    version = find_active_version(catalog, request.solution_version_arn)
    recipe = recipe_of(version.fields["recipeArn"])
    filtering, problems = None, list(_problems(request, recipe))
    if request.filter_arn is not None:
        filtering, bound = filtering_of(catalog, request.filter_arn, version.fields.get("datasetGroupArn"))
        if bound.needs_item and "itemId" not in recipe.required:
            problems.append(
                f"The filter {request.filter_arn} compares with CurrentItem, which lines of {recipe.name} lack."
            )
    if problems:
        raise InvalidInputException(" ".join(problems))
    arn = version.arn.sibling(KIND, request.job_name)
    if catalog.holds(arn):
        raise ResourceAlreadyExistsException(f"Another resource with Arn {arn} already exists.")
    if service_limits and sum(1 for _ in running(catalog, KIND)) >= MAX_RUNNING:
        raise LimitExceededException(f"More than {MAX_RUNNING} resources with PENDING or IN_PROGRESS status.")
    exploring = _exploring(catalog, version, request) if recipe.explores else None
    return Checked(request, version, filtering, exploring, list(_notes(request, recipe)))


def create_batch_inference_job(
    catalog: Catalog, params: Mapping[str, Any], *, assume_role: bool = False, service_limits: bool = False
) -> Job:
    """Create the job's record; `job.batch_inference.run_job` carries it out.

    Raises:
        ServiceError: as the service would refuse the request.
    """
    checked = check_batch_inference_job(catalog, params, service_limits=service_limits)
    request, version = checked.request, checked.version
    arn = version.arn.sibling(KIND, request.job_name)
    record = catalog.create(
        arn,
        {
            **{name: params[name] for name in _DESCRIBED if name in params},
            "batchInferenceJobArn": str(arn),
            "batchInferenceJobMode": request.mode,
            "tags": params.get("tags", []),
            "status": Status.PENDING,
        },
    )
    return Job(
        record=record,
        request=request,
        recipe=recipe_of(version.fields["recipeArn"]).name,
        model=Pinned(**version.fields["model"]),
        update=Pinned(**version.fields["update"]) if "update" in version.fields else None,
        settings=Settings(
            request.num_results,
            request.ranking_influence.get("POPULARITY", 0.0),
            request.ranking_influence.get("FRESHNESS", 0.0),
        ),
        filtering=checked.filtering,
        exploring=checked.exploring,
        notes=checked.notes,
        assume_role=assume_role,
        service_limits=service_limits,
    )


def describe_batch_inference_job(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The job as it stands; a job whose driver is gone is CREATE FAILED from now on."""
    validate("DescribeBatchInferenceJob", params)
    record = find(catalog, params["batchInferenceJobArn"], "batch inference job")
    return {"batchInferenceJob": shown(reap(catalog, record), _DESCRIBED)}


def list_batch_inference_jobs(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The jobs of the catalog, or of one solution version, the newest first."""
    validate("ListBatchInferenceJobs", params)
    version = params.get("solutionVersionArn")
    records = [each for each in catalog.list(KIND) if version in (None, each.fields["solutionVersionArn"])]
    page, rest = page_of(records, params)
    return {"batchInferenceJobs": [shown(reap(catalog, record), _LISTED) for record in page], **rest}


def _exploring(catalog: Catalog, version: Record, request: BatchInferenceRequest) -> Exploring | None:
    """The exploration, on the dataset group's current view; what is new in it is for the latest version of the solution only."""
    group = version.fields.get("datasetGroupArn")
    if group is None or request.exploration_weight == 0.0:
        return None
    fields = catalog.read(Arn.parse(group)).fields
    if "view" not in fields:
        return None
    view = Pinned(**fields["view"])
    latest = latest_active_version(catalog, version.arn)
    return Exploring(
        view,
        request.exploration_weight,
        request.exploration_item_age_cut_off,
        new_items=latest is not None and latest.arn == version.arn,
    )


def _problems(request: BatchInferenceRequest, recipe: Recipe) -> Iterator[str]:
    if request.mode == THEME_GENERATION and not recipe.themed:
        yield f"The mode {THEME_GENERATION} needs a solution version of the recipe aws-similar-items, not of {recipe.name}."


def _notes(request: BatchInferenceRequest, recipe: Recipe) -> Iterator[str]:
    config = request.params.get("batchInferenceJobConfig") or {}
    if "itemList" in recipe.required and request.params.get("numResults") is not None:
        yield f"numResults has no effect: the recipe {recipe.name} returns each list whole."
    if config.get("itemExplorationConfig") and not recipe.explores:
        yield f"itemExplorationConfig has no effect: the recipe {recipe.name} does not explore."
    if config.get("rankingInfluence") and not recipe.influenced:
        yield f"rankingInfluence has no effect: the recipe {recipe.name} does not use it."
    if request.mode == BATCH_INFERENCE and request.params.get("themeGenerationConfig"):
        yield f"themeGenerationConfig has no effect in the mode {BATCH_INFERENCE}."
