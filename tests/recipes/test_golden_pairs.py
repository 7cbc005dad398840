"""The golden pairs: a toy of four items with known probabilities, one line in, one line out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from personalize_spark.answer import LineFilter, answer
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.filters.selector import Group
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.records import Object
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.selection import Selection
from personalize_spark.testing.toy import golden_version


def out(folder: Path, recipe: str, line: bytes, line_filter: LineFilter | None = None, n: int = 3) -> bytes:
    return answer(RECIPES[recipe], model_of(folder, recipe), Settings(n), [line], line_filter).data


def model_of(folder: Path, recipe: str) -> Model:
    catalog = Catalog(f"file://{folder}")
    record = catalog.read(golden_version(catalog, recipe, scored=2)).fields
    return read_model(Pinned(**record["model"]).open())


class Without:
    """A filter that drops one item."""

    required: Sequence[str] = ()
    varies = False

    def __init__(self, row: int) -> None:
        self.keep = np.arange(4) != row

    def select(self, lines: Sequence[Object]) -> tuple[list[Group], dict[int, str]]:
        return [Group(np.arange(len(lines)), Selection(Masks.same(self.keep, len(lines))))], {}


@pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-hrnn", "aws-hrnn-metadata", "aws-hrnn-coldstart"])
def test_user_personalization(tmp_path: Path, recipe: str) -> None:
    assert out(tmp_path, recipe, b'{"userId": "u1"}') == (
        b'{"input":{"userId":"u1"},"output":{"recommendedItems":["a","b","c"],'
        b'"scores":[0.8449224,0.1458153,0.008885]},"error":null}\n'
    )


@pytest.mark.parametrize("user", [b"u1", b"nobody"])
def test_popularity_count(tmp_path: Path, user: bytes) -> None:
    assert out(tmp_path, "aws-popularity-count", b'{"userId": "%b"}' % user) == (
        b'{"input":{"userId":"%b"},"output":{"recommendedItems":["a","b","c"]},"error":null}\n' % user
    )


@pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-popularity-count"])
def test_a_user_job_that_gets_an_item_line(tmp_path: Path, recipe: str) -> None:
    assert out(tmp_path, recipe, b'{"itemId":"a"}') == (
        b'{"input":{"itemId":"a"},"output":{"recommendedItems":[]},'
        b'"error":"User error: Required fields for the provided recipe are userId"}\n'
    )


def test_a_filter_refills_and_renormalises_nothing(tmp_path: Path) -> None:
    model = model_of(tmp_path, "aws-user-personalization")
    without = Without(int(model.rows_of(["a"])[0]))
    data = answer(RECIPES["aws-user-personalization"], model, Settings(3), [b'{"userId": "u1"}'], without).data
    assert b'"recommendedItems":["b","c","d"],"scores":[0.1458153,0.008885,3.773E-4]' in data


def test_v2_fills_up_with_popular_items_that_pass_without_a_score(tmp_path: Path) -> None:
    model = model_of(tmp_path, "aws-user-personalization-v2")
    recipe, line = RECIPES["aws-user-personalization-v2"], b'{"userId": "u1"}'
    whole = json.loads(answer(recipe, model, Settings(3), [line]).data)["output"]
    assert whole == {"recommendedItems": ["a", "b", "c"], "scores": [0.8528215, 0.1471785, 0.0]}
    without = Without(int(model.rows_of(["a"])[0]))
    data = json.loads(answer(recipe, model, Settings(2), [line], without).data)["output"]
    assert data == {"recommendedItems": ["b", "c"], "scores": [0.1471785, 0.0]}


@pytest.mark.parametrize("recipe", ["aws-personalized-ranking", "aws-personalized-ranking-v2"])
def test_personalized_ranking(tmp_path: Path, recipe: str) -> None:
    assert out(tmp_path, recipe, b'{"userId":"u1","itemList":["d","zz","b","a"]}') == (
        b'{"input":{"userId":"u1","itemList":["d","zz","b","a"]},"output":{"recommendedItems":["a","b","d","zz"],'
        b'"scores":[0.8524968,0.1471225,3.807E-4,0.0]},"error":null}\n'
    )


def test_what_a_filter_drops_is_gone_from_a_ranking(tmp_path: Path) -> None:
    model = model_of(tmp_path, "aws-personalized-ranking")
    without = Without(int(model.rows_of(["b"])[0]))
    line = b'{"userId":"u1","itemList":["d","zz","b","a"]}'
    data = answer(RECIPES["aws-personalized-ranking"], model, Settings(3), [line], without).data
    assert b'"recommendedItems":["a","d","zz"],"scores":[0.8524968,3.807E-4,0.0]' in data


@pytest.mark.parametrize("recipe", ["aws-similar-items", "aws-sims"])
def test_item_models(tmp_path: Path, recipe: str) -> None:
    assert out(tmp_path, recipe, b'{"itemId":"a"}') == (
        b'{"input":{"itemId":"a"},"output":{"recommendedItems":["b","c","d"]},"error":null}\n'
    )
    assert out(tmp_path, recipe, b'{"itemId":"unheard of"}') == (
        b'{"input":{"itemId":"unheard of"},"output":{"recommendedItems":["a","b","c"]},"error":null}\n'
    )
