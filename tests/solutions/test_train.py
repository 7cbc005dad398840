"""Trainings as a user runs them, on a real session and real Delta tables."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

from personalize_spark.artifacts import shards
from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.artifacts.heldout import read_held_out
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import DataError, InvalidInputException, ResourceNotFoundException
from personalize_spark.recipes import RECIPES, ModelKind
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.topn import products_of
from personalize_spark.solutions import train as module
from personalize_spark.solutions import write_model
from personalize_spark.solutions.train import Hyperparameters, train
from personalize_spark.storage.location import hadoop_uri
from personalize_spark.training import als
from personalize_spark.training.local_pairs import LocalPairs
from tests.recipes.test_new_recipe import UNPOPULAR

pytestmark = pytest.mark.spark

Row = tuple[str, str, int]
SMALL = Hyperparameters(rank=4, iterations=3, regularization=0.1, training_jobs=1)
GROUP = Arn("aws", "eu-west-1", "111122223333", "dataset-group", "films")
ODD = ["ä", "\U0001f600", "~", 'quote"', "new\nline"]
"""Ids whose UTF-16 or ASCII-escaped order is not the order of their UTF-8 bytes."""

Learn = Callable[..., Artifact]


def interactions(users: int = 40, items: int = 25, seed: int = 0) -> list[Row]:
    """Users of two tastes, with 1 to 17 events each; some pairs more than once; the last user met every item."""
    chance = random.Random(seed)
    names = [*ODD, *(f"item-{i}" for i in range(items - len(ODD)))]
    few = [
        (f"üser-{user}", names[min(items - 1, int(chance.paretovariate(0.8)) - 1 + user % 2 * items // 2)], when)
        for user in range(users - 1)
        for when in range(1 + user % 17)
    ]
    return [*few, *((f"üser-{users - 1}", name, when) for when, name in enumerate(names))]


def write(spark: SparkSession, root: str, rows: Iterable[Row]) -> Catalog:
    """A catalog with a dataset group of these interactions; called again, their next version."""
    catalog = Catalog(f"{root}catalog")
    uri = f"{catalog.uri}/datasets/films/interactions"
    frame = spark.createDataFrame(list(rows), "USER_ID string, ITEM_ID string, TIMESTAMP long")
    frame.coalesce(1).write.format("delta").mode("overwrite").save(hadoop_uri(uri))
    arn = GROUP.sibling("dataset", "films", "INTERACTIONS")
    if list(catalog.list("dataset-group")):
        record = catalog.read(arn)
        catalog.update(record, deltaVersion=record.fields["deltaVersion"] + 1)
    else:
        catalog.create(GROUP, {"name": "films", "status": "ACTIVE"})
        catalog.create(arn, {"path": uri, "deltaVersion": 0})
    return catalog


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"file://{tmp_path}/"


@pytest.fixture
def learn(spark: SparkSession, root: str) -> Learn:
    """Train on rows; gives the model's artifact."""

    def learn(
        rows: Iterable[Row], recipe: str = "aws-user-personalization", settings: Hyperparameters = SMALL
    ) -> Artifact:
        catalog = write(spark, root, rows)
        arn = train(spark, catalog, "films", recipe, f"s-{time.time_ns()}", settings)
        return artifact_of(catalog, arn)

    return learn


