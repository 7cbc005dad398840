"""CreateSolution, CreateSolutionVersion and what changes and tells of them: Update, Stop, Describe, List, GetSolutionMetrics, Delete."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.catalog.lease import reap, running
from personalize_spark.catalog.resources import find, versions_of
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException, ResourceInUseException
from personalize_spark.job.job import KIND as JOB
from personalize_spark.recipes import ModelKind, recipe_of
from personalize_spark.request import validate
from personalize_spark.service.pages import page_of, page_of_kind, shown
from personalize_spark.service.refusals import refuse
from personalize_spark.service.work import Begin
from personalize_spark.training.configuration import Events, Hyperparameters

KIND = "solution"
_LISTED = ("name", "solutionArn", "status", "creationDateTime", "lastUpdatedDateTime", "recipeArn")
_DESCRIBED = (*_LISTED, "datasetGroupArn", "performHPO", "eventType", "solutionConfig", "latestSolutionUpdate")
_CONFIG = ("algorithmHyperParameters", "eventValueThreshold", "hpoConfig")
_TRAINING_JOBS = 40
"""The service's default of `maxNumberOfTrainingJobs`."""
_VERSIONS = (
    *("solutionVersionArn", "status", "trainingMode", "creationDateTime", "lastUpdatedDateTime", "failureReason"),
)
_VERSION = (
    *("name", "solutionVersionArn", "solutionArn", "recipeArn", "datasetGroupArn", "eventType", "solutionConfig"),
    *("trainingHours", "trainingMode", "status", "failureReason", "creationDateTime", "lastUpdatedDateTime"),
    "tunedHPOParams",
)
_OFF = {"performHPO": False, "performAutoML": False, "performIncrementalUpdate": False}
"""What is off unless a record says otherwise; those of `train` and `import-model` do not store it."""
_METRICS = (
    "coverage",
    "mean_reciprocal_rank_at_25",
    *(f"normalized_discounted_cumulative_gain_at_{depth}" for depth in (5, 10, 25)),
    *(f"precision_at_{depth}" for depth in (5, 10, 25)),
)


