"""CreateBatchInferenceJob, DescribeBatchInferenceJob, ListBatchInferenceJobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from personalize_spark import __version__
from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.artifacts.view import Exploration
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import RESUMABLE, reap, running, way_on
from personalize_spark.catalog.resources import (
    find,
    find_active_version,
    find_dataset,
    find_schema,
    latest_active_version,
)
from personalize_spark.datasets.waiting_events import see_waiting_events
from personalize_spark.errors import (
    ArtifactError,
    InvalidInputException,
    LimitExceededException,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
    did_you_mean,
)
from personalize_spark.extensions import ITEM_IDS, taken
from personalize_spark.job.job import KIND, Job
from personalize_spark.job.plan import Plan
from personalize_spark.recipes import Recipe, Settings, recipe_of
from personalize_spark.request import BATCH_INFERENCE, THEME_GENERATION, validate
from personalize_spark.schemas import ITEMS, Schema
from personalize_spark.service.extension_checks import current_item_problems, extension_problems
from personalize_spark.service.filters import bind_for_job
from personalize_spark.service.pages import page_of_kind, shown
from personalize_spark.service.work import Begin, Compute
from personalize_spark.settings import value_of
from personalize_spark.storage.documents import converted
from personalize_spark.storage.location import Place, is_on_files
from personalize_spark.storage.store import Access

if TYPE_CHECKING:
    from personalize_spark.job.report import Report

MAX_RUNNING = 5
DEFAULT_NUM_RESULTS = 25
DEFAULT_EXPLORATION_WEIGHT, DEFAULT_ITEM_AGE_CUT_OFF = 0.3, 30.0

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
_NO_FILES: Mapping[str, Any] = {
    "jobName": "recommend",
    "jobInput": {"s3DataSource": {"path": "s3://none/"}},
    "jobOutput": {"s3DataDestination": {"path": "s3://none/"}},
    "roleArn": "arn:aws:iam::000000000000:role/none",
}
"""What a request must have."""


def check_batch_inference_job(
    catalog: Catalog, params: Mapping[str, Any], *, assume_role: bool = False, service_limits: bool = False
) -> Job:
    """The job that a request describes, pinned to what the catalog holds now. No job is created.

    Args:
        catalog: holds the solution version and the filter.
        params: the parameters of CreateBatchInferenceJob.
        assume_role: the job reads and writes as the request's `roleArn`, not with the ambient credentials.
        service_limits: the job keeps the managed service's quotas.

    Raises:
        ServiceError: as the service would refuse the request.
    """
    job = _pinned(catalog, params, assume_role=assume_role, service_limits=service_limits)
    if catalog.holds(job.arn):
        raise ResourceAlreadyExistsException(_taken(catalog.read(job.arn)))
    if service_limits and sum(1 for _ in running(catalog, KIND)) >= MAX_RUNNING:
        raise LimitExceededException(f"More than {MAX_RUNNING} resources with PENDING or IN_PROGRESS status.")
    return job


def _taken(record: Record) -> str:
    """That the name of a job is taken, by what, and how to go on."""
    text = f"Another resource with Arn {record.arn} already exists. It is {record.status}"
    if record.status.unfinished:
        return f"{text}: wait for its end, or use another jobName."
    if RESUMABLE in record.fields:
        return f"{text}: use another jobName, or finish it. {way_on(record)}"
    return f"{text}: use another jobName."


def check_recommendation(catalog: Catalog, params: Mapping[str, Any]) -> Job:
    """The job that answers lines which lie in no files: it is never created.

    Args:
        catalog: holds the solution version and the filter.
        params: the parameters of CreateBatchInferenceJob that say what is recommended.

    Raises:
        ServiceError: as the service would refuse the request.
    """
    return _pinned(catalog, {**_NO_FILES, **params})


def _pinned(
    catalog: Catalog, params: Mapping[str, Any], *, assume_role: bool = False, service_limits: bool = False
) -> Job:
    known, extensions = taken(params)
    validate("CreateBatchInferenceJob", known)
    given = {name: value for name, value in params.items() if value is not None}
    request: Fields = {"batchInferenceJobMode": BATCH_INFERENCE, "tags": [], **given}
    version = find_active_version(catalog, request["solutionVersionArn"])
    recipe = recipe_of(version.fields["recipeArn"])
    group = catalog.read(Arn.parse(version.fields["datasetGroupArn"])) if "datasetGroupArn" in version.fields else None
    problems = list(_theme_problems(catalog, request, recipe, version, group))
    problems += extension_problems(extensions, recipe, request, group, service_limits=service_limits)
    expression = None
    if "filterArn" in request:
        record = find(catalog, request["filterArn"], "filter")
        expression = _expression(record, service_limits=service_limits)
        bound = bind_for_job(record, group, expression)
        if bound.needs_user and group is not None:
            group = see_waiting_events(catalog, group)
        if bound.needs_item:
            problems += current_item_problems(record, recipe, extensions)
    if problems:
        raise InvalidInputException(" ".join(problems))
    exploration = _exploration(catalog, version, group, request) if recipe.explores else None
    themed = request["batchInferenceJobMode"] == THEME_GENERATION
    job = Job(
        request=request,
        recipe=recipe.name,
        settings=replace(_settings(request), several=ITEM_IDS in extensions.line_keys),
        model=Pinned(**version.fields["model"]),
        update=Pinned(**version.fields["update"]) if "update" in version.fields else None,
        view=Pinned(**group.fields["view"]) if group and (expression or exploration or extensions.columns) else None,
        filter=expression,
        exploration=exploration,
        themes=Pinned(**version.fields["themes"]) if themed else None,
        access=_access(request, assume_role=assume_role),
        notes=list(_notes(catalog, request, recipe, group)),
        service_limits=service_limits,
        extensions=extensions,
    )
    spec = value_of("theme-model")
    return job.phrased_by(spec) if spec and themed else job


def create_batch_inference_job(
    catalog: Catalog, params: Mapping[str, Any], *, assume_role: bool = False, service_limits: bool = False
) -> Record:
    """Check a request and create the job's record; `job.run.run_job` carries it out.

    Raises:
        ServiceError: as the service would refuse the request.
    """
    return check_batch_inference_job(catalog, params, assume_role=assume_role, service_limits=service_limits).create(
        catalog
    )


def find_resumable_job(catalog: Catalog, arn: str) -> Record:
    """The record of a job that lost its driver; `job.run.run_job` goes on with it.

    Raises:
        ResourceInUseException: its driver lives.
        InvalidInputException: it has ended by itself, or what it was planned with is not here: the release or an artifact.
        ResourceNotFoundException: there is no such job.
    """
    [record] = reap(catalog, [find(catalog, arn, "batch inference job")], suspect=lambda _: True)
    if record.status.unfinished:
        raise ResourceInUseException(f"The job {arn} is {record.status}, and its driver lives: wait for its end.")
    if RESUMABLE not in record.fields:
        reason = f" ({record.fields['failureReason']})" if "failureReason" in record.fields else ""
        raise InvalidInputException(
            f"The job {arn} has ended as {record.status}{reason}: there is nothing to resume. Create a new job."
        )
    job = Job.of(record)
    try:
        planned = Plan.find(job, record.fields["run"])
        for artifact in filter(None, (job.model, job.update, job.view)):
            artifact.open()
    except ArtifactError as error:
        raise InvalidInputException(f"The job {arn} cannot be resumed: {error.message}") from error
    if planned and planned.release != __version__:
        raise InvalidInputException(
            f"The job {arn} was planned by personalize_spark {planned.release}, and this is {__version__}: "
            f"the bytes may differ. Resume it with release {planned.release}, or create a new job."
        )
    return record


def report(catalog: Catalog | Place, arn: str) -> Report:
    """What became of the lines of a job.

    Args:
        catalog: the catalog or its place: it holds the job.
        arn: the ARN of the job.

    Returns:
        The report: what `run_batch_inference` gave at the job's end.

    Raises:
        InvalidInputException: the job has not ended, or failed before its lines were answered.
        ResourceNotFoundException: there is no such job.
        ArtifactError: another release wrote the report.
    """
    from personalize_spark.job.report import Report

    catalog = Catalog(catalog)
    [record] = reap(catalog, [find(catalog, arn, "batch inference job")])
    if "report" not in record.fields:
        reason = f": {record.fields['failureReason']}" if "failureReason" in record.fields else ""
        raise InvalidInputException(f"The job {arn} is {record.status} and has no report{reason or '.'}")
    return converted(record.fields["report"], Report, f"The report of {arn}")


def begin_batch_inference_job(catalog: Catalog, params: Mapping[str, Any], begin: Begin) -> Fields:
    """CreateBatchInferenceJob: create the job and begin to run it.

    Raises:
        ServiceError: as the service would refuse the request; nothing has begun.
    """
    from personalize_spark.job.run import run_job

    record = create_batch_inference_job(catalog, params)

    def work(compute: Compute) -> None:
        with compute.executor(record) as executor:
            run_job(executor, catalog, record, lambda _: None)

    begin(record, work)
    return {"batchInferenceJobArn": str(record.arn)}


def describe_batch_inference_job(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The job as it stands; a job whose driver is gone is CREATE FAILED from now on."""
    validate("DescribeBatchInferenceJob", params)
    record = find(catalog, params["batchInferenceJobArn"], "batch inference job")
    [record] = reap(catalog, [record])
    return {"batchInferenceJob": shown(record, _DESCRIBED)}


