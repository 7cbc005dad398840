"""The records of a training: what it reads, the solution, and the solution version with its status."""

from __future__ import annotations

import contextlib
import difflib
import secrets
from collections.abc import Iterable

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.status import Status
from personalize_spark.errors import (
    InvalidInputException,
    PersonalizeSparkError,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    StorageError,
)

_REASON = 1000
"""Characters; Spark's own messages end with pages of stack."""


def find_group(catalog: Catalog, name: str) -> Record:
    """The dataset group of that name.

    Raises:
        ResourceNotFoundException: there is none.
    """
    groups = {record.arn.name: record for record in catalog.list("dataset-group")}
    if name not in groups:
        hint = did_you_mean(name, groups)
        raise ResourceNotFoundException(f"There is no dataset group '{name}' in the catalog {catalog.uri}.{hint}")
    return groups[name]


def find_interactions(catalog: Catalog, group: str) -> Record:
    """The Interactions dataset of a dataset group.

    Raises:
        ResourceNotFoundException: there is none.
    """
    found = find_group(catalog, group)
    try:
        return catalog.read(found.arn.sibling("dataset", group, "INTERACTIONS"))
    except ResourceNotFoundException as error:
        raise ResourceNotFoundException(
            f"The dataset group '{group}' has no Interactions dataset: import interactions before training."
        ) from error


def find_solution(catalog: Catalog, dataset: Record, recipe_arn: str, name: str) -> Record:
    """The solution of that name, made if there is none.

    Raises:
        InvalidInputException: the name is not one, or it is that of a solution of another recipe or dataset group.
    """
    arn = dataset.arn.sibling("solution", name)
    Arn.parse(str(arn))  # the name becomes a path
    wanted: Fields = {
        "recipeArn": recipe_arn,
        "datasetGroupArn": str(dataset.arn.sibling("dataset-group", dataset.arn.name)),
    }
    try:
        return catalog.create(arn, {"solutionArn": str(arn), "name": name, "status": Status.ACTIVE, **wanted})
    except ResourceAlreadyExistsException:
        solution = catalog.read(arn)
    for field, value in wanted.items():
        if solution.fields[field] != value:
            raise InvalidInputException(
                f"The solution '{name}' has the {field} {solution.fields[field]}, not {value}: use another name."
            )
    return solution


def create_version(catalog: Catalog, solution: Record, dataset: Record, mode: str) -> Record:
    """A new solution version, CREATE PENDING, pinned to the dataset's Delta version of now."""
    arn = solution.arn.sibling("solution", solution.arn.name, secrets.token_hex(4))
    names = ("solutionArn", "recipeArn", "datasetGroupArn", "eventType", "solutionConfig")
    shared = {name: solution.fields[name] for name in names if name in solution.fields}
    delta_versions = {"INTERACTIONS": dataset.fields["deltaVersion"]}
    return catalog.create(
        arn,
        {
            "solutionVersionArn": str(arn),
            **shared,
            "trainingMode": mode,
            "deltaVersions": delta_versions,
            "status": Status.PENDING,
        },
    )


def last_full_version(catalog: Catalog, solution: Record) -> Record:
    """The newest ACTIVE version of a solution that was trained in full.

    Raises:
        InvalidInputException: there is none.
    """
    versions = [
        each
        for each in catalog.list("solution", solution.arn.name)
        if each.status is Status.ACTIVE and each.fields.get("trainingMode") == "FULL"
    ]
    if not versions:
        raise InvalidInputException(
            f"UPDATE needs an ACTIVE version of {solution.arn} that was trained in the mode FULL."
        )
    return max(versions, key=lambda each: each.fields["creationDateTime"])


def fail(catalog: Catalog, version: Record, error: BaseException) -> None:
    """Mark a version as CREATE FAILED and remove what it has of a model."""
    reason = error.message if isinstance(error, PersonalizeSparkError) else f"{type(error).__name__}: {error}"[:_REASON]
    catalog.update(version, status=Status.FAILED, failureReason=reason)
    with contextlib.suppress(StorageError):  # the reason of the failure is worth more than that of the cleaning
        catalog.store.at(f"models/{version.arn.name}/{version.arn.version}").delete("")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A hint to append to a refusal; empty if nothing is near."""
    near = difflib.get_close_matches(name, names, 1, 0.5)
    return f" Did you mean '{near[0]}'?" if near else ""