def create_solution(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Keep a solution: a dataset group, a recipe, and how it is trained.

    Raises:
        InvalidInputException: no such recipe, a configuration that is not one, or one that is not supported.
        ResourceAlreadyExistsException: the name is taken.
        ResourceNotFoundException: there is no such dataset group.
    """
    validate("CreateSolution", params)
    group = find(catalog, params["datasetGroupArn"], "dataset group")
    config = params.get("solutionConfig") or {}
    refuse(params, "performAutoML", "choose the recipe with recipeArn")
    _refuse_automatic(params)
    for name in sorted(config.keys() - set(_CONFIG)):
        refuse(config, name, f"solutionConfig takes {' and '.join(_CONFIG)}")
    if not params.get("recipeArn"):
        raise InvalidInputException("recipeArn is required: performAutoML is not supported.")
    recipe = recipe_of(params["recipeArn"])
    Hyperparameters.of(config.get("algorithmHyperParameters") or {})
    _check_events(params)
    if params.get("performHPO") and recipe.model not in (ModelKind.USER_FACTORS, ModelKind.SEQUENCES):
        raise InvalidInputException(
            f"performHPO is for recipes for users; for {recipe.name} set algorithmHyperParameters."
        )
    _candidates(params)
    arn = group.arn.sibling(KIND, params["name"])
    fields = {
        "name": params["name"],
        "solutionArn": str(arn),
        "recipeArn": recipe.arn,
        "datasetGroupArn": params["datasetGroupArn"],
        "performHPO": bool(params.get("performHPO")),
        "tags": params.get("tags", []),
        "status": Status.ACTIVE,
    }
    catalog.create(arn, fields | {name: params[name] for name in ("eventType", "solutionConfig") if params.get(name)})
    return {"solutionArn": str(arn)}


def update_solution(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Keep a solution as it is: what the service would turn on is refused, and all of it is off already.

    Raises:
        InvalidInputException: training is to start automatically.
        ResourceNotFoundException: there is no such solution.
    """
    validate("UpdateSolution", params)
    solution = find(catalog, params["solutionArn"], "solution")
    _refuse_automatic(params)
    refuse(params, "solutionUpdateConfig", "training does not start automatically, and eventType chooses the events")
    now = time.time()
    off = {"performAutoTraining": False, "performIncrementalUpdate": False}
    catalog.update(
        solution,
        latestSolutionUpdate={"status": Status.ACTIVE, **off, "creationDateTime": now, "lastUpdatedDateTime": now},
    )
    return {"solutionArn": str(solution.arn)}


def _refuse_automatic(params: Mapping[str, Any]) -> None:
    refuse(params, "performAutoTraining", "training does not start automatically, call CreateSolutionVersion")
    refuse(params, "performIncrementalUpdate", "call CreateSolutionVersion with the trainingMode UPDATE")


def begin_solution_version(catalog: Catalog, params: Mapping[str, Any], begin: Begin) -> Fields:
    """CreateSolutionVersion: begin to train a version of a solution.

    Raises:
        ServiceError: as the service would refuse the request; nothing has begun.
    """
    from personalize_spark.solutions.train import FULL, UPDATE, begin_version

    validate("CreateSolutionVersion", params)
    solution = find(catalog, params["solutionArn"], "solution")
    config = solution.fields.get("solutionConfig", {})
    hyperparameters = Hyperparameters.of(config.get("algorithmHyperParameters") or {})
    if solution.fields.get("performHPO"):
        hyperparameters = replace(hyperparameters, training_jobs=_candidates(solution.fields))
    mode = params.get("trainingMode", FULL)
    if mode not in (FULL, UPDATE):
        raise InvalidInputException(f"The trainingMode {mode} is not supported; supported: {FULL} and {UPDATE}.")
    named = {name: params[name] for name in ("name", "tags") if params.get(name)}
    version, work = begin_version(catalog, solution, hyperparameters, mode, **named)
    begin(version, lambda compute: work(compute.session()))
    return {"solutionVersionArn": str(version.arn)}


def stop_solution_version_creation(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Stop a training: the version is CREATE STOPPED from now on, and its driver stops its tasks within a heartbeat.

    Raises:
        InvalidInputException: the training has ended.
        ResourceNotFoundException: there is no such version.
    """
    validate("StopSolutionVersionCreation", params)
    version = find(catalog, params["solutionVersionArn"], "solution version")
    while version.status.unfinished:
        try:
            catalog.update(version, status=Status.STOPPED)
        except ResourceInUseException:  # its heartbeat came between
            version = catalog.read(version.arn)
        else:
            return {}
    raise InvalidInputException(f"{version.arn} is {version.status}: only a training that goes on can be stopped.")


def describe_solution(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """A solution, and its latest version."""
    validate("DescribeSolution", params)
    solution = find(catalog, params["solutionArn"], "solution")
    described = {**_OFF, "performAutoTraining": False, **shown(solution, _DESCRIBED)}
    if versions := versions_of(catalog, solution.arn):
        described["latestSolutionVersion"] = shown(reap(catalog, versions[:1])[0], _VERSIONS)
    return {"solution": described}


def list_solutions(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The solutions of the catalog, or of one dataset group, the newest first."""
    validate("ListSolutions", params)
    page, rest = page_of_kind(catalog, KIND, params, "datasetGroupArn")
    return {"solutions": [shown(record, _LISTED) for record in page], **rest}


def delete_solution(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """Delete a solution and its versions.

    Raises:
        ResourceInUseException: a batch inference job in progress uses a version, or one is being trained.
    """
    validate("DeleteSolution", params)
    solution = find(catalog, params["solutionArn"], "solution")
    versions = versions_of(catalog, solution.arn)
    names = {str(each.arn) for each in versions}
    users = [job.arn.name for job in running(catalog, JOB) if job.fields["solutionVersionArn"] in names]
    if users:
        raise ResourceInUseException(
            f"{solution.arn} is in use by the batch inference job {users[0]}; wait until it has ended."
        )
    if any(each.status.unfinished for each in reap(catalog, versions)):
        raise ResourceInUseException(f"A version of {solution.arn} is being trained; wait until it has ended.")
    for record in (*versions, solution):
        catalog.delete(record)
    for folder in ("models", "updates"):
        catalog.store.at(f"{folder}/{solution.arn.name}").delete("")
    return {}


def describe_solution_version(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """A solution version."""
    validate("DescribeSolutionVersion", params)
    [version] = reap(catalog, [find(catalog, params["solutionVersionArn"], "solution version")])
    told = {**_OFF, "performHPO": "tunedHPOParams" in version.fields, "trainingType": "MANUAL"}
    return {"solutionVersion": {**told, **shown(version, _VERSION)}}


def list_solution_versions(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """The versions of a solution, or of all, the newest first."""
    validate("ListSolutionVersions", params)
    if params.get("solutionArn"):
        solutions = [find(catalog, params["solutionArn"], "solution")]
    else:
        solutions = list(catalog.list(KIND))
    records = [each for solution in solutions for each in versions_of(catalog, solution.arn)]
    page, rest = page_of(records, params)
    return {"solutionVersions": [shown(record, _VERSIONS) for record in reap(catalog, page)], **rest}


def get_solution_metrics(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """How good a version is on what its training held out; see `evaluate`.

    Raises:
        ResourceInUseException: its training has not ended.
    """
    validate("GetSolutionMetrics", params)
    [record] = reap(catalog, [find(catalog, params["solutionVersionArn"], "solution version")])
    if record.status.unfinished:
        raise ResourceInUseException(f"{record.arn} is {record.status}; it has metrics when it is ACTIVE.")
    metrics = record.fields.get("metrics", {})
    there = {name: metrics[name] for name in _METRICS if name in metrics}
    return {"solutionVersionArn": str(record.arn), "metrics": there}


def _candidates(fields: Mapping[str, Any]) -> int:
    """How many candidates a training may try, as `hpoConfig` says.

    Raises:
        InvalidInputException: it says more than that.
    """
    config = (fields.get("solutionConfig") or {}).get("hpoConfig") or {}
    for name in ("hpoObjective", "algorithmHyperParameterRanges"):
        refuse(config, name, "the candidates are given, and the best one is chosen by NDCG@25 and log-loss")
    text = (config.get("hpoResourceConfig") or {}).get("maxNumberOfTrainingJobs") or str(_TRAINING_JOBS)
    if not text.isdecimal() or int(text) < 1:
        raise InvalidInputException(f"maxNumberOfTrainingJobs must be a whole number from 1 on, not '{text}'.")
    return int(text)


def _check_events(params: Mapping[str, Any]) -> None:
    try:
        events = Events.of(params)
    except ValueError as error:
        raise InvalidInputException(f"eventValueThreshold must be a number in a string: {error}.") from error
    if events.threshold is not None and events.event_type is None:
        raise InvalidInputException("eventValueThreshold needs an eventType.")
