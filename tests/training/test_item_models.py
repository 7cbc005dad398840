"""Related items as a user trains them, against counting in plain Python."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from personalize_spark.answer import answer
from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.artifacts.heldout import COSINE, read_item_peers
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.datasets.imports import CsvSource, import_files
from personalize_spark.errors import DataError
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.scoring.model import Model
from personalize_spark.solutions.train import Hyperparameters, train
from tests.solutions.test_train import interactions

pytestmark = pytest.mark.spark

SCHEMA = {
    "type": "record",
    "name": "Items",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "CREATION_TIMESTAMP", "type": "long"},
        {"name": "GENRE", "type": ["null", "string"], "categorical": True},
        {"name": "TEXT", "type": ["null", "string"], "textual": True},
    ],
}
WORDS = ["spy", "love", "war", "space", "cook", "sea"]
ITEMS = [
    (
        f"item-{n}",
        1_000 + 37 * n % 400,
        ["drama", "comedy|crime", "sci-fi"][n % 3],
        f"{WORDS[n % 6]} and {WORDS[n % 5]}",
    )
    for n in range(40)
]
"""The last twenty of them nobody has met."""

Learn = Callable[[str], Artifact]


def write(path: Path, rows: Iterable[Sequence[object]]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return f"file://{path}"


@pytest.fixture(scope="module")
def learn(_spark_session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Learn:
    folder = tmp_path_factory.mktemp("related")
    catalog = Catalog(f"file://{folder}/catalog")
    sources = {
        "Interactions": CsvSource(write(folder / "i.csv", [("USER_ID", "ITEM_ID", "TIMESTAMP"), *interactions()])),
        "Items": CsvSource(write(folder / "items.csv", [[each["name"] for each in SCHEMA["fields"]], *ITEMS]), SCHEMA),  # type: ignore[index]
    }
    import_files(_spark_session, catalog, "films", sources)

    def learn(recipe: str) -> Artifact:
        arn = train(_spark_session, catalog, "films", recipe, recipe, Hyperparameters(rank=16))
        return Pinned(**catalog.read(arn).fields["model"]).open()

    return learn


def out(recipe: str, model: Model, item: str, settings: Settings) -> list[str]:
    [line] = answer(RECIPES[recipe], model, settings, [json.dumps({"itemId": item}).encode()]).data.splitlines()
    items: list[str] = json.loads(line)["output"]["recommendedItems"]
    return items


def closeness(half_life: float, power: float, shrinkage: float, backward: float = 1.0) -> dict[str, dict[str, float]]:
    newest: dict[str, dict[str, int]] = defaultdict(dict)
    for user, item, when in interactions():
        newest[user][item] = max(when, newest[user].get(item, 0))
    met: dict[str, int] = defaultdict(int)
    close: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for items in newest.values():
        ordered = sorted(items, key=lambda item: (items[item], item.encode()))
        for item in ordered:
            met[item] += 1
        for place, item in enumerate(ordered):
            for other_place, other in enumerate(ordered):
                if item != other:
                    weight = 1.0 if place < other_place else backward
                    if items[item] == items[other]:
                        weight = (1 + backward) / 2
                    close[item][other] += weight * 0.5 ** (abs(place - other_place) / half_life)
    return {
        item: {other: d / ((met[item] * met[other]) ** power + shrinkage) for other, d in others.items()}
        for item, others in close.items()
    }


def assert_cosine(artifact: Artifact, model: Model) -> None:
    """The lists beside the model are those of the largest cosines of who met an item."""
    users: dict[str, set[str]] = defaultdict(set)
    for user, item, _ in interactions():
        users[item].add(user)
    ids, lists = model.item_ids(), read_item_peers(artifact)[COSINE]
    assert len(lists) == len(ids)
    for row, item in enumerate(ids):
        if item in users:
            cosines = {
                other: len(users[item] & users[other]) / (len(users[item]) * len(users[other])) ** 0.5
                for other in users
                if other != item
            }
            best = sorted(cosines.values(), reverse=True)[: len(lists[row])]
            found = [cosines.get(ids[place], 0.0) for place in lists[row] if place >= 0]
            assert found[: len(best)] == pytest.approx(best[: len(found)]), item


def test_sims_are_counted_as_the_formula_says(learn: Learn) -> None:
    artifact = learn("aws-sims")
    model = read_model(artifact)
    assert_cosine(artifact, model)
    expected = closeness(20.0, 0.3, 5.0, 0.7)
    for item, others in expected.items():
        found = [name for name in out("aws-sims", model, item, Settings(25)) if name in others]
        scores = [others[name] for name in found]
        assert len(found) == min(25, len(others))
        assert all(one >= other - 1e-6 for one, other in pairwise(scores))
        assert scores[0] == pytest.approx(max(others.values()), abs=1e-6)


def test_similar_items_follow_who_met_what_and_the_categories(learn: Learn) -> None:
    artifact = learn("aws-similar-items")
    model = read_model(artifact)
    assert_cosine(artifact, model)
    assert model.matrix is not None
    assert len(model.item_ids_json) == len({*(item for _, item, _ in interactions()), *(row[0] for row in ITEMS)})
    genres = {row[0]: str(row[2]) for row in ITEMS}
    for cold in ("item-30", "item-31", "item-32"):
        found = out("aws-similar-items", model, cold, Settings(8))
        assert cold not in found
        assert [genres.get(item) for item in found] == [genres[cold]] * 8
    expected = closeness(20.0, 0.3, 5.0)["item-0"]
    best = sorted(expected, key=lambda item: -expected[item])[:8]
    assert len(set(best) & set(out("aws-similar-items", model, "item-0", Settings(8)))) >= 5


def test_semantic_similarity_reads_the_words(learn: Learn) -> None:
    recipe, model = "aws-semantic-similarity", read_model(learn("aws-semantic-similarity"))
    words = {row[0]: set(str(row[3]).split()) for row in ITEMS}
    for item in ("item-0", "item-7", "item-35"):
        first = out(recipe, model, item, Settings(1))[0]
        assert len(words[first] & words[item]) == max(
            len(words[other] & words[item]) for other in words if other != item
        )
    assert set(out(recipe, model, "item-0", Settings(500))) == {row[0] for row in ITEMS} - {"item-0"}


@pytest.mark.parametrize("which", ["popularity", "freshness"])
def test_the_more_influence_the_more_popular_and_newer(learn: Learn, which: str) -> None:
    recipe, model = "aws-semantic-similarity", read_model(learn("aws-semantic-similarity"))
    counts: dict[str, int] = defaultdict(int)
    for _, item, _ in interactions():
        counts[item] += 1
    value = counts if which == "popularity" else {row[0]: row[1] for row in ITEMS}
    names = [row[0] for row in ITEMS]
    place = {name: number for number, name in enumerate(sorted(names, key=lambda name: value[name]))}

    def weights(weight: float) -> tuple[float, float]:
        return (weight, 0.0) if which == "popularity" else (0.0, weight)

    means = [
        np.mean([place[item] for name in names for item in out(recipe, model, name, Settings(10, *weights(weight)))])
        for weight in (0.0, 0.25, 0.5, 1.0)
    ]
    assert means == sorted(means)
    assert means[-1] > means[0] + 3
    plain = [out(recipe, model, name, Settings(10)) for name in names]
    assert plain == [out(recipe, model, name, Settings(10, 0.0, 0.0)) for name in names]


def test_semantic_similarity_needs_a_text(spark: SparkSession, tmp_path: Path) -> None:
    catalog = Catalog(f"file://{tmp_path}/catalog")
    rows = write(tmp_path / "i.csv", [("USER_ID", "ITEM_ID", "TIMESTAMP"), *interactions()])
    import_files(spark, catalog, "films", {"Interactions": CsvSource(rows)})
    with pytest.raises(DataError, match="textual"):
        train(spark, catalog, "films", "aws-semantic-similarity", "s", Hyperparameters())
