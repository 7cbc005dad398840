"""A solution version evaluated: on what its training held out, or on later interactions."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.artifacts.heldout import COSINE, EASE, HeldOut, look_up, read_held_out, read_peers
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.catalog.resources import find_active_version
from personalize_spark.errors import ArtifactError, DataError, InvalidInputException
from personalize_spark.quality.evaluation_page import evaluation_page
from personalize_spark.quality.measures import Evaluation, known_shares, measure, measure_peers
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.users import Users
from personalize_spark.storage.location import Place, open_store, split_prefix, uri_of, write_to

_USER_ID, _ITEM_ID = "USER_ID", "ITEM_ID"
_PEERS = {COSINE: "cosine", EASE: "EASE"}
"""Their names in the table."""


def evaluate(
    catalog: Catalog | Place, solution_version: str, *, interactions: Place | None = None, page: Place | None = None
) -> Evaluation:
    """Measure the quality of a solution version's recommendations, beside popular and random ones.

    Args:
        catalog: the catalog or its place: it holds the solution version.
        solution_version: its ARN.
        interactions: a CSV file of later interactions, with the columns USER_ID and ITEM_ID; if left out, the items that the
            training held out. An imported model needs this file.
        page: write a page with charts there, as HTML.

    Returns:
        The measures of the three rankings, the log-losses, and how often scores came true.

    Raises:
        InvalidInputException: the version has failed, has no users, or has no held-out items.
        ResourceInUseException: its training has not ended.
        ResourceNotFoundException: there is no such solution version.
        ObjectNotFound: there is no such file.
        DataError: the file is not CSV with these columns, or has no user and item that the model knows.
        ArtifactError: the model is of an earlier release.
    """
    record = find_active_version(Catalog(catalog), solution_version)
    artifact = Pinned(**record.fields["model"]).open()
    evaluation = _evaluated(artifact, solution_version, interactions)
    evaluation = replace(evaluation, version=_told(record.fields, artifact.properties))
    if page is not None:
        write_to(page, evaluation_page(evaluation).encode())
    return evaluation


def _evaluated(artifact: Artifact, arn: str, source: Place | None) -> Evaluation:
    model, properties = read_model(artifact), artifact.properties
    items, notes = model.item_side, []
    if items is None or model.users is None:
        raise InvalidInputException(
            f"{arn} has no user vectors to evaluate: {properties['recipe']} recommends without them."
        )
    if "interactions" not in properties:
        raise ArtifactError(
            f"The model of {arn} does not record how many interactions its popularity is based on: train or import it again."
        )
    if source is None:
        held_out = _held_out(artifact, arn)
        shares = known_shares(model.popularity, properties["interactions"], held_out.targets)
    else:
        held_out, note = _came_since(model, model.users, source)
        shares = known_shares(model.popularity, properties["interactions"])
        notes.append(note)
    measured = measure(held_out.vectors, items, held_out.targets, held_out.seen, shares, model.temperature)
    peers = {} if source is not None else {_PEERS[name]: lists for name, lists in read_peers(artifact).items()}
    beside = measure_peers(peers, held_out.targets, shares)
    return replace(measured, peers=beside, solution_version_arn=arn, notes=tuple(notes))


def _told(fields: Fields, properties: Mapping[str, Any]) -> dict[str, str]:
    """What a reader wants to know of the version, by name."""
    chosen = fields.get("tunedHPOParams", {}).get("algorithmHyperParameters", {})
    told = {
        "recipe": properties["recipe"],
        "dataset group": str(fields.get("datasetGroupArn") or "").rpartition("/")[2],
        "created": datetime.fromtimestamp(fields.get("creationDateTime", 0), UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hyperparameters": _listed(properties.get("hyperparameters", {})),
        "chosen by the training": _listed(chosen),
    }
    return {name: value for name, value in told.items() if value}


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _held_out(artifact: Artifact, arn: str) -> HeldOut:
    held_out = read_held_out(artifact)
    if held_out is None:
        raise InvalidInputException(
            f"The model of {arn} has no held-out items. Train a version with this release, on users with three or "
            f"more items, or give later interactions: a CSV file of {_USER_ID},{_ITEM_ID}."
        )
    return held_out


def _came_since(model: Model, users: Users, source: Place) -> tuple[HeldOut, str]:
    interactions = _read_interactions(source)
    held_out = look_up(model, users, interactions)
    there, all_users = len(held_out.vectors), len({user for user, _ in interactions})
    if not there:
        raise DataError(
            f"{source} has no row of a user and an item that the model both knows, of {len(interactions):,} rows: "
            "are these the ids that it was trained on?"
        )
    note = (
        f"{there:,} of the {all_users:,} users in {source} are known and came to known items. What they had seen before "
        "is not known here, so it counts among their recommendations."
    )
    return held_out, note


def _read_interactions(source: Place) -> list[tuple[str, str]]:
    folder, name = split_prefix(uri_of(source))
    data = open_store(folder).read(name)
    interactions = []
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), escapechar="\\", strict=True)
        if not {_USER_ID, _ITEM_ID} <= set(rows.fieldnames or ()):
            raise DataError(f"The first line of {source} must name the columns {_USER_ID} and {_ITEM_ID}.")
        for row in rows:
            if not row[_USER_ID] or not row[_ITEM_ID]:
                raise DataError(f"{source}, line {rows.line_num} has no {_USER_ID} or no {_ITEM_ID}: remove that line.")
            interactions.append((row[_USER_ID], row[_ITEM_ID]))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{source} is not CSV in UTF-8: {error}.") from error
    return interactions
