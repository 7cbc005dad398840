"""The records of solutions and their versions, whether these are trained or imported."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.lease import Lease
from personalize_spark.catalog.status import Status
from personalize_spark.errors import (
    InvalidInputException,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    StorageError,
    reason_of,
)
from personalize_spark.recipes import Recipe
from personalize_spark.storage.store import Store

_SHARED = ("solutionArn", "recipeArn", "datasetGroupArn", "eventType", "solutionConfig")
"""What the records of a solution and of its versions have in common."""


def solution_fields(arn: Arn, recipe: Recipe, group: Record | None) -> Fields:
    """The record of a new solution; `group` is its dataset group, if it has one."""
    own = {"solutionArn": str(arn), "name": arn.name, "recipeArn": recipe.arn, "status": Status.ACTIVE}
    return own if group is None else own | {"datasetGroupArn": str(group.arn)}


def check_solution(catalog: Catalog, wanted: Fields) -> None:
    """Check that the solution, if there is one, is of this recipe and dataset group.

    Raises:
        InvalidInputException: it is not.
    """
    arn = Arn.parse(wanted["solutionArn"])  # the name becomes a path
    found = catalog.read(arn).fields if catalog.holds(arn) else wanted
    for field in ("recipeArn", "datasetGroupArn"):
        if found.get(field) != wanted.get(field):
            raise InvalidInputException(
                f"The solution '{arn.name}' has the {field} {found.get(field)}, not {wanted.get(field)}: use another name."
            )


def create_solution(catalog: Catalog, wanted: Fields) -> Record:
    """The solution, created if there is none.

    Raises:
        InvalidInputException: see `check_solution`.
    """
    arn = Arn.parse(wanted["solutionArn"])
    with contextlib.suppress(ResourceAlreadyExistsException):
        return catalog.create(arn, wanted)
    check_solution(catalog, wanted)
    return catalog.read(arn)


def new_version_arn(solution: Arn) -> Arn:
    """The ARN of a version to come."""
    return solution.sibling("solution", solution.name, secrets.token_hex(4))


def create_version(catalog: Catalog, arn: Arn, solution: Record, mode: str, **more: Any) -> Record:
    """A new version of a solution, CREATE PENDING, in place of a failed one under the same ARN."""
    if catalog.holds(arn):
        catalog.delete(catalog.read(arn))
    shared = {name: solution.fields[name] for name in _SHARED if name in solution.fields}
    own = {"name": arn.name, "solutionVersionArn": str(arn), "trainingMode": mode, "status": Status.PENDING}
    return catalog.create(arn, {**shared, **own, **more})


@contextlib.contextmanager
def creation(catalog: Catalog, version: Record) -> Iterator[Store]:
    """The place of the model of a version, which is CREATE IN_PROGRESS meanwhile.

    An error leaves the version CREATE FAILED with its reason, and nothing of a model.
    """
    store = catalog.store.at(f"models/{version.arn.name}/{version.arn.version}")
    try:
        with Lease(catalog, version):
            yield store
    except BaseException as error:
        with contextlib.suppress(ResourceInUseException):  # somebody else has said so already
            catalog.update(version, status=Status.FAILED, failureReason=reason_of(error))
        with contextlib.suppress(StorageError):  # the reason of the failure is worth more than that of the cleaning
            store.delete("")
        raise
