"""The records of an import: the solution, and the solution version under a new ARN or a given one."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException, ResourceAlreadyExistsException
from personalize_spark.recipes import recipe_of


@dataclass(frozen=True)
class Target:
    """What the import becomes.

    Attributes:
        solution: the name of the solution, made if there is none.
        recipe: the name of the recipe, or its ARN.
        group: the name of a dataset group, for filters and exploration.
        arn: the ARN of the solution version; `None`: a new one.
    """

    solution: str
    recipe: str
    group: str | None = None
    arn: str | None = None


def version_arn(catalog: Catalog, target: Target, group: Record | None) -> Arn:
    """The ARN of the solution version to come; without a given one, of the group's region and account.

    Raises:
        InvalidInputException: the given one is not that of a version of the solution, or the solution's name is none.
        ResourceAlreadyExistsException: there is a version of that ARN that has not failed.
    """
    if target.arn is None:
        base = group.arn if group else Arn.local("solution", target.solution)
        return Arn.parse(str(base.sibling("solution", target.solution, secrets.token_hex(4))))
    arn = Arn.parse(target.arn)
    if arn.kind != "solution" or arn.version is None or arn.name != target.solution:
        raise InvalidInputException(
            f"The ARN '{arn}' is not that of a version of the solution '{target.solution}', "
            f"arn:PARTITION:personalize:REGION:ACCOUNT:solution/{target.solution}/VERSION."
        )
    if catalog.holds(arn) and catalog.read(arn).status is not Status.FAILED:
        raise ResourceAlreadyExistsException(f"Another resource with Arn {arn} already exists.")
    return arn


def shared_fields(catalog: Catalog, version: Arn, target: Target, group: Record | None) -> Fields:
    """What the records of the solution and of its version have in common.

    Raises:
        InvalidInputException: there is a solution of that name, but of another recipe or dataset group.
    """
    arn = version.sibling("solution", version.name)
    wanted: Fields = {"solutionArn": str(arn), "recipeArn": recipe_of(target.recipe).arn}
    if group is not None:
        wanted["datasetGroupArn"] = str(group.arn)
    solution = catalog.read(arn).fields if catalog.holds(arn) else wanted
    for name in ("recipeArn", "datasetGroupArn"):
        if solution.get(name) != wanted.get(name):
            raise InvalidInputException(
                f"The solution '{arn.name}' has the {name} {solution.get(name)}, not {wanted.get(name)}: "
                "use another name."
            )
    return wanted


def create_version(catalog: Catalog, arn: Arn, shared: Fields) -> Record:
    """A new solution version, CREATE IN_PROGRESS, in place of a failed one under the same ARN; and its solution."""
    solution = arn.sibling("solution", arn.name)
    with contextlib.suppress(ResourceAlreadyExistsException):
        catalog.create(solution, {**shared, "name": arn.name, "status": Status.ACTIVE})
    if catalog.holds(arn):
        catalog.delete(catalog.read(arn))
    own = {"solutionVersionArn": str(arn), "trainingMode": "FULL", "status": Status.IN_PROGRESS}
    return catalog.create(arn, {**shared, **own})
