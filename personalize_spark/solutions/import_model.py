"""From factors that something else has learned to an ACTIVE solution version."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from personalize_spark.artifacts.artifact import Entry, finish
from personalize_spark.artifacts.model import write_items
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.resources import fail, find_dataset, find_group
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException
from personalize_spark.external.counts import count_pairs, read_counts, read_pairs
from personalize_spark.external.loaded import Given, Sources, given_counts, given_items, given_users
from personalize_spark.external.users import UserSide, sample_of, write_users
from personalize_spark.recipes import RECIPES, ModelKind, recipe_of
from personalize_spark.schemas import INTERACTIONS
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.solutions.versions import Target, create_version, shared_fields, version_arn
from personalize_spark.storage.store import Store
from personalize_spark.training.interactions import read_interactions
from personalize_spark.training.popularity import counts_of, item_side

__all__ = ["IMPORTED", "Sources", "Target", "import_model"]

_WITH_USERS = {ModelKind.USER_FACTORS, ModelKind.SEQUENCES}
IMPORTED = {*_WITH_USERS, ModelKind.ITEM_FACTORS, ModelKind.COUNTS}
"""The kinds of model that factors, or counts, are enough for."""
_SAMPLE = 4096
"""Questions that `ItemMatrix` learns its bounds from."""


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
    check_request(target, sources, fit=fit_temperature)
    group = find_group(catalog, target.group) if target.group else None
    arn = version_arn(catalog, target, group)
    shared = shared_fields(catalog, arn, target, group)
    with _given(spark, catalog, target, sources, fit=fit_temperature) as given:
        version = create_version(catalog, arn, shared)
        try:
            model = _write(catalog, version, sources, given)
        except BaseException as error:
            fail(catalog, version, error)
            raise
    catalog.update(version, status=Status.ACTIVE, **model)
    return arn


def check_request(target: Target, sources: Sources, *, fit: bool) -> None:
    """Check what is asked for, without a look at any file.

    Raises:
        InvalidInputException: it is not what the recipe needs.
    """
    recipe = recipe_of(target.recipe)
    if recipe.model not in IMPORTED:
        supported = ", ".join(sorted(each.name for each in RECIPES.values() if each.model in IMPORTED))
        raise InvalidInputException(
            f"A model of the recipe '{recipe.name}' cannot be imported; supported: {supported}."
        )
    if not (sources.counts or sources.interactions or target.group):
        raise InvalidInputException(
            "How popular is each item? It decides what strangers get: give --counts (id, count), "
            "--interactions (USER_ID, ITEM_ID), or the --group of imported interactions."
        )
    if recipe.model is ModelKind.COUNTS and (sources.items or sources.users):
        raise InvalidInputException(f"{recipe.name} has no factors: leave --items and --users out.")
    if recipe.model is not ModelKind.COUNTS and not sources.items:
        raise InvalidInputException(f"{recipe.name} needs factors: give --items.")
    if recipe.model is ModelKind.ITEM_FACTORS and sources.users:
        raise InvalidInputException(f"{recipe.name} has no users: leave --users out.")
    if fit and recipe.model not in _WITH_USERS:
        raise InvalidInputException(f"{recipe.name} has no scores to fit: leave --fit-temperature out.")
    if fit and not (sources.interactions or target.group):
        raise InvalidInputException("A temperature is fitted to interactions: give --interactions or --group.")


def _given(
    spark: SparkSession, catalog: Catalog, target: Target, sources: Sources, *, fit: bool
) -> AbstractContextManager[Given]:
    pairs = _pairs(spark, catalog, target, sources) if fit else None
    if sources.counts:
        counts = read_counts(spark, sources.counts)
    else:
        counts = count_pairs(pairs or _pairs(spark, catalog, target, sources))
    kind = recipe_of(target.recipe).model
    if kind is ModelKind.COUNTS:
        return nullcontext(given_counts(counts))
    if kind is ModelKind.ITEM_FACTORS:
        return nullcontext(given_items(spark, sources, counts))
    return given_users(spark, sources, counts, pairs)


def _pairs(spark: SparkSession, catalog: Catalog, target: Target, sources: Sources) -> DataFrame:
    """The interactions that are given, else those of the dataset group."""
    if sources.interactions:
        return read_pairs(spark, sources.interactions)
    dataset = find_dataset(catalog, find_group(catalog, target.group or "").arn, INTERACTIONS)
    return read_interactions(spark, dataset.fields["path"], dataset.fields["deltaVersion"])


def _write(catalog: Catalog, version: Record, sources: Sources, given: Given) -> Fields:
    """Write the model; returns what the record says of it."""
    store = catalog.store.at(f"models/{version.arn.name}/{version.arn.version}")
    properties: dict[str, Any] = {
        "recipe": recipe_of(version.fields["recipeArn"]).name,
        "items": given.items.num_rows,
        "interactions": int(counts_of(given.items).sum()),
        "imported": {name: value for name, value in asdict(sources).items() if value is not None},
    }
    entries = _write_items(store, given)
    if given.factors is not None:
        properties["rank"] = given.factors.shape[1]
    if given.users is not None:
        [factors] = [entry for entry in entries if entry.name == "factors.npy"]
        side = UserSide(store.root, store.access, factors, properties["rank"], given.temperature)
        entries += write_users(given.users, side, given.rows)
        properties |= {"users": given.rows, "temperature": given.temperature, "metrics": given.metrics}
    model = finish(store, entries, properties)
    return {"model": asdict(model), "metrics": given.metrics}


def _write_items(store: Store, given: Given) -> list[Entry]:
    popular = np.argsort(-counts_of(given.items), kind="stable")
    if given.factors is None:
        return write_items(store, item_side(given.items, popular))
    ranks = np.arange(len(given.factors), dtype=np.int32)
    if given.users is not None:
        matrix, order = ItemMatrix.sort(given.factors, ranks, sample_of(given.users))
        return write_items(store, item_side(given.items, order, matrix))
    matrix, order = ItemMatrix.sort(given.factors, ranks, given.factors[popular[:_SAMPLE]])
    return write_items(store, replace(item_side(given.items, order, matrix), queries=matrix.factors))
