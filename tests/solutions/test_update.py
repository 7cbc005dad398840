"""trainingMode UPDATE against the equations, solved one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from personalize_spark.artifacts.artifact import Artifact
from personalize_spark.artifacts.model import read_model
from personalize_spark.recipes import RECIPES
from personalize_spark.solutions.train import train
from personalize_spark.solutions.update import update
from personalize_spark.solutions.write_model import write_model
from personalize_spark.training.interactions import keeping, read_interactions, totals
from personalize_spark.training.training import Training
from tests.solutions.test_train import SMALL, artifact_of, ids, interactions, write

pytestmark = pytest.mark.spark

NEWS = [
    ("üser-3", "brand new", 900),
    ("üser-3", "brand new", 901),
    ("üser-7", "brand new", 902),
    ("late", "item-1", 903),
]
ORPHAN = [("hermit", "nobody else's", 904)]


def test_new_items_and_users_are_folded_in_and_known_items_stay(spark: SparkSession, tmp_path: Path) -> None:
    root = f"file://{tmp_path}/"
    catalog = write(spark, root, interactions())
    base = artifact_of(catalog, train(spark, catalog, "films", "aws-user-personalization", "s", SMALL))
    rows = [*interactions(), *NEWS, *ORPHAN]
    write(spark, root, rows)
    pairs = read_interactions(spark, f"{catalog.uri}/datasets/films/interactions", 1)
    store = catalog.store.at("models/s/updated")
    with keeping() as keep:
        training = Training(RECIPES["aws-user-personalization"], pairs, totals(pairs), SMALL, lambda: None, keep)
        write_model(store, update(spark, training, base=base), {})
    updated = Artifact(store)
    old, new = read_model(base), read_model(updated)
    assert old.matrix is not None
    assert new.matrix is not None
    assert new.users is not None
    was = dict(zip(ids(old), old.matrix.factors[:, :-1].astype(np.float64), strict=True))
    factors = dict(zip(ids(new), new.matrix.factors[:, :-1].astype(np.float64), strict=True))
    assert factors.keys() - was.keys() == {"brand new", "nobody else's"}
    assert all((factors[name] == vector).all() for name, vector in was.items())

    def solved(others: dict[str, np.ndarray], met: dict[str, int]) -> np.ndarray:
        everything = np.array(list(others.values()))
        events = np.array([met.get(name, 0) for name in others])
        weights = np.where(events, 1 + SMALL.alpha * events, 1)
        penalty = SMALL.regularization * np.count_nonzero(events) * np.eye(SMALL.rank)
        return np.linalg.solve((everything.T * weights) @ everything + penalty, (weights * (events > 0)) @ everything)

    def met(who: str, where: int, items: dict[str, np.ndarray]) -> dict[str, int]:
        names = [row[1 - where] for row in rows if row[where] == who and (where == 1 or row[1] in items)]
        return {str(name): names.count(name) for name in names}

    names = sorted({user for user, _, _ in rows} - {"hermit"})
    users = {name: solved(was, met(name, 0, was)) for name in names}
    np.testing.assert_allclose(factors["brand new"], solved(users, met("brand new", 1, was)), rtol=1e-4, atol=1e-6)
    assert not factors["nobody else's"].any()
    for name in ("üser-3", "üser-16", "late"):
        found = new.users.lookup([name])
        assert found.known.all()
        np.testing.assert_allclose(found.vectors[0, :-1], solved(factors, met(name, 0, factors)), rtol=1e-4, atol=1e-6)
    exponent = updated.properties["temperature"] * found.vectors[0, -1] * new.matrix.factors[:, -1]
    counts = [sum(item == name for _, item, _ in rows) for name in ids(new)]
    np.testing.assert_allclose(exponent, base.properties["popularityShare"] * np.log1p(counts), rtol=1e-5)
    assert new.users.lookup(["hermit"]).known.all()
