"""The golden pairs: a toy of four items with known probabilities, one line in, one line out."""

from __future__ import annotations

from pathlib import Path

import pytest

from personalize_spark.answer import answer
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.storage.artifact import Artifact
from personalize_spark.storage.catalog import Catalog
from personalize_spark.storage.location import open_store
from personalize_spark.storage.model import read_model
from tests.toy import golden_version


def out(folder: Path, recipe: str, line: bytes) -> bytes:
    catalog = Catalog(f"file://{folder}")
    record = catalog.read(golden_version(catalog, recipe)).fields
    model = read_model(Artifact(open_store(record["model"]), record["modelSha256"]))
    return answer(RECIPES[recipe], model, Settings(3), [line]).data


def test_user_personalization(tmp_path: Path) -> None:
    assert out(tmp_path, "aws-user-personalization", b'{"userId": "u1"}') == (
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
