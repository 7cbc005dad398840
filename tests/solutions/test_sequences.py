"""Trainings of what follows what as a user runs them: the form of v2, its peers, the choice among candidates, and UPDATE."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from personalize_spark.artifacts.artifact import Artifact
from personalize_spark.artifacts.heldout import COSINE, EASE, read_held_out, read_peers
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import DataError
from personalize_spark.solutions.new_version import new_version
from personalize_spark.solutions.train import UPDATE, begin_version, train
from personalize_spark.solutions.tuning import Measured, chosen
from personalize_spark.training.configuration import Hyperparameters
from tests.solutions.test_train import SMALL, artifact_of, ids, interactions, write

pytestmark = pytest.mark.spark


V2 = "aws-user-personalization-v2"


def learned(spark: SparkSession, folder: Path) -> Artifact:
    catalog = write(spark, f"file://{folder}/", interactions())
    return artifact_of(catalog, train(spark, catalog, "films", V2, "s", SMALL))


def test_v2_has_the_newest_items_of_a_user_what_they_lead_to_and_the_lists_of_peers(
    spark: SparkSession, tmp_path: Path
) -> None:
    artifact = learned(spark, tmp_path)
    model = read_model(artifact)
    names = ids(model)
    assert (model.matrix, model.item_side) == (None, model.sparse)
    assert model.sparse is not None
    assert model.users is not None
    newest = {item: when for user, item, when in interactions() if user == "üser-37"}
    found = model.users.lookup(["üser-37"]).vectors[0]
    expected = sorted(newest, key=lambda item: (newest[item], item.encode()), reverse=True)
    assert [names[row] for row in found if row >= 0] == expected
    assert model.sparse.share == artifact.properties["foldIn"]["last"]
    held_out = read_held_out(artifact)
    assert held_out is not None
    for lists in read_peers(artifact).values():
        assert lists.shape == (len(held_out.targets), 25)
        assert not held_out.seen.contains(np.repeat(np.arange(len(lists)), 25), lists.ravel()).any()
    assert set(read_peers(artifact)) == {COSINE, EASE}


def test_v2_chooses_among_candidates_and_the_record_tells_it(spark: SparkSession, tmp_path: Path) -> None:
    catalog = write(spark, f"file://{tmp_path}/", interactions())
    version = train(spark, catalog, "films", V2, "s", replace(SMALL, training_jobs=8))
    told = catalog.read(version).fields
    candidates = told["choice"]["candidates"]
    forms = [each["form"] if isinstance(each["form"], str) else each["form"]["rank"] for each in in_turn(candidates)]
    assert forms == [0, "ALS", 0, 0, 0, 0, 16, 16]
    best = chosen([Measured(**each) for each in candidates])
    assert told["choice"]["chosen"] == ("popularity" if best is None else candidates[best]["form"])
    assert told["tunedHPOParams"]["algorithmHyperParameters"]
    assert all(0 < each["log_loss"] < 10 for each in candidates)


def test_v2_is_popularity_where_nobody_shows_what_comes_next(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(f"user-{user}", f"item-{user % 7}", user) for user in range(60)]
    catalog = write(spark, f"file://{tmp_path}/", rows)
    properties = artifact_of(
        catalog, train(spark, catalog, "films", V2, "s", replace(SMALL, training_jobs=3))
    ).properties
    assert properties["chosen"] == "popularity"
    assert properties["choice"].startswith("Only 0 users have an item to hold out")


@pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-hrnn", "aws-personalized-ranking"])
def test_a_training_for_users_takes_als_or_what_follows_by_itself(
    spark: SparkSession, tmp_path: Path, recipe: str
) -> None:
    catalog = write(spark, f"file://{tmp_path}/", in_a_row())
    version = train(spark, catalog, "films", recipe, "s", Hyperparameters())
    told, model = catalog.read(version).fields, read_model(artifact_of(catalog, version))
    forms = [each["form"] for each in in_turn(told["choice"]["candidates"])]
    assert forms[0] == "ALS"
    assert [(each["memory"], each["backward"], each["lift_to"], each["kept"]) for each in forms[1:]] == [
        *((3.0, 0.3, 0.0, 500), (50.0, 1.0, 2.0, 100), (50.0, 1.0, 4.0, 100)),
    ]
    assert told["choice"]["chosen"] in forms[1:]  # ALS does not know what comes next
    assert "tunedHPOParams" not in told  # nobody asked for it
    said = f"The best of 4 candidates on {told['metrics']['heldOutUsers']} users, "
    assert any(note.startswith(said) for note in new_version(catalog, version).notes)
    assert (model.matrix, artifact_of(catalog, version).properties.get("scored")) == (None, None)


def test_what_follows_is_counted_again_by_an_update(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = write(spark, f"file://{tmp_path}/", in_a_row())
    settings = Hyperparameters()
    base = artifact_of(catalog, train(spark, catalog, "films", "aws-user-personalization", "s", settings))
    rows = [
        *in_a_row(),
        *((f"late-{user}", item, when) for user in range(9) for when, item in enumerate(("i1", "i2", "new"))),
    ]
    write(spark, f"file://{tmp_path}/", rows)
    solution = catalog.read(find_solution(catalog))
    version, work = begin_version(catalog, solution, settings, UPDATE)
    work(spark)
    artifact = artifact_of(catalog, version.arn)
    model = read_model(artifact)
    assert model.sparse is not None
    two, new = model.rows_of(["i2", "new"]).tolist()
    assert new in model.sparse.leads.row(two)
    assert artifact.properties["temperature"] == base.properties["temperature"]
    assert artifact.properties["bend"] == base.properties["bend"]
    assert artifact.properties["popularityShare"] == base.properties["popularityShare"]
    assert artifact.properties["metrics"] == base.properties["metrics"]
    _, work = begin_version(catalog, solution, settings, UPDATE)
    monkeypatch.setattr("personalize_spark.solutions.update.train_forms", lambda *_: iter(()))
    with pytest.raises(DataError, match="in the mode FULL"):
        work(spark)


def in_turn(candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each form once, though it may have been tried with half of its share of popularity, too."""
    return [
        each
        for each, before in zip(candidates, [None, *candidates], strict=False)
        if not before or each["form"] != before["form"]
    ]


def in_a_row() -> list[tuple[str, str, int]]:
    """40 users, each of whom goes from an item to the next one, somewhere among 30."""
    return [(f"u{user}", f"i{(user * 7 + when) % 30}", when) for user in range(40) for when in range(3 + user % 4)]


def find_solution(catalog: Catalog) -> Arn:
    [solution] = [each.arn for each in catalog.list("solution")]
    return solution