def list_batch_inference_jobs(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The jobs of the catalog, or of one solution version, the newest first."""
    validate("ListBatchInferenceJobs", params)
    page, rest = page_of_kind(catalog, KIND, params, "solutionVersionArn")
    return {"batchInferenceJobs": [shown(record, _LISTED) for record in reap(catalog, page)], **rest}


def _expression(record: Record, *, service_limits: bool) -> str:
    """A filter's expression as it holds for the whole job."""
    from personalize_spark.filters.parser import frozen  # lark costs 0.1 s: not for jobs without a filter

    written: str = record.fields["filterExpression"]
    expression = frozen(written)
    if service_limits and expression != written:
        raise InvalidInputException(f"The filter {record.arn} has NOW(), which the managed service does not know.")
    return expression


def _settings(request: Fields) -> Settings:
    influence = _config(request, "rankingInfluence")
    return Settings(
        request.get("numResults", DEFAULT_NUM_RESULTS),
        float(influence.get("POPULARITY", 0.0)),
        float(influence.get("FRESHNESS", 0.0)),
    )


def _access(request: Fields, *, assume_role: bool) -> Access:
    destination = request["jobOutput"]["s3DataDestination"]
    return Access(request["roleArn"] if assume_role else None, destination.get("kmsKeyArn"))


def _exploration(catalog: Catalog, version: Record, group: Record | None, request: Fields) -> Exploration | None:
    """The exploration of the dataset group's current view; what is new in it is for the latest version of the solution only."""
    config = _config(request, "itemExplorationConfig")
    weight = float(config.get("explorationWeight", DEFAULT_EXPLORATION_WEIGHT))
    if group is None or "view" not in group.fields or weight == 0.0:
        return None
    latest = latest_active_version(catalog, version.arn)
    age_cut_off = float(config.get("explorationItemAgeCutOff", DEFAULT_ITEM_AGE_CUT_OFF))
    return Exploration(weight, age_cut_off, new_items=latest is not None and latest.arn == version.arn)


def _config(request: Fields, name: str) -> Mapping[str, Any]:
    """A part of `batchInferenceJobConfig`; empty if it was left out."""
    return (request.get("batchInferenceJobConfig") or {}).get(name) or {}


def _theme_problems(
    catalog: Catalog, request: Fields, recipe: Recipe, version: Record, group: Record | None
) -> Iterator[str]:
    """Why there can be no themes: they need the names and the texts of items, as the Items schema of now has them."""
    if request["batchInferenceJobMode"] != THEME_GENERATION:
        return
    from personalize_spark.artifacts.themes import format_problem  # a tenth of a second, for a few jobs

    if not recipe.themed:
        yield f"The mode {THEME_GENERATION} needs a solution version of the recipe aws-similar-items, not of {recipe.name}."
        return
    schema = _items_schema(catalog, group)
    if schema is None:
        yield f"The mode {THEME_GENERATION} needs an Items dataset with a textual field; the solution version has none."
        return
    if not any(column.textual for column in schema.columns):
        yield f'The mode {THEME_GENERATION} needs a textual field in the Items schema, such as DESCRIPTION with "textual": true.'
    name = request["themeGenerationConfig"]["fieldsForThemeGeneration"]["itemName"]
    column = next((each for each in schema.columns if each.name == name), None)
    if column is None:
        yield f"itemName is '{name}', which is no column of the Items schema{did_you_mean(name, schema.names)}."
    elif not column.is_text:
        yield f"itemName is '{name}', a column of type {column.type}; the names of items must be of type string."
    elif "themes" in version.fields and (problem := format_problem(_learned(version))):
        yield problem
    elif not _has_learned_themes(version, name):
        imported = "imported" in Pinned(**version.fields["model"]).open().properties
        yield (
            f"The solution version {version.arn} was imported from a model, which brings no themes: train aws-similar-items on the "
            "dataset group instead."
            if imported
            else f"The solution version {version.arn} was trained before the Items dataset had what themes need, a textual field and "
            f"{name}: train it again."
        )


def _learned(version: Record) -> Artifact:
    return Pinned(**version.fields["themes"]).open()


def _has_learned_themes(version: Record, item_name: str) -> bool:
    return "themes" in version.fields and item_name in _learned(version).properties["columns"]


def _items_schema(catalog: Catalog, group: Record | None) -> Schema | None:
    """The schema of the group's Items dataset, if it has one."""
    if group is None:
        return None
    try:
        return find_schema(catalog, find_dataset(catalog, group.arn, ITEMS))
    except ResourceNotFoundException:
        return None


def _notes(catalog: Catalog, request: Fields, recipe: Recipe, group: Record | None) -> Iterator[str]:
    destination = request["jobOutput"]["s3DataDestination"]
    if destination.get("kmsKeyArn") and is_on_files(destination["path"]):
        yield "kmsKeyArn of the output has no effect: S3 encrypts with it, and the output is a local folder."
    if "itemList" in recipe.required and "numResults" in request:
        yield f"numResults has no effect: the recipe {recipe.name} returns each list whole."
    if _config(request, "itemExplorationConfig") and not recipe.explores:
        yield f"itemExplorationConfig has no effect: the recipe {recipe.name} does not explore."
    if _config(request, "rankingInfluence") and not recipe.influenced:
        yield f"rankingInfluence has no effect: the recipe {recipe.name} does not use it."
    elif _config(request, "rankingInfluence").get("FRESHNESS") and group is not None:
        schema = _items_schema(catalog, group)
        if schema is None or not schema.has("CREATION_TIMESTAMP"):
            yield "FRESHNESS has no effect: the Items dataset has no CREATION_TIMESTAMP."
