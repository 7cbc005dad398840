"""DescribeRecipe and ListRecipes: the recipes that support batch inference; DescribeAlgorithm, DescribeFeatureTransformation."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.catalog.status import Status
from personalize_spark.errors import ResourceNotFoundException
from personalize_spark.recipes import RECIPES, Recipe, recipe_of
from personalize_spark.request import validate
from personalize_spark.service.pages import page_of, shown

_SINCE = dt.datetime(2019, 6, 10, tzinfo=dt.UTC).timestamp()
_DATES = {"creationDateTime": _SINCE, "lastUpdatedDateTime": _SINCE}
"""The day on which the service began; ours have no other."""
_LISTED = ("name", "recipeArn", "status", *_DATES)
_TRANSFORMATION = "arn:aws:personalize:::feature-transformation/JSON-percentile-filtering"


def describe_recipe(_: Catalog, params: Mapping[str, Any]) -> Fields:
    """A recipe.

    Raises:
        InvalidInputException: there is none that supports batch inference.
    """
    validate("DescribeRecipe", params)
    return {"recipe": _record(recipe_of(params["recipeArn"])).fields}


def list_recipes(_: Catalog, params: Mapping[str, Any]) -> Fields:
    """All recipes, by name; none of a domain, as those do not support batch inference."""
    validate("ListRecipes", params)
    page, rest = page_of([] if params.get("domain") else map(_record, RECIPES.values()), params)
    return {"recipes": [shown(record, _LISTED) for record in page], **rest}


def describe_algorithm(_: Catalog, params: Mapping[str, Any]) -> Fields:
    """What a recipe names as its `algorithmArn`: its hyperparameters are ours.

    Raises:
        ResourceNotFoundException: no recipe names it.
    """
    from personalize_spark.training.configuration import Hyperparameters

    validate("DescribeAlgorithm", params)
    arn = params["algorithmArn"]
    for recipe in RECIPES.values():
        if _algorithm(recipe) == arn:
            defaults = {name: str(value) for name, value in vars(Hyperparameters()).items() if value is not None}
            return {
                "algorithm": {"name": recipe.name, "algorithmArn": arn, "defaultHyperParameters": defaults, **_DATES}
            }
    raise ResourceNotFoundException(f"Resource Arn {arn} does not exist.")


def describe_feature_transformation(_: Catalog, params: Mapping[str, Any]) -> Fields:
    """What all recipes name as their `featureTransformationArn`: it does nothing here.

    Raises:
        ResourceNotFoundException: no recipe names it.
    """
    validate("DescribeFeatureTransformation", params)
    arn = params["featureTransformationArn"]
    if arn != _TRANSFORMATION:
        raise ResourceNotFoundException(f"Resource Arn {arn} does not exist.")
    name = Arn.parse(arn).name
    told = {"name": name, "featureTransformationArn": arn, "defaultParameters": {}, "status": Status.ACTIVE, **_DATES}
    return {"featureTransformation": told}


def _algorithm(recipe: Recipe) -> str:
    return f"arn:aws:personalize:::algorithm/{recipe.name}"


def _record(recipe: Recipe) -> Record:
    fields = {
        "name": recipe.name,
        "recipeArn": recipe.arn,
        "algorithmArn": _algorithm(recipe),
        "featureTransformationArn": _TRANSFORMATION,
        "recipeType": recipe.type,
        "status": Status.ACTIVE,
    }
    return Record(Arn.parse(recipe.arn), fields | _DATES, "")
