"""Jobs with themes, on a small shop in English, German and Japanese: their golden bytes, and what goes with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from personalize_spark.answer import answer
from personalize_spark.artifacts.artifact import Pinned, finish, write_column, write_table
from personalize_spark.artifacts.model import read_model
from personalize_spark.artifacts.themes import ModelThemes
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import dataset_arn
from personalize_spark.errors import ArtifactError, InvalidInputException, JobFailed
from personalize_spark.filters.selector import Group
from personalize_spark.job.executor import Executor
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.report_page import report_page
from personalize_spark.job.run import run_job
from personalize_spark.job.themed import ThemedList
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.records import Object
from personalize_spark.schemas import ITEMS, Column, Schema
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.masks import Masks
from personalize_spark.scoring.selection import Selection
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.service.explain_theme import explain_theme
from personalize_spark.service.filters import create_filter
from personalize_spark.testing.toy import request, themed_version

GOLDEN = Path(__file__).parents[1] / "golden"
SHOPS = json.loads((GOLDEN / "shops.json").read_text())
SCHEMA = Schema(
    ITEMS,
    (
        Column("ITEM_ID", "string"),
        Column("TITLE", "string", item_name=True),
        Column("CATEGORY", "string", nullable=True, categorical=True),
        Column("DESCRIPTION", "string", nullable=True, textual=True),
    ),
)


def version_of(catalog: Catalog, language: str) -> Arn:
    """A shop as a solution version; items of one group of the file lie together."""
    rows = [
        (f"{group}{number:02d}", each["names"][number % len(each["names"])] + f" {number}", each["category"], text)
        for group, each in sorted(SHOPS[language].items())
        for number, text in enumerate(each["texts"])
    ]
    table = pa.table(dict(zip(SCHEMA.names, map(list, zip(*rows, strict=True)), strict=True)))
    groups = sorted(SHOPS[language])
    noise = np.random.default_rng(5).normal(0, 0.1, (len(rows), len(groups)))
    factors = np.eye(len(groups))[[groups.index(row[0][0]) for row in rows]] + noise
    return themed_version(catalog, table, SCHEMA, factors.astype(np.float32))


def themed(version: Arn, source: Path, target: Path, **more: object) -> dict[str, Any]:
    return request(
        version,
        f"file://{source}",
        f"file://{target}/",
        numResults=5,
        batchInferenceJobMode="THEME_GENERATION",
        themeGenerationConfig={"fieldsForThemeGeneration": {"itemName": "TITLE"}},
        **more,
    )


@pytest.mark.parametrize("language", sorted(SHOPS))
def test_themes_give_their_golden_file(executor: Executor, tmp_path: Path, language: str) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    source = GOLDEN / "themes-input.json"
    job = create_batch_inference_job(catalog, themed(version_of(catalog, language), source, tmp_path / "out"))
    run_job(executor, catalog, job, lambda _: None)
    assert (tmp_path / "out/themes-input.json.out").read_bytes() == (GOLDEN / f"themes-{language}.out").read_bytes()


def test_the_report_lists_each_theme_with_its_items(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    source = GOLDEN / "themes-input.json"
    job = create_batch_inference_job(catalog, themed(version_of(catalog, "english"), source, tmp_path / "out"))
    report = run_job(local, catalog, job, lambda _: None)
    outputs = [json.loads(line) for line in (GOLDEN / "themes-english.out").open()]
    good = [each for each in outputs if each["error"] is None]
    assert [each.item for each in report.themes] == [each["input"]["itemId"] for each in good]
    assert [each.theme for each in report.themes] == [each["output"]["theme"] for each in good]
    assert [[*each.relevance] for each in report.themes] == [each["output"]["recommendedItems"] for each in good]
    relevance = report.to_dict()["themes"][0]["relevance"]
    assert [*relevance.values()] == good[0]["output"]["itemsThemeRelevanceScores"]
    said = str(report)
    assert "  theme: Slow Sunday breakfasts (like a00): a01 0.50, a04 0.50" in said
    assert "b04 0.36, [b02 -0.01]" in said
    page = report_page(report)
    assert "<li><b>Slow Sunday breakfasts</b>, like a00: <span>a01 0.50</span>, <span>a04 0.50</span>" in page
    assert '<span>b04 0.36</span>, <span class="faint">b02 -0.01</span></li>' in page


def test_the_page_of_a_report_shows_a_hundred_themes_and_escapes_ids(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    (tmp_path / "in.json").write_text('{"itemId":"a00"}\n')
    source, version = tmp_path / "in.json", version_of(catalog, "english")
    job = create_batch_inference_job(catalog, themed(version, source, tmp_path / "out"))
    report = run_job(local, catalog, job, lambda _: None)
    page = report_page(replace(report, themes=[ThemedList("<b>", "", {"<i>": 0.1})] * 102))
    assert page.count("<li><b>no theme</b>, like &lt;b&gt;: <span>&lt;i&gt; 0.10</span></li>") == 100
    assert "and 2 more in report.json" in page


def test_a_job_without_themes_answers_as_before(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    source = tmp_path / "items.json"
    source.write_text('{"itemId":"a00"}\n')
    plain = request(version_of(catalog, "english"), f"file://{source}", f"file://{tmp_path}/out/", numResults=5)
    assert run_job(local, catalog, create_batch_inference_job(catalog, plain), lambda _: None).themes == []
    output = json.loads((tmp_path / "out/items.json.out").read_text())["output"]
    assert list(output) == ["recommendedItems"]


def test_an_input_of_101_records_is_too_long(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    version, source = version_of(catalog, "english"), tmp_path / "items.json"
    source.write_text('\n{"itemId":"a00"}\n' * 100)
    job = create_batch_inference_job(catalog, themed(version, source, tmp_path / "out"))
    assert run_job(local, catalog, job, lambda _: None).lines == 100
    source.write_text('{"itemId":"a00"}\n' * 101)
    job = create_batch_inference_job(catalog, themed(version, source, tmp_path / "out"))
    with pytest.raises(JobFailed, match="may have 100 records; .*items.json has more"):
        run_job(local, catalog, job, lambda _: None)


def test_a_version_that_was_trained_without_texts_is_to_be_trained_again(tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    version = version_of(catalog, "english")
    newer = Schema(ITEMS, (*SCHEMA.columns, Column("LABEL", "string")))
    schema = catalog.create(version.sibling("schema", "newer"), {"schema": newer.avro()})
    dataset = catalog.read(dataset_arn(version.sibling("dataset-group", "toy"), ITEMS))
    catalog.update(dataset, schemaArn=str(schema.arn))
    params = themed(version, tmp_path, tmp_path)
    params["themeGenerationConfig"] = {"fieldsForThemeGeneration": {"itemName": "LABEL"}}
    with pytest.raises(InvalidInputException, match="a textual field and LABEL: train it again"):
        create_batch_inference_job(catalog, params)


def test_themes_of_an_older_release_are_to_be_learned_again(tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    version = version_of(catalog, "english")
    record = catalog.read(version)
    manifest = next(tmp_path.rglob("themes/manifest.json"))
    told = json.loads(manifest.read_text())
    del told["properties"]["format"]
    manifest.write_text(json.dumps(told))
    older = {**record.fields["themes"], "sha256": hashlib.sha256(manifest.read_bytes()).hexdigest()}
    catalog.update(record, themes=older)
    with pytest.raises(InvalidInputException, match="another release of personalize_spark: train the solution version"):
        create_batch_inference_job(catalog, themed(version, tmp_path, tmp_path))
    with pytest.raises(ArtifactError, match="another release of personalize_spark: train the solution version again"):
        explain_theme(catalog, "a00", solution_version=str(version))


class Without:
    """A filter that drops one item."""

    required: Sequence[str] = ()
    varies = False

    def __init__(self, keep: NDArray[np.bool_]) -> None:
        self.keep = keep

    def select(self, lines: Sequence[Object]) -> tuple[list[Group], dict[int, str]]:
        return [Group(np.arange(len(lines)), Selection(Masks.same(self.keep, len(lines))))], {}


def test_a_filter_comes_before_the_theme(tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    fields = catalog.read(version_of(catalog, "english")).fields
    model = read_model(Pinned(**fields["model"]).open())
    namer = ModelThemes(Pinned(**fields["themes"]).open(), "TITLE", model)
    lines, recipe = [b'{"itemId":"a00"}'], RECIPES["aws-similar-items"]
    keep = np.array([not each.startswith("a") for each in model.item_ids()])
    output = json.loads(answer(recipe, model, Settings(5), lines, Without(keep), namer).data)["output"]
    assert len(output["recommendedItems"]) == len(output["itemsThemeRelevanceScores"]) == 5
    assert not any(each.startswith("a") for each in output["recommendedItems"])
    assert "breakfast" not in output["theme"].lower()
    nothing = json.loads(answer(recipe, model, Settings(5), lines, Without(keep & False), namer).data)["output"]
    assert nothing == {"recommendedItems": [], "theme": "", "itemsThemeRelevanceScores": []}


def test_an_item_that_the_catalogue_had_not_has_no_relevance(tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    fields = catalog.read(version_of(catalog, "english")).fields
    model = read_model(Pinned(**fields["model"]).open())
    new = [b'"a0"', b'"zz"']
    wider = model.with_items(JsonTexts.of(new))
    namer = ModelThemes(Pinned(**fields["themes"]).open(), "TITLE", wider)
    rows = wider.rows_of(["zz", "b00", "b01", "b03"])
    [theme], [scores] = namer.explained([rows], ["a0"])
    assert theme.text == "Long summer evenings"
    assert scores[0] == 0.0
    assert (scores[1:] > 0.1).all()


def filtered(catalog: Catalog, version: Arn, keep: str) -> str:
    """A filter that keeps the items of one group of the file, as the group's view knows them."""
    fields = catalog.read(version).fields
    ids = sorted(read_model(Pinned(**fields["model"]).open()).item_ids())
    store = catalog.store.at("views/toy/1")
    columns = {
        "id": pa.array([each.encode() for each in ids], pa.binary()),
        "creation_timestamp": np.full(len(ids), 86_400),
        "dated": np.ones(len(ids), np.bool_),
        "interactions": np.zeros(len(ids), np.int64),
        "impressions": np.zeros(len(ids), np.int64),
    }
    entries = [write_table(store, "items", pa.RecordBatch.from_pydict(columns))]
    entries.append(write_column(store, "items/KEPT", np.array([int(each[0] == keep) for each in ids])))
    entries.append(write_column(store, "items/KEPT.valid", np.ones(len(ids), np.bool_)))
    schema = Schema(ITEMS, (Column("ITEM_ID", "string"), Column("KEPT", "long")))
    properties = {"schemas": {ITEMS: schema.avro()}, "eventTypes": [], "items": len(ids), "latestTimestamp": 86_400}
    group = catalog.read(Arn.parse(fields["datasetGroupArn"]))
    catalog.update(group, view=vars(finish(store, entries, properties)))
    asked = {"name": "kept", "datasetGroupArn": str(group.arn)}
    asked["filterExpression"] = "INCLUDE ItemID WHERE Items.KEPT = 1"
    return str(create_filter(catalog, asked)["filterArn"])


def test_a_filter_holds_through_a_whole_themed_job(local: LocalExecutor, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    version = version_of(catalog, "english")
    arn, source = filtered(catalog, version, "b"), tmp_path / "items.json"
    source.write_text('{"itemId":"a00"}\n{"itemId":"unheard of"}\n')
    job = create_batch_inference_job(catalog, themed(version, source, tmp_path / "out", filterArn=arn))
    run_job(local, catalog, job, lambda _: None)
    first, second = [json.loads(line)["output"] for line in (tmp_path / "out/items.json.out").open()]
    assert first["theme"] == "Long summer evenings"
    for output in (first, second):
        assert {each[0] for each in output["recommendedItems"]} == {"b"}
        assert output["theme"]
        scores = output["itemsThemeRelevanceScores"]
        assert len(scores) == len(output["recommendedItems"]) == 5
        assert scores == sorted(scores, reverse=True)
