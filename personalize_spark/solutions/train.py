"""From a dataset group and a recipe to an ACTIVE solution version."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import Any

from pyspark.sql import SparkSession

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.themes import write_themes
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.resources import find_dataset, find_group, latest_active_version
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException
from personalize_spark.recipes import RECIPES, ModelKind, recipe_of
from personalize_spark.schemas import INTERACTIONS
from personalize_spark.solutions.take_in import take_in
from personalize_spark.solutions.tuning import train_measured
from personalize_spark.solutions.update import update
from personalize_spark.solutions.versions import (
    create_solution,
    create_version,
    creation,
    new_version_arn,
    solution_fields,
)
from personalize_spark.solutions.write_model import write_model
from personalize_spark.storage.store import Store
from personalize_spark.training.als import fits_here, train_als
from personalize_spark.training.configuration import WORDLLAMA, WORDS, Events, Hyperparameters
from personalize_spark.training.extras import require_solvers, require_wordllama
from personalize_spark.training.factors import Factors
from personalize_spark.training.interactions import Totals, count_pairs, keeping, read_events, totals
from personalize_spark.training.item_models import train_item_factors, train_neighbours, train_words
from personalize_spark.training.local_cooccurrence import counts_here
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.metadata import Metadata, read_metadata
from personalize_spark.training.popularity import train_popularity
from personalize_spark.training.sequences import train_sequences
from personalize_spark.training.themes import EMBEDDINGS, learn_themes
from personalize_spark.training.training import Trainer, Training

__all__ = ["FULL", "TRAINERS", "UPDATE", "Hyperparameters", "begin_version", "train", "train_version"]

FULL, UPDATE = "FULL", "UPDATE"

TRAINERS: Mapping[ModelKind, Trainer] = {
    ModelKind.USER_FACTORS: train_als,
    ModelKind.SEQUENCES: train_sequences,
    ModelKind.ITEM_FACTORS: train_item_factors,
    ModelKind.NEIGHBOURS: train_neighbours,
    ModelKind.WORDS: train_words,
    ModelKind.COUNTS: train_popularity,
}

_CHOOSING: Sequence[Trainer] = (train_als, train_sequences)
"""Trainers whose recipes may choose among the models of both."""

_COUNTING: Sequence[Trainer] = (train_neighbours, train_item_factors)
"""Trainers that count pairs of items."""

_MIN_INTERACTIONS, _MIN_ACTIVE_USERS = 1000, 25

_log = logging.getLogger(__name__)


def train(
    spark: SparkSession,
    catalog: Catalog,
    group: str,
    recipe: str,
    solution: str,
    hyperparameters: Hyperparameters,
) -> Arn:
    """Train a new version of a solution, which is made if there is none.

    Args:
        spark: a session with Delta.
        catalog: holds the dataset group and gets the solution version.
        group: the name of the dataset group.
        recipe: the name of the recipe, or its ARN.
        solution: the name of the solution.
        hyperparameters: for recipes that have some.

    Returns:
        The ARN of the solution version, which is ACTIVE.

    Raises:
        InvalidInputException: no such recipe, or the solution is one of another recipe or dataset group.
        ResourceNotFoundException: no such dataset group, or it has no interactions.
        DataError: the interactions cannot be learned from; like every later error it leaves a version that is CREATE FAILED.
    """
    return train_version(spark, catalog, solution_for(catalog, group, recipe, solution), hyperparameters)


def solution_for(catalog: Catalog, group: str, recipe: str, name: str) -> Record:
    """The solution of that name, created if there is none; all that can be checked of a training without Spark is checked.

    Raises:
        EnvironmentProblem: this machine lacks what the training needs.
        InvalidInputException: no such recipe, or the solution is one of another recipe or dataset group.
        ResourceNotFoundException: no such dataset group, or it has no interactions.
    """
    chosen, owner = recipe_of(recipe), find_group(catalog, group)
    find_dataset(catalog, owner.arn, INTERACTIONS)
    if chosen.model is not ModelKind.COUNTS:
        require_solvers()
    return create_solution(catalog, solution_fields(owner.arn.sibling("solution", name), chosen, owner))


def train_version(spark: SparkSession, catalog: Catalog, solution: Record, hyperparameters: Hyperparameters) -> Arn:
    """Train a new version of a solution; see `train`."""
    version, work = begin_version(catalog, solution, hyperparameters)
    work(spark)
    return version.arn


def begin_version(
    catalog: Catalog, solution: Record, hyperparameters: Hyperparameters, mode: str = FULL, **named: Any
) -> tuple[Record, Callable[[SparkSession], None]]:
    """A new version of a solution, CREATE PENDING, and the training that makes it ACTIVE; `named` are more fields of its record.

    Raises:
        InvalidInputException: UPDATE is not for the recipe, or there is nothing to update.
        ResourceNotFoundException: the dataset group has no interactions.
    """
    if hyperparameters.theme_embedding == WORDLLAMA:
        require_wordllama()
    recipe = recipe_of(solution.fields["recipeArn"])
    base = None
    group = Arn.parse(solution.fields["datasetGroupArn"])
    dataset = find_dataset(catalog, group, INTERACTIONS)
    if mode == UPDATE:
        if not recipe.updatable:
            updatable = " and ".join(each.name for each in RECIPES.values() if each.updatable)
            raise InvalidInputException(f"The training mode {UPDATE} is for {updatable}, not for {recipe.name}.")
        full = latest_active_version(catalog, solution.arn, FULL)
        if full is None:
            raise InvalidInputException(
                f"{UPDATE} needs an ACTIVE version of {solution.arn} that was trained in the mode {FULL}."
            )
        base = Pinned(**full.fields["model"]).open()
    learned = _delta_versions(dataset)
    version = create_version(catalog, new_version_arn(solution.arn), solution, mode, deltaVersions=learned, **named)

    def work(spark: SparkSession) -> None:
        trainer = TRAINERS[recipe.model] if base is None else partial(update, spark, base=base)
        started = time.monotonic()
        with creation(catalog, version) as store:
            now = catalog.read(dataset.arn) if take_in(spark, catalog, group) else dataset
            fields = _train(spark, catalog, now, version, trainer, hyperparameters, store)
        hours = (time.monotonic() - started) / 3600
        catalog.update(version, status=Status.ACTIVE, trainingHours=hours, **fields)

    return version, work


def _train(
    spark: SparkSession,
    catalog: Catalog,
    dataset: Record,
    version: Record,
    trainer: Trainer,
    hyperparameters: Hyperparameters,
    store: Store,
) -> Fields:
    """Write the model; returns what the record says of it."""
    recipe = recipe_of(version.fields["recipeArn"])
    events = Events.of(version.fields)
    table = read_events(spark, dataset.fields["path"], dataset.fields["deltaVersion"], events)
    here = LocalPairs.read(table) if _here(trainer, hyperparameters, table.count) else None
    with keeping() as keep:
        pairs = count_pairs(table) if here else keep(count_pairs(table))
        counted = totals(pairs) if here is None else here.totals
        _warn_below_minimum(dataset.arn.name, counted)
        metadata = cache(partial(read_metadata, spark, catalog, dataset.arn))
        training = Training(recipe, pairs, counted, hyperparameters, metadata, keep, here)
        factors = train_measured(training, trainer) if trainer in _CHOOSING else trainer(training)
        learned = {"deltaVersions": _delta_versions(dataset)}
        properties = {"recipe": recipe.name, "interactions": counted.interactions, **learned}
        fields = write_model(store, factors, properties) | learned | _told(factors, hyperparameters)
        if not recipe.themed:
            return fields
        return {**fields, **_learn_themes(store, metadata(), hyperparameters.theme_embedding)}


def _delta_versions(interactions: Record) -> Fields:
    """Of the tables that a version has learned."""
    return {INTERACTIONS.upper(): interactions.fields["deltaVersion"]}


def _here(trainer: Trainer, hyperparameters: Hyperparameters, count: Callable[[], int]) -> bool:
    """Whether the interactions are read into this process: where ALS fits, unless pairs of items are counted, which takes more."""
    if trainer not in (*_CHOOSING, *_COUNTING):
        return False
    interactions = count()
    alone = trainer is train_als and hyperparameters.training_jobs <= 1
    return fits_here(interactions) and (alone or counts_here(interactions))


def _told(factors: Factors, hyperparameters: Hyperparameters) -> Fields:
    """What the record says of a choice, where one was made; by the service's name, where it was asked for."""
    told = {name: factors.properties[name] for name in ("chosen", "choice", "candidates") if name in factors.properties}
    if not told:
        return {}
    if hyperparameters.training_jobs <= 1:
        return {"choice": told}
    form = told["chosen"]
    named = {"model": form} if isinstance(form, str) else {name: str(value) for name, value in form.items()}
    return {"tunedHPOParams": {"algorithmHyperParameters": named}, "choice": told}


def _learn_themes(store: Store, metadata: Metadata | None, embedding: str = WORDS) -> Fields:
    """Write what themes are made from, if there are texts; returns what the record says of it."""
    if metadata is None or not metadata.has_text:
        return {}
    learned = learn_themes(metadata.table, metadata.columns, EMBEDDINGS[embedding]())
    return {"themes": asdict(write_themes(store.at("themes"), learned))}


def _warn_below_minimum(group: str, counted: Totals) -> None:
    if counted.interactions < _MIN_INTERACTIONS or counted.active_users < _MIN_ACTIVE_USERS:
        _log.warning(
            "%s has %d interactions and %d users with two or more; the service requires %d and %d. Expect poor recommendations.",
            group,
            counted.interactions,
            counted.active_users,
            _MIN_INTERACTIONS,
            _MIN_ACTIVE_USERS,
        )
