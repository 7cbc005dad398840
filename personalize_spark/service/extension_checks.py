"""What may be asked beyond the service, by the recipe and the data of a solution version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.view import View
from personalize_spark.catalog.catalog import Record
from personalize_spark.errors import did_you_mean
from personalize_spark.extensions import ITEM_IDS, KEY, Extensions
from personalize_spark.recipes import Recipe, RecipeType
from personalize_spark.recipes.recipe import ITEM_ID
from personalize_spark.request import THEME_GENERATION
from personalize_spark.schemas import ITEMS
from personalize_spark.storage.location import uri_of


def extension_problems(
    extensions: Extensions, recipe: Recipe, request: Mapping[str, Any], group: Record | None, *, service_limits: bool
) -> Iterator[str]:
    """Why a request's extensions cannot be kept.

    Args:
        extensions: of the request.
        recipe: of the solution version.
        request: all of it.
        group: the dataset group of the solution version, if it has one.
        service_limits: the job keeps the managed service's quotas.
    """
    asked = " and ".join(extensions.asked)
    if service_limits and asked:
        yield f"The managed service does not know {KEY} ({asked}): leave it out, or run without --limits service."
    for key in extensions.line_keys:
        if key == ITEM_IDS and recipe.type is not RecipeType.RELATED_ITEMS:
            yield f"lineKeys has {ITEM_IDS}, but lines of {recipe.name} have no item."
        if key != ITEM_IDS and recipe.type is RecipeType.PERSONALIZED_RANKING:
            yield f"lineKeys has {key}, but lines of {recipe.name} have an itemList: leave the items out of it."
    if ITEM_IDS in extensions.line_keys and request.get("batchInferenceJobMode") == THEME_GENERATION:
        yield f"lineKeys has {ITEM_IDS}, but the mode {THEME_GENERATION} is for lines with one item."
    input_path = uri_of(request["jobInput"]["s3DataSource"]["path"])
    if extensions.also_parquet is not None and uri_of(extensions.also_parquet).startswith(input_path):
        yield "alsoParquet lies below the input path: the next job would read the files as its input."
    if extensions.columns:
        yield from _column_problems(extensions, group, asked)


def current_item_problems(filter_: Record, recipe: Recipe, extensions: Extensions) -> Iterator[str]:
    """Why a filter that compares with CurrentItem has none."""
    if ITEM_ID not in recipe.required:
        yield f"The filter {filter_.arn} compares with CurrentItem, but lines of {recipe.name} have no item."
    elif ITEM_IDS in extensions.line_keys:
        yield f"The filter {filter_.arn} compares with CurrentItem, but with {ITEM_IDS} in lineKeys a line may have several items."


def _column_problems(extensions: Extensions, group: Record | None, asked: str) -> Iterator[str]:
    there = View(Pinned(**group.fields["view"]).open()).schemas if group and "view" in group.fields else {}
    schema = there.get(ITEMS)
    if schema is None:
        yield f"{KEY} ({asked}) needs an Items dataset; the dataset group of the solution version has none."
        return
    takes = [column.name for column in schema.columns if column.name != "ITEM_ID" and not column.textual]
    for name in extensions.columns:
        if name not in takes:
            what = (
                "a textual column" if name in schema.names and name != "ITEM_ID" else "no column of Items that it takes"
            )
            yield f"{KEY} ({asked}) names '{name}', {what}{did_you_mean(name, takes)}; it takes {', '.join(takes)}."
