"""One recommendation at a time, by boto3's own clients in process; the answers are those of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import personalize_spark as ps
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.status import Status
from personalize_spark.service.filters import create_filter
from personalize_spark.testing.toy import GOLDEN, golden_group, golden_version


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


@pytest.fixture
def runtime(catalog: Catalog) -> Any:
    return ps.client(catalog, "personalize-runtime", engine="local")


def test_a_user_gets_what_a_job_would_answer(catalog: Catalog, runtime: Any) -> None:
    version = str(golden_version(catalog))
    answer = runtime.get_recommendations(campaignArn=version, userId="u1", numResults=3)
    assert answer["itemList"] == [{"itemId": item, "score": score} for item, score in [*GOLDEN.items()][:3]]
    assert answer["recommendationId"].startswith("RID-")


def test_an_item_gets_items_like_it_without_scores(catalog: Catalog, runtime: Any) -> None:
    version = str(golden_version(catalog, "aws-similar-items"))
    answer = runtime.get_recommendations(campaignArn=version, itemId="a", numResults=2)
    assert [each.keys() for each in answer["itemList"]] == [{"itemId"}] * 2


def test_a_list_is_ranked(catalog: Catalog, runtime: Any) -> None:
    version = str(golden_version(catalog, "aws-personalized-ranking"))
    asked = ["unknown", "c", "a"]
    ranked = runtime.get_personalized_ranking(campaignArn=version, userId="u1", inputList=asked)["personalizedRanking"]
    assert [each["itemId"] for each in ranked] == ["a", "c", "unknown"]
    assert sum(each["score"] for each in ranked) == pytest.approx(1, abs=1e-6)


def test_a_filter_keeps_what_it_keeps_in_a_job(catalog: Catalog, runtime: Any) -> None:
    group, version = golden_group(catalog), golden_version(catalog)
    catalog.update(catalog.read(version), datasetGroupArn=str(group.arn))
    expression = "INCLUDE ItemID WHERE Items.PRICE = $PRICE"
    asked = {"name": "price", "datasetGroupArn": str(group.arn), "filterExpression": expression}
    given = {"filterArn": create_filter(catalog, asked)["filterArn"], "filterValues": {"PRICE": "2"}}
    answer = runtime.get_recommendations(campaignArn=str(version), userId="u1", **given)
    assert [each["itemId"] for each in answer["itemList"]] == ["b"]
    with pytest.raises(runtime.exceptions.InvalidInputException, match="PRICE"):
        runtime.get_recommendations(campaignArn=str(version), userId="u1", filterArn=given["filterArn"])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"numResults": 501}, "less than or equal to 500"),
        ({"userId": ""}, "userId"),
        ({"context": {"DEVICE": "phone"}}, "context is not supported"),
        ({"promotions": [{"name": "sale"}]}, "promotions is not supported"),
        ({"metadataColumns": {"ITEMS": ["PRICE"]}}, "metadataColumns is not supported"),
        ({"campaignArn": "arn:aws:personalize:us-east-1:1:campaign/x"}, "not the ARN of a solution version"),
        ({"campaignArn": ""}, "campaignArn is required|regular expression"),
        ({"recommenderArn": "arn:aws:personalize:us-east-1:1:recommender/x"}, "recommenderArn is not supported"),
    ],
)
def test_what_cannot_be_answered_is_refused(catalog: Catalog, runtime: Any, asked: dict[str, Any], said: str) -> None:
    given = {"campaignArn": str(golden_version(catalog)), "userId": "u1", **asked}
    with pytest.raises(runtime.exceptions.InvalidInputException, match=said):
        runtime.get_recommendations(**given)


def test_each_recipe_has_its_operation(catalog: Catalog, runtime: Any) -> None:
    users = str(golden_version(catalog))
    ranking = str(golden_version(catalog, "aws-personalized-ranking"))
    with pytest.raises(runtime.exceptions.InvalidInputException, match="use GetPersonalizedRanking"):
        runtime.get_recommendations(campaignArn=ranking, userId="u1")
    with pytest.raises(runtime.exceptions.InvalidInputException, match="use GetRecommendations"):
        runtime.get_personalized_ranking(campaignArn=users, userId="u1", inputList=["a"])
    with pytest.raises(runtime.exceptions.InvalidInputException, match="it may have 500"):
        runtime.get_personalized_ranking(campaignArn=ranking, userId="u1", inputList=["a"] * 501)


def test_what_is_not_there_or_not_ready_is_said(catalog: Catalog, runtime: Any) -> None:
    version = golden_version(catalog)
    with pytest.raises(runtime.exceptions.ResourceNotFoundException) as caught:
        runtime.get_recommendations(campaignArn=f"{str(version)[:-8]}ffffffff", userId="u1")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    catalog.update(catalog.read(Arn.parse(str(version))), status=Status.PENDING)
    with pytest.raises(runtime.exceptions.InvalidInputException, match="wait until it is ACTIVE"):
        runtime.get_recommendations(campaignArn=str(version), userId="u1")
