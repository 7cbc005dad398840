"""Saved pipelines taken apart: which of their models has the factors, and which indexers have the ids.

The columns decide: the ids of the items are the labels of the indexer that writes the ALSModel's `itemCol`. So a pipeline may
index more than these, in any order, and swapped indexers are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from personalize_spark.errors import InvalidInputException
from personalize_spark.external.load import Sources
from personalize_spark.external.spark_ml import ALS, INDEXER, SavedModel, saved_models

_COLUMNS = {"items": "itemCol", "users": "userCol"}


def unpacked(sources: Sources) -> tuple[Sources, list[str]]:
    """The sources with the ALSModel and the indexers in place of what holds them, and what was found.

    Raises:
        InvalidInputException: a saved model has none of what is looked for, or several.
        DataError: there is nothing at one of the places.
    """
    places = {name: uri for name, uri in asdict(sources).items() if uri and name != "form"}
    models = {name: saved_models(uri) for name, uri in places.items()}
    notes: list[str] = []
    found: dict[str, str] = {}
    als = None
    for axis, ids in (("items", "item_ids"), ("users", "user_ids")):
        own = _als_of(places[axis], models[axis]) if models.get(axis) else None
        if own is not None:
            found[axis] = own.uri
            notes += [] if own.uri == places[axis].rstrip("/") else [f"The factors are those of {own.uri}."]
        als = own or als
        holder = ids if ids in places else "items" if als is not None else ""
        indexers = [each for each in models.get(holder, ()) if each.kind == INDEXER]
        if ids in places and models[ids] and not indexers:
            raise _no_use(places[ids], models[ids], "StringIndexerModel")
        if indexers:
            chosen = _indexer_of(indexers, als, axis, places[holder])
            found[ids] = chosen.uri
            notes.append(_told(chosen, als, axis))
    for name in ("counts", "interactions"):
        if models.get(name):
            raise _no_use(places[name], models[name], "table")
    return replace(sources, **found), notes


def _als_of(uri: str, models: Sequence[SavedModel]) -> SavedModel:
    found = [each for each in models if each.kind == ALS]
    if len(found) == 1:
        return found[0]
    if not found:
        raise _no_use(uri, models, ALS)
    raise InvalidInputException(f"{uri} holds several ALSModels: give one of {', '.join(each.uri for each in found)}.")


def _indexer_of(indexers: Sequence[SavedModel], als: SavedModel | None, axis: str, uri: str) -> SavedModel:
    """The indexer whose labels are the ids of an axis."""
    wanted = als.params.get(_COLUMNS[axis]) if als is not None else None
    other = als.params.get(_COLUMNS["users" if axis == "items" else "items"]) if als is not None else None
    writing = [each for each in indexers if wanted in each.outputs]
    if len(writing) == 1:
        return writing[0]
    [*rest] = [each for each in indexers if len(each.outputs) == 1 and other not in each.outputs]
    if not writing and len(indexers) == 1 and rest:
        return rest[0]
    columns = ", ".join(f"{each.uri} writes {', '.join(each.outputs)}" for each in indexers)
    needs = (
        f"the ALSModel reads the {axis} from the column {wanted}"
        if als is not None
        else "no ALSModel says which one to take"
    )
    option = f"--{axis.removesuffix('s')}-ids"
    raise InvalidInputException(
        f"The ids of the {axis} cannot be told from {uri}: {needs}; {columns}. Give the StringIndexerModel as {option}."
    )


def _told(indexer: SavedModel, als: SavedModel | None, axis: str) -> str:
    wanted = als.params.get(_COLUMNS[axis]) if als is not None else None
    place = indexer.outputs.index(wanted) if wanted in indexer.outputs else 0
    return (
        f"The ids of the {axis} are the labels of {indexer.uri} ({indexer.inputs[place]} as {indexer.outputs[place]})."
    )


def _no_use(uri: str, models: Sequence[SavedModel], wanted: str) -> InvalidInputException:
    inside = f" with {', '.join(each.kind for each in models[1:])}" if models[1:] else ""
    article = "an" if wanted == ALS else "a"
    return InvalidInputException(f"{uri} is a saved {models[0].kind}{inside}; {article} {wanted} is needed here.")