@pytest.fixture(scope="module")
def learned(_spark_session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The model of `interactions()`."""
    catalog = write(_spark_session, f"file://{tmp_path_factory.mktemp('learned')}/", interactions())
    return artifact_of(catalog, train(_spark_session, catalog, "films", "aws-user-personalization", "s", SMALL))


def artifact_of(catalog: Catalog, arn: Arn) -> Artifact:
    fields = catalog.read(arn).fields
    return Pinned(**fields["model"]).open()


def ids(model: Model) -> list[str]:
    data, ends = model.item_ids_json.values.tobytes(), model.item_ids_json.indptr
    return [json.loads(data[start:end]) for start, end in pairwise(ends.tolist())]


def counts(rows: Iterable[Row]) -> dict[str, int]:
    result: dict[str, int] = {}
    for _, item, _ in rows:
        result[item] = result.get(item, 0) + 1
    return result


def test_every_kind_of_model_has_a_trainer() -> None:
    assert module.TRAINERS.keys() == set(ModelKind)


def test_trainers_that_read_frames_have_nothing_counted_before() -> None:
    for kind, trainer in module.TRAINERS.items():
        count = Mock(return_value=1_000)
        module._here(trainer, SMALL, count)
        assert count.called == (kind not in {ModelKind.WORDS, ModelKind.COUNTS})


def test_a_new_recipe_on_a_kind_of_model_is_trained(learn: Learn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, UNPOPULAR.name, UNPOPULAR)
    artifact = learn(interactions(), UNPOPULAR.name)
    assert artifact.properties["recipe"] == UNPOPULAR.name


@pytest.mark.parametrize("recipe", sorted(RECIPES.keys() - {"aws-semantic-similarity"}))
def test_items_are_popular_by_their_count_then_by_the_bytes_of_their_id(learn: Learn, recipe: str) -> None:
    rows = interactions()
    model = read_model(learn(rows, recipe))
    expected = counts(rows)
    names = ids(model)
    assert sorted(names) == sorted(expected)
    assert len(set(expected.values())) < len(expected), "no ties, the test shows nothing"
    assert [names[row] for row in model.popularity_order] == sorted(
        expected, key=lambda name: (-expected[name], name.encode())
    )
    np.testing.assert_array_equal(model.popularity, [expected[name] / len(rows) for name in names])


def test_popularity_count_has_no_factors(learn: Learn) -> None:
    artifact = learn(interactions(), "aws-popularity-count")
    model = read_model(artifact)
    assert model.matrix is None
    assert model.popularity_order.tolist() == list(range(len(model.item_ids_json)))
    assert artifact.properties == {
        "recipe": "aws-popularity-count",
        "interactions": len(interactions()),
        "items": 25,
        "deltaVersions": {"INTERACTIONS": 0},
    }


def test_items_lie_by_descending_norm_and_are_ranked_by_the_bytes_of_their_id(learned: Artifact) -> None:
    model = read_model(learned)
    assert model.matrix is not None
    names = ids(model)
    assert (np.diff(model.matrix.norms) <= 0).all()
    assert (np.linalg.norm(model.matrix.factors, axis=1) <= model.matrix.norms).all()
    by_bytes = sorted(names, key=str.encode)
    assert model.matrix.ranks.tolist() == [by_bytes.index(name) for name in names]


def test_every_user_is_found_with_the_normaliser_of_its_vector(learned: Artifact) -> None:
    model = read_model(learned)
    assert model.users is not None
    assert model.matrix is not None
    known = sorted({user for user, _, _ in interactions()})
    found = model.users.lookup([*known, "nobody"])
    assert found.known.tolist() == [True] * len(known) + [False]
    products = found.vectors[:-1].astype(np.float64) @ model.matrix.factors.astype(np.float64).T
    expected = np.log(np.exp(learned.properties["temperature"] * products).sum(axis=1))
    np.testing.assert_allclose(found.log_normalisers[:-1], expected, rtol=1e-12)


def test_users_are_spread_over_shards(learn: Learn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 6)
    artifact = learn(interactions())
    model = read_model(artifact)
    assert sum(name.startswith("users/") for name in artifact.entries) == 7
    assert model.users is not None
    assert model.users.lookup([f"üser-{user}" for user in range(40)]).known.all()


@pytest.mark.parametrize("most", [als.MOST_INTERACTIONS, 100])
def test_a_folded_in_user_has_the_vector_that_als_ends_with(
    learn: Learn, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    seen = {}
    fit = als._fitted

    def spy(
        pairs: DataFrame | LocalPairs, items: int, interactions: int, settings: Hyperparameters
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert isinstance(pairs, LocalPairs) == (most > 100)
        factors, of_items = fit(pairs, items, interactions, settings)
        if isinstance(pairs, LocalPairs):
            users = pairs.ids.to_pylist()
        else:
            users = [
                row[0] for row in pairs.groupBy("user_id").agg(F.first("user").alias("user")).orderBy("user").collect()
            ]
        seen.update(dict(zip(users, factors, strict=True)))
        return factors, of_items

    monkeypatch.setattr(als, "_fitted", spy)
    monkeypatch.setattr(als, "MOST_INTERACTIONS", most)  # more than the driver holds, where it is low
    rows = interactions()
    model = read_model(learn(rows))
    assert model.users is not None
    untouched = [user for user in seen if len({item for name, item, _ in rows if name == user}) < 3]
    assert len(untouched) > 4
    found = model.users.lookup(untouched)
    np.testing.assert_allclose(found.vectors[:, :-1], [seen[user] for user in untouched], rtol=2e-5, atol=2e-6)


def test_every_user_is_folded_in_with_all_that_it_did(learned: Artifact) -> None:
    model = read_model(learned)
    assert model.users is not None
    assert model.matrix is not None
    row_of = {name: row for row, name in enumerate(ids(model))}
    factors = model.matrix.factors[:, :-1].astype(np.float64)
    np.testing.assert_allclose(learned.column("gram"), factors.T @ factors, rtol=1e-12)
    for user in ("üser-0", "üser-16", "üser-39"):
        events = np.bincount([row_of[item] for name, item, _ in interactions() if name == user], minlength=len(row_of))
        weights = np.where(events, 1 + SMALL.alpha * events, 1)
        penalty = SMALL.regularization * np.count_nonzero(events) * np.eye(SMALL.rank)
        expected = np.linalg.solve((factors.T * weights) @ factors + penalty, (weights * (events > 0)) @ factors)
        np.testing.assert_allclose(model.users.lookup([user]).vectors[0, :-1], expected, rtol=1e-5, atol=1e-6)


def test_the_same_data_and_seed_give_the_same_bytes(learned: Artifact, learn: Learn) -> None:
    first, second = learned, learn(reversed(interactions()))
    assert first.entries == second.entries
    assert first.properties["temperature"] == second.properties["temperature"]
    other = learn(interactions(), settings=replace(SMALL, seed=7))
    assert other.entries["factors.npy"] != first.entries["factors.npy"]


def test_the_newest_item_of_a_user_calibrates_the_scores(learned: Artifact) -> None:
    rows, properties = interactions(), learned.properties
    users = {user: {item for name, item, _ in rows if name == user} for user, _, _ in rows}
    metrics = properties["metrics"]
    assert metrics["heldOutUsers"] == sum(len(items) >= 3 for items in users.values())
    assert metrics["logLoss"] < metrics["logLossUniform"] == pytest.approx(np.log(25))
    assert metrics["logLoss"] <= metrics["logLossPopularity"] + 1e-5
    assert properties["temperature"] > 0
    assert properties["popularityShare"] >= 0


def test_users_of_one_item_can_be_learned_from(learn: Learn, caplog: pytest.LogCaptureFixture) -> None:
    artifact = learn([("u", "a", 1), ("v", "b", 1)])
    assert artifact.properties["temperature"] == 1.0
    assert artifact.properties["metrics"] == {"heldOutUsers": 0}
    assert "2 interactions and 0 users" in caplog.text


def test_what_was_held_out_is_learned_in_the_end_and_the_measures_are_of_before(learn: Learn) -> None:
    artifact = learn([*interactions(), ("üser-16", "brand new", 1000)])
    model, held_out = read_model(artifact), read_held_out(artifact)
    assert model.users is not None
    assert model.matrix is not None
    assert held_out is not None
    row = ids(model).index("brand new")
    assert model.matrix.factors[row, :-1].any()
    before = float(np.exp(-held_out.ranking.losses[held_out.targets.values == row][0]))
    found = model.users.lookup(["üser-16"])
    after = model.curve.exponents(products_of(found.vectors, np.zeros(1, np.int64), model.matrix, np.array([row])))
    assert np.exp(after[0] - found.log_normalisers[0]) > 2 * before


def test_a_training_reads_the_version_that_the_dataset_names(spark: SparkSession, root: str) -> None:
    write(spark, root, interactions())
    catalog = write(spark, root, [("u", "other", 1), ("v", "other", 2)])
    dataset = catalog.read(GROUP.sibling("dataset", "films", "INTERACTIONS"))
    newest = train(spark, catalog, "films", "aws-popularity-count", "s", SMALL)
    catalog.update(dataset, deltaVersion=0)
    older = train(spark, catalog, "films", "aws-popularity-count", "s", SMALL)
    assert ids(read_model(artifact_of(catalog, newest))) == ["other"]
    assert len(read_model(artifact_of(catalog, older)).item_ids_json) == 25
    assert [catalog.read(arn).fields["deltaVersions"] for arn in (newest, older)] == [
        {"INTERACTIONS": 1},
        {"INTERACTIONS": 0},
    ]


def test_the_records_tell_what_was_trained(spark: SparkSession, root: str) -> None:
    catalog = write(spark, root, interactions())
    arns = [train(spark, catalog, "films", "aws-popularity-count", "top", SMALL) for _ in range(2)]
    shared = {
        "recipeArn": "arn:aws:personalize:::recipe/aws-popularity-count",
        "datasetGroupArn": str(GROUP),
        "solutionArn": "arn:aws:personalize:eu-west-1:111122223333:solution/top",
        "status": "ACTIVE",
    }
    solution = catalog.read(Arn.parse(shared["solutionArn"])).fields
    assert shared.items() <= solution.items()
    assert solution["name"] == "top"
    assert len({arn.version for arn in arns}) == 2
    for arn in arns:
        version = catalog.read(arn).fields
        assert shared.items() <= version.items()
        assert (version["solutionVersionArn"], version["trainingMode"]) == (str(arn), "FULL")
        assert 0 < version["trainingHours"] < 1
        assert version["model"]["uri"] == f"{catalog.uri}/models/top/{arn.version}/"


def test_a_solution_keeps_its_recipe(spark: SparkSession, root: str) -> None:
    catalog = write(spark, root, interactions())
    train(spark, catalog, "films", "aws-popularity-count", "top", SMALL)
    with pytest.raises(
        InvalidInputException, match="'top' has the recipeArn .*aws-popularity-count, not .*use another"
    ):
        train(spark, catalog, "films", "aws-user-personalization", "top", SMALL)


@pytest.mark.parametrize(
    ("group", "recipe", "solution", "message"),
    [
        ("film", "aws-popularity-count", "s", "no dataset group 'film' .*did you mean 'films'"),
        ("films", "aws-popularity", "s", "recipe 'aws-popularity'.*did you mean 'aws-popularity-count'"),
        ("films", "aws-popularity-count", "../s", "'../s' is no name of a solution"),
    ],
)
def test_a_name_that_is_wrong_is_refused_before_any_record(
    spark: SparkSession, root: str, group: str, recipe: str, solution: str, message: str
) -> None:
    catalog = write(spark, root, [("u", "a", 1)])
    with pytest.raises((InvalidInputException, ResourceNotFoundException), match=message):
        train(spark, catalog, group, recipe, solution, SMALL)
    assert not list(catalog.list("solution"))


def test_a_group_without_interactions_is_refused(spark: SparkSession, root: str) -> None:
    catalog = Catalog(root)
    catalog.create(GROUP, {"name": "films"})
    with pytest.raises(ResourceNotFoundException, match="import interactions"):
        train(spark, catalog, "films", "aws-popularity-count", "s", SMALL)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"iterations": -1}, {"alpha": 0.0}, {"regularization": float("nan")}])
def test_a_hyperparameter_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInputException, match=f"{next(iter(wrong))} must be above 0"):
        Hyperparameters(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_empty_dataset_fails_the_version(spark: SparkSession, root: str, recipe: str) -> None:
    catalog = write(spark, root, [])
    with pytest.raises(DataError, match="import interactions"):
        train(spark, catalog, "films", recipe, "s", SMALL)
    (version,) = catalog.list("solution", "s")
    assert version.fields["status"] == "CREATE FAILED"
    assert "import interactions" in version.fields["failureReason"]


@pytest.mark.parametrize("most", [als.MOST_INTERACTIONS, 100])
def test_an_als_that_cannot_be_solved_fails_the_version_and_leaves_no_model(
    spark: SparkSession, root: str, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(als, "MOST_INTERACTIONS", most)
    catalog = write(spark, root, interactions())
    with pytest.raises(DataError, match="raise --regularization"):
        train(spark, catalog, "films", "aws-user-personalization", "s", Hyperparameters(rank=4, alpha=1e300))
    (version,) = catalog.list("solution", "s")
    assert version.fields["status"] == "CREATE FAILED"
    assert not list(catalog.store.at("models").list())


def test_what_breaks_behind_the_spark_session_fails_the_version_too(
    spark: SparkSession, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = write(spark, root, interactions())
    monkeypatch.setattr(write_model, "finish", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        train(spark, catalog, "films", "aws-popularity-count", "s", SMALL)
    (version,) = catalog.list("solution", "s")
    assert version.fields["failureReason"] == "OSError: no space left"
    assert not list(catalog.store.at("models").list())


@pytest.mark.s3
def test_a_catalog_on_s3_holds_the_same_model(spark: SparkSession, learned: Artifact, s3: str) -> None:
    catalog = write(spark, f"{s3}/", interactions())
    artifact = artifact_of(catalog, train(spark, catalog, "films", "aws-user-personalization", "s", SMALL))
    assert artifact.entries == learned.entries
    for entry in artifact.entries.values():
        assert hashlib.sha256(artifact.store.read(entry.name)).hexdigest() == entry.sha256
