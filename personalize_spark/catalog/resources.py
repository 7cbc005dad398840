"""How resources are found."""

from __future__ import annotations

import contextlib

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.lease import reap
from personalize_spark.catalog.status import Status
from personalize_spark.errors import (
    InvalidInputException,
    ResourceInUseException,
    ResourceNotFoundException,
    did_you_mean,
)
from personalize_spark.schemas import Schema


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
        raise ResourceNotFoundException(f"{error.message.removesuffix('.')}{_hint(catalog, parsed)}.") from error


def _hint(catalog: Catalog, arn: Arn) -> str:
    """What may have been meant by an ARN of nothing."""
    siblings = list(catalog.list(arn.kind, arn.name if arn.version else None))
    names = {_own_name(each.arn) for each in siblings} - {_own_name(arn)}  # the same name in another region
    if hint := did_you_mean(_own_name(arn), names):
        return hint
    if arn.noun == "solution version" and siblings:
        return f"; the newest version of {arn.name} is {versions_of(catalog, arn)[0].arn}"
    if arn.version:
        return did_you_mean(arn.name, {each.arn.name for each in catalog.list(arn.kind)} - {arn.name})
    return ""


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
    """A dataset of a dataset group, with data: `Interactions`, `Items` or `Users`.

    Raises:
        ResourceNotFoundException: the group has no such dataset, or nothing was imported into it.
    """
    with contextlib.suppress(ResourceNotFoundException):
        found = catalog.read(dataset_arn(group, dataset))
        if "deltaVersion" in found.fields:
            return found
    raise ResourceNotFoundException(
        f"The dataset group '{group.name}' has no {dataset} dataset: import {dataset.lower()} first."
    )


def find_schema(catalog: Catalog, dataset: Record) -> Schema:
    """The schema of a dataset's rows: the dataset's own, unless it was updated and no FULL import has followed."""
    arn = dataset.fields.get("rowsSchemaArn") or dataset.fields["schemaArn"]
    return Schema.read(catalog.read(Arn.parse(arn)).fields["schema"])


def find_own_schema(catalog: Catalog, dataset: Record) -> Schema:
    """The schema that a dataset was given last: the next FULL import is of it."""
    return Schema.read(catalog.read(Arn.parse(dataset.fields["schemaArn"])).fields["schema"])


def import_arn(group: Arn) -> Arn:
    """The record that says whether somebody imports into a group."""
    return group.sibling("import", group.name)


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
    [version] = reap(catalog, [find(catalog, arn, "solution version")])
    if version.status is Status.FAILED:
        reason = version.fields.get("failureReason")
        raise InvalidInputException(f"The solution version {arn} is {version.status}: {reason}")
    if version.status is Status.STOPPED:
        raise InvalidInputException(f"The solution version {arn} is {version.status}: train another one.")
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


def _own_name(arn: Arn) -> str:
    """What tells a resource from its siblings."""
    return arn.version or arn.name
