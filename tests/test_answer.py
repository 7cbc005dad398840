"""The pure function as a whole: lines in, lines out, whatever the lines and however they are cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from personalize_spark import records
from personalize_spark.answer import answer
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.job import byte_ranges
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.scoring.model import Model
from personalize_spark.storage.file import FileStore
from personalize_spark.testing.toy import golden_version

USER_RECIPES = ["aws-popularity-count", "aws-user-personalization"]
BLANK = b" \t\r"
KNOWN = [
    b'{"userId":"u1"}',
    b'{"userId": "u1"}\r',
    b'\xef\xbb\xbf{"userId":"u1"}',
    b'{"userId":"nobody"}',
    b'{"userId":12,"z":1,"a":[{"b":null}]}',
    b'{"userId":1.5}',
    b'{"userId":null}',
    b'{"userId":"' + b"x" * 300 + b'"}',
    b'{"itemId":"a"}',
    b'{"userId":"\xff"}',
    b'{"userId":"u1","x":' + b"[" * 2_000 + b"]" * 2_000 + b"}",
    b'{"userId":"u1"',
    b"[]",
    b"",
    b" \t\r",
    b"\xef\xbb\xbf",
]
LINES = st.lists(st.sampled_from(KNOWN) | st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    catalog = Catalog(f"file://{tmp_path_factory.mktemp('catalog')}")
    versions = {recipe: catalog.read(golden_version(catalog, recipe)).fields for recipe in USER_RECIPES}
    return {recipe: read_model(Pinned(**version["model"]).open()) for recipe, version in versions.items()}


@pytest.mark.parametrize("recipe", USER_RECIPES)
@given(lines=LINES)
@example(lines=[b"bad", b"worse"])
@example(lines=[])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_has_its_answer_in_its_place(recipe: str, models: dict[str, Model], lines: list[bytes]) -> None:
    answers = answer(RECIPES[recipe], models[recipe], Settings(3), lines)
    asked = [line for line in lines if line.removeprefix(b"\xef\xbb\xbf").strip(BLANK)]
    out = [json.loads(line) for line in answers.data.splitlines()]
    assert (answers.outcomes.read, answers.outcomes.answered) == (len(lines), len(asked))
    assert len(out) == len(asked)
    assert answers.outcomes.error_lines == sum(line["error"] is not None for line in out)
    assert answers.data == b"".join(answer(RECIPES[recipe], models[recipe], Settings(3), [line]).data for line in lines)
    for line in out:
        assert list(line) == ["input", "output", "error"]
        assert len(line["output"]["recommendedItems"]) == (3 if line["error"] is None else 0)
        assert ("scores" in line["output"]) == (recipe == "aws-user-personalization" and line["error"] is None)


@pytest.mark.slow
@given(lines=LINES, target=st.integers(1, 60), chunk=st.integers(1, 30), longest=st.integers(1, 40))
@example(lines=[b" " * 50 + b'{"userId":"u1"}'], target=200, chunk=7, longest=20)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_cutting_of_the_input_shows_in_the_output(
    models: dict[str, Model],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[bytes],
    target: int,
    chunk: int,
    longest: int,
) -> None:
    def out(lines: list[bytes]) -> bytes:
        return answer(RECIPES["aws-user-personalization"], models["aws-user-personalization"], Settings(2), lines).data

    monkeypatch.setattr(records, "MAX_LINE", longest)
    monkeypatch.setattr(byte_ranges, "MAX_LINE", longest)
    monkeypatch.setattr(records, "_SHOWN", longest // 2)
    monkeypatch.setattr(byte_ranges, "READ_CHUNK", chunk)
    store = FileStore(str(tmp_path))
    store.write("in", b"\n".join(lines))
    [source] = store.list("in")
    blocks = [block for part in byte_ranges.cut(source, target) for block in byte_ranges.blocks(store, part)]
    assert b"".join(out(block.removesuffix(b"\n").split(b"\n")) for block in blocks) == out(lines)
