"""Recipes, as the service tells of them."""

from __future__ import annotations

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import InvalidInputException, ResourceNotFoundException
from personalize_spark.recipes import RECIPES
from personalize_spark.service.recipes import (
    describe_algorithm,
    describe_feature_transformation,
    describe_recipe,
    list_recipes,
)

NOWHERE = Catalog("/nowhere")


def test_all_recipes_are_listed_and_none_of_a_domain() -> None:
    assert [each["name"] for each in list_recipes(NOWHERE, {})["recipes"]] == sorted(RECIPES)
    assert list_recipes(NOWHERE, {"domain": "ECOMMERCE"}) == {"recipes": []}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aws-hrnn", "USER_PERSONALIZATION"),
        ("aws-popularity-count", "USER_PERSONALIZATION"),
        ("aws-personalized-ranking-v2", "PERSONALIZED_RANKING"),
        ("aws-semantic-similarity", "RELATED_ITEMS"),
    ],
)
def test_a_recipe_has_the_type_of_its_lines(name: str, kind: str) -> None:
    arn = f"arn:aws:personalize:::recipe/{name}"
    recipe = describe_recipe(NOWHERE, {"recipeArn": arn})["recipe"]
    assert (recipe["name"], recipe["recipeArn"], recipe["status"]) == (name, arn, "ACTIVE")
    assert recipe["recipeType"] == kind


def test_recipes_are_listed_in_pages() -> None:
    first = list_recipes(NOWHERE, {"maxResults": 4})
    rest = list_recipes(NOWHERE, {"nextToken": first["nextToken"]})
    assert [len(first["recipes"]), len(rest["recipes"])] == [4, len(RECIPES) - 4]
    assert "nextToken" not in rest


def test_what_a_recipe_points_to_is_there() -> None:
    recipe = describe_recipe(NOWHERE, {"recipeArn": "arn:aws:personalize:::recipe/aws-hrnn"})["recipe"]
    named = {"featureTransformationArn": recipe["featureTransformationArn"]}
    assert describe_feature_transformation(NOWHERE, named)["featureTransformation"]["status"] == "ACTIVE"
    with pytest.raises(ResourceNotFoundException):
        describe_feature_transformation(NOWHERE, {"featureTransformationArn": recipe["algorithmArn"]})


@pytest.mark.spark
def test_the_algorithm_of_a_recipe_has_our_hyperparameters() -> None:
    arn = "arn:aws:personalize:::algorithm/aws-hrnn"
    assert describe_algorithm(NOWHERE, {"algorithmArn": arn})["algorithm"]["defaultHyperParameters"]["rank"] == "64"


def test_a_recipe_without_batch_inference_is_refused() -> None:
    for name, said in {
        "aws-trending-now": "does not support batch inference, nor does it in the service; supported: aws-hrnn,",
        "aws-item-affinity": "does not support batch inference: it makes user segments",
        "aws-vod-top-picks": "does not support batch inference: it is for recommenders of domain dataset groups",
        "aws-hrn": r"'aws-hrn' \(did you mean 'aws-hrnn'\?\) does not support",
    }.items():
        with pytest.raises(InvalidInputException, match=said):
            describe_recipe(NOWHERE, {"recipeArn": f"arn:aws:personalize:::recipe/{name}"})
