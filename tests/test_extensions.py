"""What a request asks beyond the service, read from it."""

from __future__ import annotations

from typing import Any

import pytest

from personalize_spark.errors import InvalidInputException
from personalize_spark.extensions import CONFIG, KEY, Extensions, taken, with_extensions


def test_a_request_without_extensions_is_as_it_was() -> None:
    plain: list[dict[str, Any]] = [
        {},
        {CONFIG: None},
        {CONFIG: {}},
        {CONFIG: {"rankingInfluence": {}}},
        {CONFIG: {KEY: None}},
    ]
    for params in plain:
        assert taken(params) == (params, Extensions())
    assert (Extensions().asked, Extensions().columns) == ([], [])


def test_extensions_are_taken_out() -> None:
    asked = {"maxPer": {"CATEGORY": 2}, "withColumns": ["TITLE", "CATEGORY"]}
    params, extensions = taken({"jobName": "x", CONFIG: {"rankingInfluence": {}, KEY: asked}})
    assert params == {"jobName": "x", CONFIG: {"rankingInfluence": {}}}
    assert extensions == Extensions({"CATEGORY": 2}, ["TITLE", "CATEGORY"])
    assert extensions.asked == ["maxPer", "withColumns"]
    assert extensions.columns == ["CATEGORY", "TITLE"]


def test_extensions_are_given_in_place_of_the_requests_own() -> None:
    params = {"jobName": "x", CONFIG: {"rankingInfluence": {}, KEY: {"maxPer": {"A": 1}, "withColumns": ["B"]}}}
    assert with_extensions(params, None) == params
    assert with_extensions(params, {"maxPer": {"C": 2}}) == {
        "jobName": "x",
        CONFIG: {"rankingInfluence": {}, KEY: {"maxPer": {"C": 2}, "withColumns": ["B"]}},
    }
    assert with_extensions({}, {"maxPer": {"C": 2}}) == {CONFIG: {KEY: {"maxPer": {"C": 2}}}}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "batchInferenceJobConfig.personalizeSpark must be an object"),
        (
            {"maxPr": {}},
            "Unknown parameter 'maxPr' in '.*' .did you mean 'maxPer'.*must be one of: maxPer, withColumns, lineKeys, alsoParquet",
        ),
        ({"alsoParquet": "out/"}, "alsoParquet must be the URI of a folder"),
        ({"lineKeys": ["allow"]}, "lineKeys must be a list of some of allowList, denyList, itemIds"),
        ({"maxPer": 2}, "maxPer must be an object of columns and whole numbers from 1 on"),
        ({"maxPer": {"A": 0}}, "maxPer must be"),
        ({"maxPer": {"A": True}}, "maxPer must be"),
        ({"withColumns": "TITLE"}, "withColumns must be a list of different texts"),
        ({"withColumns": ["A", "A"], "maxPer": {"A": 1.5}}, "withColumns must be .*; .*maxPer must be"),
        ({"withColumns": [["A"]]}, "withColumns must be"),
    ],
)
def test_all_that_is_wrong_is_said(asked: Any, message: str) -> None:
    with pytest.raises(InvalidInputException, match=message):
        taken({CONFIG: {KEY: asked}})
