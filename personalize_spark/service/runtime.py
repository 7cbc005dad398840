"""GetRecommendations and GetPersonalizedRanking, for trying a model out: one answer at a time, by what answers the lines of jobs.

There are no campaigns: `campaignArn` is the ARN of a solution version. Nothing is kept warm between two requests.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.errors import InvalidInputException, ResourceInUseException
from personalize_spark.job.prepared import Prepared
from personalize_spark.recipes.recipe import ITEM_LIST
from personalize_spark.request import validate
from personalize_spark.service.batch_inference_jobs import check_recommendation
from personalize_spark.service.refusals import refuse

MAX_INPUT_LIST = 500
_USER_ERROR = "User error: "
_NO_CONTEXT = "models learn from users and items alone"
_NO_METADATA = "look items up where your catalogue is"


def get_recommendations(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """What a batch inference job would answer to a line with this `userId` or `itemId`.

    Raises:
        InvalidInputException: what is asked for is not supported, or not what the recipe takes; the version is not ACTIVE.
        ResourceNotFoundException: there is no such solution version or filter.
    """
    validate("GetRecommendations", params)
    refuse(params, "recommenderArn", "there are no recommenders, give the ARN of a solution version as campaignArn")
    refuse(params, "context", _NO_CONTEXT)
    refuse(params, "promotions", "a filter says what may be recommended")
    refuse(params, "metadataColumns", _NO_METADATA)
    if not params.get("campaignArn"):
        raise InvalidInputException("campaignArn is required: the ARN of a solution version.")
    prepared = _prepared(catalog, params)
    if ITEM_LIST in prepared.recipe.required:
        raise InvalidInputException(f"{prepared.recipe.name} ranks lists of items: use GetPersonalizedRanking.")
    line = {name: params[name] for name in ("userId", "itemId", "filterValues") if params.get(name)}
    return {"itemList": _answer(prepared, line), "recommendationId": _new_id()}


def get_personalized_ranking(catalog: Catalog, params: Mapping[str, Any]) -> Fields:
    """What a batch inference job would answer to a line with this `userId` and, as its `itemList`, this `inputList`.

    Raises:
        InvalidInputException: what is asked for is not supported, or the recipe ranks no lists; the version is not ACTIVE.
        ResourceNotFoundException: there is no such solution version or filter.
    """
    validate("GetPersonalizedRanking", params)
    refuse(params, "context", _NO_CONTEXT)
    refuse(params, "metadataColumns", _NO_METADATA)
    if len(params["inputList"]) > MAX_INPUT_LIST:
        raise InvalidInputException(f"inputList has {len(params['inputList'])} items; it may have {MAX_INPUT_LIST}.")
    prepared = _prepared(catalog, params)
    if ITEM_LIST not in prepared.recipe.required:
        raise InvalidInputException(f"{prepared.recipe.name} ranks no lists of items: use GetRecommendations.")
    line = {"userId": params["userId"], "itemList": params["inputList"]}
    line |= {"filterValues": params["filterValues"]} if params.get("filterValues") else {}
    return {"personalizedRanking": _answer(prepared, line), "recommendationId": _new_id()}


def _prepared(catalog: Catalog, params: Mapping[str, Any]) -> Prepared:
    asked = {name: params[name] for name in ("filterArn", "numResults") if params.get(name) is not None}
    try:
        return Prepared(check_recommendation(catalog, {"solutionVersionArn": params["campaignArn"], **asked}))
    except ResourceInUseException as error:  # this service has no such exception
        raise InvalidInputException(error.message) from error


def _answer(prepared: Prepared, line: Fields) -> list[Fields]:
    found = orjson.loads(prepared.answer_lines([orjson.dumps(line)]).data)
    if found["error"] is not None:
        raise InvalidInputException(found["error"].removeprefix(_USER_ERROR))
    items, scores = found["output"]["recommendedItems"], found["output"].get("scores")
    if scores is None:
        return [{"itemId": item} for item in items]
    return [{"itemId": item, "score": score} for item, score in zip(items, scores, strict=True)]


def _new_id() -> str:
    return f"RID-{uuid.uuid4()}"
