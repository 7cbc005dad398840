"""What is refused before Spark starts, which takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import personalize_spark as ps
from personalize_spark import api
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import EnvironmentProblem, PersonalizeSparkError, ResourceNotFoundException
from personalize_spark.solutions.import_model import Sources, Target, needs_jars
from personalize_spark.solutions.train import solution_for
from personalize_spark.storage.location import open_store

GROUP = Arn("aws", "eu-west-1", "111122223333", "dataset-group", "films")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A dataset group with interactions, and one without."""
    catalog = Catalog(f"file://{tmp_path}/catalog")
    catalog.create(GROUP, {"name": "films", "status": "ACTIVE"})
    catalog.create(GROUP.sibling("dataset", "films", "INTERACTIONS"), {"path": "file:///i", "deltaVersion": 0})
    catalog.create(GROUP.sibling("dataset-group", "empty"), {"name": "empty", "status": "ACTIVE"})
    return catalog


@pytest.fixture(autouse=True)
def _no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Spark was started")

    monkeypatch.setattr(api, "_session", refuse)


@pytest.mark.parametrize(
    ("group", "recipe", "said"),
    [
        ("film", "aws-hrnn", "no dataset group 'film'"),
        ("empty", "aws-hrnn", "has no Interactions dataset"),
        ("films", "aws-hrn", "'aws-hrn' .did you mean 'aws-hrnn'"),
    ],
)
def test_a_training_is_checked_first(catalog: Catalog, group: str, recipe: str, said: str) -> None:
    with pytest.raises(PersonalizeSparkError, match=said):
        ps.train(catalog, group, recipe, "s")
    assert not list(catalog.list("solution"))


def test_an_import_is_checked_first(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text("id,count\na,1\n")
    counts = tmp_path / "counts.csv"
    with pytest.raises(ResourceNotFoundException, match="no dataset group 'film'"):
        ps.import_model(catalog, "s", "aws-popularity-count", counts=counts, group="film")
    with pytest.raises(ResourceNotFoundException, match="has no Interactions dataset"):
        ps.import_model(catalog, "s", "aws-popularity-count", group="empty")
    with pytest.raises(PersonalizeSparkError, match="There is nothing at .*/none"):
        ps.import_model(catalog, "s", "aws-similar-items", counts=counts, items=tmp_path / "none")
    np.save(tmp_path / "items.npy", np.ones((2, 3)))
    with pytest.raises(PersonalizeSparkError, match="items.npy has no ids: put .*/items.ids.txt"):
        ps.import_model(catalog, "s", "aws-similar-items", counts=counts, items=tmp_path / "items.npy")
    (tmp_path / "items.ids.txt").write_text("a\n")
    with pytest.raises(PersonalizeSparkError, match="items.ids.txt holds 1 ids, .* has 2 rows"):
        ps.import_model(catalog, "s", "aws-similar-items", counts=counts, items=tmp_path / "items.npy")
    np.savez(tmp_path / "m.npz", item_factors=np.ones((2, 3)))
    with pytest.raises(PersonalizeSparkError, match="holds item_factors, but no user_factors"):
        ps.import_model(catalog, "s", "aws-user-personalization", counts=counts, items=tmp_path / "m.npz")
    other = "arn:aws:personalize:eu-west-1:111122223333:solution/other/1"
    with pytest.raises(PersonalizeSparkError, match="is not that of a version of the solution 's'"):
        ps.import_model(catalog, "s", "aws-popularity-count", counts=counts, arn=other)
    assert not list(catalog.list("solution"))


def test_a_session_for_an_import_has_jars_only_where_spark_reads_delta_or_s3(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def refuse(*_: object, jars: bool, **__: object) -> None:
        asked.append(jars)
        raise EnvironmentProblem("no session here")

    def needs_jars(recipe: str, **given: Any) -> bool:
        with pytest.raises(EnvironmentProblem, match="no session here"):
            ps.import_model(catalog, "s", recipe, **given)
        return asked.pop()

    monkeypatch.setattr(api, "_session", refuse)
    np.savez(tmp_path / "m.npz", item_factors=np.ones((2, 3)), user_factors=np.ones((2, 3)))
    for name in ("i.csv", "delta/_delta_log/0.json", "als/itemFactors/part-0.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"PAR1")
    arrays, counts, delta = (tmp_path / name for name in ("m.npz", "i.csv", "delta"))
    similar, popular = "aws-similar-items", "aws-popularity-count"
    assert not needs_jars("aws-user-personalization", items=arrays, counts=counts)
    assert not needs_jars(similar, items=arrays, counts=counts, group="films")
    assert not needs_jars(similar, items=arrays, interactions=counts, group="films")
    assert not needs_jars(similar, items=tmp_path / "als", item_ids=counts, counts=counts)
    assert needs_jars(similar, items=arrays, group="films")
    assert needs_jars("aws-hrnn", items=arrays, counts=counts, group="films", fit_temperature=True)
    assert needs_jars(popular, counts=delta)
    assert needs_jars(similar, items=delta, counts=counts)
    assert needs_jars(similar, items=arrays, item_ids=delta, counts=counts)


@pytest.mark.s3
def test_arrays_on_s3_need_no_jars_and_tables_do(s3: str, tmp_path: Path) -> None:
    store = open_store(s3)
    np.savez(tmp_path / "m.npz", item_factors=np.ones((2, 3)))
    (tmp_path / "counts.csv").write_text("id,count\na,1\n")
    for name in ("m.npz", "counts.csv"):
        store.write(name, (tmp_path / name).read_bytes())
    target, here = Target("s", "aws-similar-items"), f"file://{tmp_path}/counts.csv"
    assert not needs_jars(target, Sources(items=f"{s3}/m.npz", counts=here), fit=False)
    assert needs_jars(target, Sources(items=f"{s3}/m.npz", counts=f"{s3}/counts.csv"), fit=False)


def test_without_scipy_only_what_needs_it_is_refused(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(EnvironmentProblem, match=r"needs scipy.*pip install 'personalize-spark\[spark\]'"):
        solution_for(catalog, "films", "aws-hrnn", "s")
    with pytest.raises(EnvironmentProblem, match="needs scipy"):
        ps.import_model(catalog, "s", "aws-hrnn", items=tmp_path, group="films", fit_temperature=True)
    assert solution_for(catalog, "films", "aws-popularity-count", "s").arn.name == "s"


@pytest.mark.slow
def test_trainings_are_there_without_scipy() -> None:
    code = "import sys; sys.modules['scipy'] = None; import personalize_spark.solutions.train, personalize_spark.solutions.import_model"
    subprocess.run([sys.executable, "-c", code], check=True)
