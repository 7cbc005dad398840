"""A solution version evaluated: on what its training held out, or on later interactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.artifacts.heldout import (
    COSINE,
    EASE,
    Asked,
    HeldOut,
    look_up,
    read_held_out,
    read_item_peers,
    read_known,
    read_peers,
)
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.catalog.resources import find_active_version
from personalize_spark.errors import ArtifactError, DataError, InvalidInputException
from personalize_spark.quality.evaluation import LONGEST, Evaluation
from personalize_spark.quality.evaluation_page import evaluation_page
from personalize_spark.quality.later import ITEM_ID, TIMESTAMP, USER_ID, last_two, read_interactions
from personalize_spark.quality.measures import known_shares, measure, measure_lists, rank
from personalize_spark.recipes import ModelKind, Recipe, RecipeType, Settings, recipe_of
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection
from personalize_spark.scoring.users import Users
from personalize_spark.storage.location import Place, uri_of, write_to

_PEERS = {COSINE: "cosine", EASE: "EASE"}
"""Their names in the table."""
_UNPAIRED = (
    "The two versions were measured on different users or items: compare them on one file of later interactions to see which one is "
    "better."
)


@dataclass(frozen=True)
class _Evaluated:
    """An evaluation, and on what: by user, the ids of the items to find."""

    evaluation: Evaluation
    targets: list[list[str]]


def evaluate(
    catalog: Catalog | Place,
    solution_version: str,
    *,
    interactions: Place | None = None,
    beside: str | None = None,
    page: Place | None = None,
) -> Evaluation:
    """Measure the quality of a solution version's recommendations, beside popular and random ones.

    A recipe of related items is asked for each user's last item but one, and is to find the last one.

    Args:
        catalog: the catalog or its place: it holds the solution version.
        solution_version: its ARN.
        interactions: a CSV file of later interactions, with the columns USER_ID and ITEM_ID; if left out, the items that the
            training held out. An imported model needs this file, and a recipe of related items one that has TIMESTAMP, too.
        beside: the ARN of another version, to stand beside it; best one of the same dataset group, so that both are measured on
            the same users.
        page: write a page with charts there, as HTML.

    Returns:
        The measures of the rankings and how sure they are, the log-losses, and how often scores came true.

    Raises:
        InvalidInputException: a version has failed, has nothing to evaluate, or has no held-out items.
        ResourceInUseException: its training has not ended.
        ResourceNotFoundException: there is no such solution version.
        ObjectNotFound: there is no such file.
        DataError: the file is not CSV with these columns, or has no user and item that the model knows.
        ArtifactError: the model is of an earlier release.
    """
    catalog = Catalog(catalog)
    later = None if interactions is None else uri_of(interactions)
    measured = _evaluated(catalog, solution_version, later)
    evaluation = measured.evaluation
    if beside is not None:
        other = _evaluated(catalog, beside, later)
        paired = other.targets == measured.targets
        evaluation = evaluation.beside(other.evaluation, "/".join(beside.split("/")[-2:]), paired=paired)
        if not paired:
            evaluation = replace(evaluation, notes=(*evaluation.notes, _UNPAIRED))
    if page is not None:
        write_to(page, evaluation_page(evaluation).encode())
    return evaluation


def _evaluated(catalog: Catalog, arn: str, source: str | None) -> _Evaluated:
    record = find_active_version(catalog, arn)
    artifact = Pinned(**record.fields["model"]).open()
    model, recipe = read_model(artifact), recipe_of(artifact.properties["recipe"])
    if recipe.model is ModelKind.COUNTS:
        raise InvalidInputException(f"{arn} has nothing to evaluate: {recipe.name} gives everybody the popular items.")
    if "interactions" not in artifact.properties:
        raise ArtifactError(
            f"The model of {arn} does not record how many interactions its popularity is based on: train or import it again."
        )
    related = recipe.type is RecipeType.RELATED_ITEMS
    evaluation, targets = (_related if related else _personal)(artifact, model, recipe, arn, source)
    ids = model.item_ids()
    found = [[ids[item] for item in targets.row(user)] for user in range(len(targets))]
    told = _told(record.fields, artifact.properties)
    return _Evaluated(replace(evaluation, solution_version_arn=arn, version=told), found)


def _personal(
    artifact: Artifact, model: Model, recipe: Recipe, arn: str, source: str | None
) -> tuple[Evaluation, Ragged[np.int32]]:
    """A model of users, and what they were to find."""
    items, learned, notes = model.item_side, artifact.properties["interactions"], tuple[str, ...]()
    if items is None or model.users is None:
        raise InvalidInputException(f"{arn} has no user vectors to evaluate: {recipe.name} recommends without them.")
    if source is None:
        out = _held_out(artifact, arn)
        shares = known_shares(read_known(artifact))
        peers = {_PEERS[name]: lists for name, lists in read_peers(artifact).items()}
    else:
        asked, notes = _came_since(model, model.users, source)
        out, peers = rank(asked, items, model.curve), {}
        shares = known_shares(_counts(model, learned))
    return replace(measure(out, shares, items.ranks, peers), notes=notes), out.targets


def _related(
    artifact: Artifact, model: Model, recipe: Recipe, arn: str, source: str | None
) -> tuple[Evaluation, Ragged[np.int32]]:
    """A model of related items: asked for an item, it is to find what the same user came to next."""
    if source is None:
        raise InvalidInputException(
            f"{recipe.name} learns from all interactions, so nothing was held out of {arn}: give later interactions, a CSV file "
            f"of {USER_ID},{ITEM_ID},{TIMESTAMP}."
        )
    last = last_two(read_interactions(source, timed=True))
    rows = [model.rows_of([pair[place] for pair in last]) for place in (0, 1)]
    known = np.flatnonzero((rows[0] >= 0) & (rows[1] >= 0))
    if not len(known):
        raise DataError(f"{source} has no user who came from one item that the model knows to another one.")
    asked, targets = (Ragged(np.arange(len(known) + 1), each[known].astype(np.int32)) for each in rows)
    lines = [{"itemId": last[row][0]} for row in known.tolist()]
    lists = recipe.recommend(model, lines, Settings(LONGEST), Selection()).items.padded(LONGEST, -1).astype(np.int32)
    peers = {_PEERS[name]: rows[asked.values] for name, rows in read_item_peers(artifact).items()}
    ranks = np.argsort(model.popularity_order).astype(np.int32)
    shares = known_shares(_counts(model, artifact.properties["interactions"]))
    evaluation = measure_lists(lists, targets, asked, shares, ranks, peers)
    note = (
        f"Asked for the last item but one of each of {len(known):,} users in {source}: recall@K is the hit rate, the share of them "
        "whose last item is among the first K."
    )
    return replace(evaluation, notes=(note,)), targets


def _counts(model: Model, interactions: int) -> NDArray[np.int64]:
    """int64 (I,): the interactions of each item, of so many."""
    return np.rint(model.popularity * interactions).astype(np.int64)


def _told(fields: Fields, properties: Mapping[str, Any]) -> dict[str, str]:
    """What a reader wants to know of the version, by name."""
    choice = fields.get("choice", {})
    candidates = [
        f"{_listed(each['form'])}: NDCG@25 {each['ndcg']:.4f}, log-loss {each['log_loss']:.4f}{_share(each)}"
        for each in choice.get("candidates", ())
    ]
    given = dict(properties.get("hyperparameters", {}))
    if given.get("training_jobs") == 0:  # as many as the recipe has
        del given["training_jobs"]
    told = {
        "recipe": properties["recipe"],
        "dataset group": str(fields.get("datasetGroupArn") or "").rpartition("/")[2],
        "created": datetime.fromtimestamp(fields.get("creationDateTime", 0), UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hyperparameters": _listed(given),
        "chosen by the training": _listed(choice.get("chosen", "")),
        "of the candidates": "; ".join(candidates),
    }
    return {name: value for name, value in told.items() if value}


def _share(candidate: Mapping[str, Any]) -> str:
    share = candidate.get("share")  # versions of before have none
    return "" if share is None else f", share of popularity {share:.2f}"


def _listed(values: Mapping[str, Any] | str) -> str:
    return values if isinstance(values, str) else ", ".join(f"{name} {value}" for name, value in values.items())


def _held_out(artifact: Artifact, arn: str) -> HeldOut:
    held_out = read_held_out(artifact)
    if held_out is None:
        raise InvalidInputException(
            f"The model of {arn} has no held-out items. Train a version with this release, in the mode FULL, on users with "
            f"three or more items, or give later interactions: a CSV file of {USER_ID},{ITEM_ID}."
        )
    return held_out


def _came_since(model: Model, users: Users, source: str) -> tuple[Asked, tuple[str, ...]]:
    interactions = read_interactions(source)
    held_out = look_up(model, users, [each[:2] for each in interactions])
    there, all_users = len(held_out.vectors), len({user for user, *_ in interactions})
    if not there:
        raise DataError(
            f"{source} has no row of a user and an item that the model both knows, of {len(interactions):,} rows: "
            "are these the ids that it was trained on?"
        )
    note = (
        f"{there:,} of the {all_users:,} users in {source} are known and came to known items. What they had seen before "
        "is not known here, so it counts among their recommendations."
    )
    return held_out, (note,)
