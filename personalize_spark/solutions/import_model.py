"""From factors that something else has learned to an ACTIVE solution version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pyspark.sql import DataFrame, SparkSession

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.resources import find_dataset, find_group
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException, ResourceAlreadyExistsException
from personalize_spark.external import tables
from personalize_spark.external.counts import count_pairs, read_counts, read_pairs
from personalize_spark.external.formats import Axis, are_arrays, check_arrays
from personalize_spark.external.load import (
    Loader,
    Loading,
    Sources,
    load_counts,
    load_item_factors,
    load_user_factors,
)
from personalize_spark.external.spark_ml import saved_indexer
from personalize_spark.external.unpack import unpacked
from personalize_spark.recipes import RECIPES, ModelKind, recipe_of
from personalize_spark.schemas import INTERACTIONS
from personalize_spark.solutions.versions import (
    check_solution,
    create_solution,
    create_version,
    creation,
    new_version_arn,
    solution_fields,
)
from personalize_spark.solutions.write_model import write_model
from personalize_spark.training.extras import require_solvers
from personalize_spark.training.interactions import keeping, read_interactions

__all__ = ["LOADERS", "Sources", "Target", "import_model"]

LOADERS: Mapping[ModelKind, Loader] = {
    ModelKind.USER_FACTORS: load_user_factors,
    ModelKind.SEQUENCES: load_user_factors,
    ModelKind.ITEM_FACTORS: load_item_factors,
    ModelKind.COUNTS: load_counts,
}
"""Of the kinds of model that factors, or counts, are enough for."""


@dataclass(frozen=True)
class Target:
    """What the import becomes.

    Attributes:
        solution: the name of the solution, created if there is none.
        recipe: the name of the recipe, or its ARN.
        group: the name of a dataset group, for filters and exploration.
        arn: the ARN of the solution version; `None`: a new one.
    """

    solution: str
    recipe: str
    group: str | None = None
    arn: str | None = None


def import_model(
    spark: SparkSession, catalog: Catalog, target: Target, sources: Sources, *, fit_temperature: bool = False
) -> Arn:
    """Make a solution version of factors, or of counts for the recipe aws-popularity-count.

    Args:
        spark: a session, with Delta where something lies in a Delta table.
        catalog: gets the solution version.
        target: what becomes of it.
        sources: where things are.
        fit_temperature: fit the temperature of the scores to the interactions; else it is 1.

    Returns:
        The ARN of the solution version, which is ACTIVE.

    Raises:
        InvalidInputException: what is given is not what the recipe needs, or the solution is one of another.
        DataError: something is wrong with the files; nothing was made.
        ResourceAlreadyExistsException: there is a solution version of the given ARN.
        ResourceNotFoundException: there is no such dataset group, or it has no interactions though they are needed.
    """
    arn, solution, sources, found = check_import(catalog, target, sources, fit=fit_temperature)
    recipe = recipe_of(target.recipe)
    with keeping() as keep:
        choices = keep(_pairs(spark, catalog, target, sources)) if fit_temperature else None
        counts = _counts(spark, catalog, target, sources)
        factors = LOADERS[recipe.model](Loading(spark, sources, counts, choices, keep))
        version = create_version(catalog, arn, create_solution(catalog, solution), "FULL")
        about = {
            "recipe": recipe.name,
            "interactions": int(factors.counts().sum()),
            "imported": {name: value for name, value in asdict(sources).items() if value is not None},
        }
        with creation(catalog, version) as store:
            model = write_model(store, factors, about)
    catalog.update(version, status=Status.ACTIVE, **model, notes=[*found, *factors.notes])
    return arn


def check_import(
    catalog: Catalog, target: Target, sources: Sources, *, fit: bool
) -> tuple[Arn, Fields, Sources, list[str]]:
    """Check what can be checked without Spark: what is asked for, the files' places, and the catalog.

    Returns:
        The ARN of the solution version to come, the record of its solution as it must be, the sources with models in place of
        the pipelines that hold them, and what was found there.

    Raises:
        See `import_model`.
    """
    _check_request(target, sources, fit=fit)
    if fit:
        require_solvers()
    group = find_group(catalog, target.group) if target.group else None
    if group is not None and not sources.interactions and (fit or not sources.counts):
        find_dataset(catalog, group.arn, INTERACTIONS)
    arn = _version_arn(catalog, target, group)
    solution = solution_fields(arn.sibling("solution", arn.name), recipe_of(target.recipe), group)
    check_solution(catalog, solution)
    found, notes = unpacked(sources)
    if found.items:
        check_arrays(found.items, Axis.ITEM, found.form, found.item_ids)
        if LOADERS[recipe_of(target.recipe).model] is load_user_factors:
            check_arrays(found.users or found.items, Axis.USER, found.form, found.user_ids)
    ids = (uri for uri in (found.item_ids, found.user_ids) if uri and saved_indexer(uri) is None)
    for uri in (*ids, found.counts, found.interactions):
        if uri:
            tables.kind_of(uri)
    return arn, solution, found, notes


def needs_jars(target: Target, sources: Sources, *, fit: bool) -> bool:
    """Whether Spark itself reads a Delta table or something on S3: then its session needs jars.

    Arrays are read by way of the stores, and so is everything written.
    """
    if target.group and not sources.interactions and (fit or not sources.counts):
        return True
    read = [sources.counts, sources.interactions, sources.item_ids, sources.user_ids]
    factors = [uri for uri in (sources.items, sources.users) if uri and not are_arrays(uri, sources.form)]
    return any(tables.needs_jars(uri) for uri in (*read, *factors) if uri)


def _check_request(target: Target, sources: Sources, *, fit: bool) -> None:
    """Check what is asked for, without a look at any file.

    Raises:
        InvalidInputException: it is not what the recipe needs.
    """
    recipe = recipe_of(target.recipe)
    if recipe.model not in LOADERS:
        supported = ", ".join(sorted(each.name for each in RECIPES.values() if each.model in LOADERS))
        raise InvalidInputException(
            f"A model of the recipe '{recipe.name}' cannot be imported; supported: {supported}."
        )
    if not (sources.counts or sources.interactions or target.group):
        raise InvalidInputException(
            "How popular is each item? It decides what unknown users get: give --counts (id, count), "
            "--interactions (USER_ID, ITEM_ID), or the --group of imported interactions."
        )
    if recipe.model is ModelKind.COUNTS and (sources.items or sources.users):
        raise InvalidInputException(f"{recipe.name} has no factors: leave --items and --users out.")
    if recipe.model is not ModelKind.COUNTS and not sources.items:
        raise InvalidInputException(f"{recipe.name} needs factors: give --items.")
    if recipe.model is ModelKind.ITEM_FACTORS and sources.users:
        raise InvalidInputException(f"{recipe.name} has no users: leave --users out.")
    if fit and LOADERS[recipe.model] is not load_user_factors:
        raise InvalidInputException(f"{recipe.name} has no scores to fit: leave --fit-temperature out.")
    if fit and not (sources.interactions or target.group):
        raise InvalidInputException("The temperature is fitted to interactions: give --interactions or --group.")


def _version_arn(catalog: Catalog, target: Target, group: Record | None) -> Arn:
    """The ARN of the solution version to come; without a given one, of the group's region and account.

    Raises:
        InvalidInputException: the given one is not that of a version of the solution, or the solution's name is none.
        ResourceAlreadyExistsException: there is a version of that ARN that has not failed.
    """
    if target.arn is None:
        own = group.arn.sibling("solution", target.solution) if group else Arn.local("solution", target.solution)
        return Arn.parse(str(new_version_arn(own)))
    arn = Arn.parse(target.arn)
    if arn.kind != "solution" or arn.version is None or arn.name != target.solution:
        raise InvalidInputException(
            f"The ARN '{arn}' is not that of a version of the solution '{target.solution}', "
            f"arn:PARTITION:personalize:REGION:ACCOUNT:solution/{target.solution}/VERSION."
        )
    if catalog.holds(arn) and catalog.read(arn).status is not Status.FAILED:
        raise ResourceAlreadyExistsException(f"Another resource with Arn {arn} already exists.")
    return arn


def _counts(spark: SparkSession, catalog: Catalog, target: Target, sources: Sources) -> DataFrame:
    if sources.counts:
        return read_counts(spark, sources.counts)
    return count_pairs(_pairs(spark, catalog, target, sources))


def _pairs(spark: SparkSession, catalog: Catalog, target: Target, sources: Sources) -> DataFrame:
    """The interactions that are given, else those of the dataset group."""
    if sources.interactions:
        return read_pairs(spark, sources.interactions)
    dataset = find_dataset(catalog, find_group(catalog, target.group or "").arn, INTERACTIONS)
    return read_interactions(spark, dataset.fields["path"], dataset.fields["deltaVersion"])
