"""How resources are found; and the records of a training: the solution, and the solution version with its status."""

from __future__ import annotations

import contextlib
import secrets

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.status import Status
from personalize_spark.errors import (
    InvalidInputException,
    PersonalizeSparkError,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
    StorageError,
    did_you_mean,
)
from personalize_spark.schemas import Schema

_REASON = 1000
"""Characters; Spark's own messages end with pages of stack."""


def find(catalog: Catalog, arn: str, wanted: str) -> Record:
    """The resource of an ARN.

    Args:
        catalog: holds the resource.
        arn: as a request gives it.
        wanted: what it must be, in words, such as `solution version`.

    Raises:
        InvalidInputException: the ARN is that of something else.
        ResourceNotFoundException: there is no such resource.
    """
    parsed = Arn.parse(arn, wanted)
    try:
        return catalog.read(parsed)
    except ResourceNotFoundException as error:
        siblings = catalog.list(parsed.kind, parsed.name if parsed.version else None)
        names = {_own_name(each.arn) for each in siblings} - {_own_name(parsed)}  # the same name in another region
        hint = did_you_mean(_own_name(parsed), names)
        raise ResourceNotFoundException(f"{error.message.removesuffix('.')}{hint}.") from error


def find_group(catalog: Catalog, name: str) -> Record:
    """The dataset group of that name.

    Raises:
        ResourceNotFoundException: there is none.
    """
    groups = {record.arn.name: record for record in catalog.list("dataset-group")}
    if name not in groups:
        hint = did_you_mean(name, groups) or f"; there are: {', '.join(groups) or 'none'}"
        raise ResourceNotFoundException(f"There is no dataset group '{name}' in the catalog {catalog.uri}{hint}.")
    return groups[name]


def find_dataset(catalog: Catalog, group: Arn, dataset: str) -> Record:
    """A dataset of a dataset group: `Interactions`, `Items` or `Users`.

    Raises:
        ResourceNotFoundException: the group has no such dataset.
    """
    try:
        return catalog.read(dataset_arn(group, dataset))
    except ResourceNotFoundException as error:
        raise ResourceNotFoundException(
            f"The dataset group '{group.name}' has no {dataset} dataset: import {dataset.lower()} first."
        ) from error


def find_schema(catalog: Catalog, dataset: Record) -> Schema:
    """The schema of a dataset."""
    return Schema.read(catalog.read(Arn.parse(dataset.fields["schemaArn"])).fields["schema"])


def dataset_arn(group: Arn, dataset: str) -> Arn:
    """The ARN of a dataset of a dataset group."""
    return group.sibling("dataset", group.name, dataset.upper())


def find_active_version(catalog: Catalog, arn: str) -> Record:
    """The solution version of an ARN, ready to recommend.

    Raises:
        InvalidInputException: the ARN is that of something else, or the version is CREATE FAILED.
        ResourceInUseException: its creation has not ended.
        ResourceNotFoundException: there is no such version.
    """
    version = find(catalog, arn, "solution version")
    if version.status is Status.FAILED:
        reason = version.fields.get("failureReason")
        raise InvalidInputException(f"The solution version {arn} is {version.status}: {reason}")
    if version.status is not Status.ACTIVE:
        raise ResourceInUseException(f"The solution version {arn} is {version.status}; wait until it is ACTIVE.")
    return version


def versions_of(catalog: Catalog, solution: Arn) -> list[Record]:
    """The versions of a solution, the newest first."""
    versions = catalog.list("solution", solution.name)
    return sorted(versions, key=lambda each: each.fields["creationDateTime"], reverse=True)


def latest_active_version(catalog: Catalog, solution: Arn, mode: str | None = None) -> Record | None:
    """The newest ACTIVE version of a solution, if there is one; with `mode`, of those that were trained in this mode."""
    for each in versions_of(catalog, solution):
        if each.status is Status.ACTIVE and mode in {None, each.fields.get("trainingMode")}:
            return each
    return None


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


def fail(catalog: Catalog, version: Record, error: BaseException) -> None:
    """Mark a version as CREATE FAILED and remove what it has of a model."""
    reason = error.message if isinstance(error, PersonalizeSparkError) else f"{type(error).__name__}: {error}"[:_REASON]
    catalog.update(version, status=Status.FAILED, failureReason=reason)
    with contextlib.suppress(StorageError):  # the reason of the failure is worth more than that of the cleaning
        catalog.store.at(f"models/{version.arn.name}/{version.arn.version}").delete("")


def _own_name(arn: Arn) -> str:
    """What tells a resource from its siblings."""
    return arn.version or arn.name
