"""Models from anywhere answer as brute force does with the factors that were in the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from personalize_spark.answer import answer
from personalize_spark.artifacts import shards
from personalize_spark.artifacts.artifact import Artifact
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import (
    DataError,
    InvalidInputException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from personalize_spark.external.check import unit
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.scoring.curve import STRAIGHT
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.solutions import write_model
from personalize_spark.solutions.import_model import LOADERS, Sources, Target, import_model
from personalize_spark.storage.location import hadoop_uri, open_store
from personalize_spark.testing.toy import World
from personalize_spark.training.temperature import fit_scale
from tests.external.factors import (
    ITEMS,
    USERS,
    matrix,
    model_of,
    numbered,
    world,
    write_counts,
    write_map,
    write_npy,
    write_npz,
    write_parquet,
)
from tests.oracle import answer_line, keys_of

pytestmark = pytest.mark.spark

UP = "aws-user-personalization"

Import = Callable[..., Model]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(f"file://{tmp_path}/catalog")


@pytest.fixture
def load(spark: SparkSession, catalog: Catalog, tmp_path: Path) -> Import:
    """Import with the counts of a world; gives the model."""

    def load(world: World, recipe: str = UP, *, fit: bool = False, **sources: str) -> Model:
        counts = {} if "interactions" in sources else {"counts": f"file://{write_counts(tmp_path, world)}"}
        given = Sources(**{**counts, **sources})
        return model_of(catalog, import_model(spark, catalog, Target("s", recipe), given, fit_temperature=fit))

    return load


def assert_brute_force(model: Model, world: World, recipe: str = UP) -> None:
    """A line for everyone and everything, and for a stranger."""
    items = list(world.items)
    lines = [
        {"userId": user, "itemId": items[n % ITEMS], "itemList": [*items[n::3], "?"]}
        for n, user in enumerate([*world.users, "stranger"])
    ]
    lines += [{"userId": "?", "itemId": item, "itemList": [item]} for item in [*items, "?"]]
    texts = [json.dumps({key: line[key] for key in keys_of(recipe)}, ensure_ascii=False) for line in lines]
    data = answer(RECIPES[recipe], model, Settings(ITEMS), [text.encode() for text in texts]).data.decode()
    assert data.splitlines() == [answer_line(world, recipe, text, ITEMS) for text in texts]


@pytest.mark.parametrize("recipe", [name for name, recipe in RECIPES.items() if recipe.model in LOADERS])
def test_every_recipe_answers_as_brute_force(recipe: str, load: Import, tmp_path: Path) -> None:
    model = world()
    sources = {}
    if recipe != "aws-popularity-count":
        sources["items"] = write_parquet(tmp_path, model.items, "items")
    if recipe == "aws-similar-items":
        rows = unit(matrix(model.items)).tolist()
        imported = load(model, recipe, **sources)
        assert_brute_force(imported, replace(model, items=dict(zip(model.items, rows, strict=True))), recipe)
        return
    if sources:
        sources["users"] = write_parquet(tmp_path, model.users, "users")
    assert_brute_force(load(model, recipe, **sources), model, recipe)


def test_users_lie_in_several_shards(load: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 4)
    model = world()
    sources = {"items": write_npy(tmp_path, model.items, "items"), "users": write_npy(tmp_path, model.users, "users")}
    assert_brute_force(load(model, **sources), model)
    assert len(list((tmp_path / "catalog").rglob("users/*.arrow"))) == -(-USERS // 4)


@pytest.mark.parametrize("ids", ["txt", "json"])
def test_numpy_arrays_have_their_ids_beside_them(ids: str, load: Import, tmp_path: Path) -> None:
    model = world()
    sources = {name: write_npy(tmp_path, getattr(model, name), name, ids) for name in ("items", "users")}
    assert_brute_force(load(model, **sources), model)


def test_rows_of_numpy_arrays_without_a_list_take_a_table_of_ids(load: Import, tmp_path: Path) -> None:
    model = world()
    sources = {name: write_npy(tmp_path, getattr(model, name), name) for name in ("items", "users")}
    for name in ("items", "users"):
        (tmp_path / f"{name}.ids.txt").unlink()
    maps = {
        "item_ids": write_map(tmp_path, model.items, "items.json"),
        "user_ids": write_map(tmp_path, model.users, "users.jsonl"),
    }
    assert_brute_force(load(model, **sources, **maps), model)


def test_what_implicit_saves_has_numbers_as_ids(load: Import, tmp_path: Path) -> None:
    model = numbered(world())
    assert_brute_force(load(model, items=write_npz(tmp_path, model)), model)


def test_a_file_of_implicit_may_hold_its_ids(load: Import, tmp_path: Path) -> None:
    model = world()
    model = replace(model, users={str(90 + n): row for n, row in enumerate(model.users.values())})
    ids = {"item_ids": np.array(list(model.items)), "user_ids": np.arange(90, 90 + USERS)}
    assert_brute_force(load(model, items=write_npz(tmp_path, model, **ids)), model)


def test_a_table_names_the_rows_of_implicit(load: Import, tmp_path: Path) -> None:
    model = world()
    items, users = (
        write_map(tmp_path, side, f"{name}.json") for name, side in [("i", model.items), ("u", model.users)]
    )
    assert_brute_force(load(model, items=write_npz(tmp_path, model), item_ids=items, user_ids=users), model)


def test_files_may_lie_in_a_bucket(s3: str, spark: SparkSession, tmp_path: Path) -> None:
    model, catalog = world(), Catalog(f"{s3}/catalog")
    (tmp_path / "f").mkdir()
    write_npz(tmp_path / "f", model, item_ids=np.array(list(model.items)), user_ids=np.array(list(model.users)))
    write_counts(tmp_path / "f", model)
    store = open_store(s3)
    for path in (tmp_path / "f").iterdir():
        store.write(path.name, path.read_bytes())
    sources = Sources(items=f"{s3}/model.npz", counts=f"{s3}/counts.csv")
    assert_brute_force(model_of(catalog, import_model(spark, catalog, Target("s", UP), sources)), model)


def saved_als(spark: SparkSession, folder: Path) -> tuple[ALSModel, str]:
    random = np.random.default_rng(1)
    rows = [
        (int(u), int(i), 1.0) for u, i in zip(random.integers(0, 30, 300), random.integers(0, 20, 300), strict=True)
    ]
    ratings = spark.createDataFrame(rows, "user int, item int, rating float")
    model = ALS(rank=4, maxIter=3, implicitPrefs=True, seed=1).fit(ratings)
    model.save(f"file://{folder}/als")
    return model, f"file://{folder}/als"


@pytest.mark.parametrize("given", ["the folder", "its parts"])
def test_a_saved_als_model_answers_as_brute_force(
    given: str, spark: SparkSession, load: Import, tmp_path: Path
) -> None:
    als, uri = saved_als(spark, tmp_path)
    items, users = (
        {str(row["id"]): row["features"] for row in frame.collect()} for frame in (als.itemFactors, als.userFactors)
    )
    model = World(items, users, {name: int(name) for name in items}, 1.0)
    sources = {"items": uri}
    if given == "its parts":
        sources = {"items": f"{uri}/itemFactors", "users": f"{uri}/userFactors/"}
    imported = load(model, **sources)
    lines = [json.dumps({"userId": user}) for user in [*users, "?"]]
    data = answer(RECIPES[UP], imported, Settings(10), [line.encode() for line in lines]).data.decode()
    assert data.splitlines() == [answer_line(model, UP, line, 10) for line in lines]


@pytest.mark.delta
def test_a_delta_table_and_spark_mls_own_vectors_are_read(spark: SparkSession, load: Import, tmp_path: Path) -> None:
    model = world()
    items = spark.createDataFrame(list(model.items.items()), "id string, vector array<double>")
    items.write.format("delta").save(hadoop_uri(f"file://{tmp_path}/items"))
    users = spark.createDataFrame(list(model.users.items()), "id string, vector array<double>")
    users.withColumn("vector", array_to_vector(F.col("vector"))).write.parquet(f"{tmp_path}/users")
    assert_brute_force(load(model, items=f"file://{tmp_path}/items", users=f"file://{tmp_path}/users"), model)


@pytest.mark.parametrize("form", ["parquet", "npy"])
def test_a_bias_is_the_last_factor(form: str, load: Import, tmp_path: Path) -> None:
    model = world()
    biases = np.random.default_rng(5).normal(0, 1, ITEMS).astype(np.float32)
    biased = {name: [*row, bias] for (name, row), bias in zip(model.items.items(), biases.tolist(), strict=True)}
    expected = replace(model, items=biased, users={name: [*row, 1.0] for name, row in model.users.items()})
    if form == "parquet":
        items = write_parquet(tmp_path, model.items, "items", bias=pa.array(biases))
        users = write_parquet(tmp_path, model.users, "users", bias=pa.array(np.ones(USERS)))
    else:
        items, users = (write_npy(tmp_path, side, name) for name, side in [("i", model.items), ("u", model.users)])
        np.save(tmp_path / "i.bias.npy", biases)
    assert_brute_force(load(model, items=items, users=users), expected)


def test_items_alike_are_so_without_their_bias(load: Import, tmp_path: Path) -> None:
    model = world()
    items = write_parquet(tmp_path, model.items, "items", bias=pa.array(np.linspace(-5, 5, ITEMS)))
    rows = unit(matrix(model.items)).tolist()
    expected = replace(model, items=dict(zip(model.items, rows, strict=True)))
    assert_brute_force(load(model, "aws-similar-items", items=items), expected, "aws-similar-items")


def write_interactions(folder: Path, model: World, *, times: bool = True) -> tuple[str, dict[str, str]]:
    """Each user meets an item of its best ones last; gives the URI and these items."""
    chance = np.random.default_rng(8)
    factors, names = matrix(model.items), list(model.items)
    lines, newest = ["USER_ID,ITEM_ID" + ",TIMESTAMP" * times], {}
    for user, vector in model.users.items():
        order = np.argsort(-(factors @ np.array(vector, np.float32)))
        picked = [names[order[k]] for k in chance.permutation(3)[: 3 if times else 1]]
        lines += [f'{user},"{item.replace(chr(34), chr(34) * 2)}"' + f",{n}" * times for n, item in enumerate(picked)]
        newest[user] = picked[-1]
    lines += ["nobody,i1" + ",9" * times, "üser-1,nothing" + ",9" * times]
    (folder / "interactions.csv").write_text("\n".join(lines))
    return f"file://{folder}/interactions.csv", newest


@pytest.mark.parametrize("columns", [3, 2])
def test_the_temperature_is_fitted_to_everybodys_newest_item(columns: int, load: Import, tmp_path: Path) -> None:
    model = world()
    uri, newest = write_interactions(tmp_path, model, times=columns == 3)
    sources = {"items": write_parquet(tmp_path, model.items, "i"), "users": write_parquet(tmp_path, model.users, "u")}
    imported = load(model, fit=True, interactions=uri, **sources)
    targets = Ragged.singles(np.array([list(model.items).index(newest[user]) for user in model.users], np.int32))
    fitted = fit_scale(matrix(model.users), targets, matrix(model.items)).scale
    assert fitted.temperature > 1.2, "no fit, the test shows nothing"
    assert imported.curve.temperature == pytest.approx(fitted.temperature, rel=1e-4)
    met: dict[str, int] = dict.fromkeys(model.items, 0)
    for line in (tmp_path / "interactions.csv").read_text().splitlines()[1:]:
        name = line.split(",")[1].strip('"').replace('""', '"')
        if name in met:
            met[name] += 1
    assert_brute_force(imported, replace(model, counts=met, temperature=imported.curve.temperature))
    manifest = next((tmp_path / "catalog").rglob("manifest.json"))
    metrics = json.loads(manifest.read_text())["properties"]["metrics"]
    assert metrics["calibratingUsers"] == USERS
    assert metrics["logLoss"] < metrics["logLossUniform"]


def test_without_a_fit_the_temperature_is_1(load: Import, tmp_path: Path) -> None:
    model = world()
    sources = {"items": write_parquet(tmp_path, model.items, "i"), "users": write_parquet(tmp_path, model.users, "u")}
    assert load(model, **sources).curve == STRAIGHT


def test_two_imports_have_the_same_bytes(load: Import, tmp_path: Path) -> None:
    model = world()
    sources = {"items": write_parquet(tmp_path, model.items, "i"), "users": write_parquet(tmp_path, model.users, "u")}
    for _ in range(2):
        load(model, **sources)
    one, other = (path.read_bytes() for path in (tmp_path / "catalog").rglob("manifest.json"))
    assert one == other


@pytest.mark.delta
def test_a_dataset_group_gives_popularity_and_is_named_by_the_records(
    spark: SparkSession, catalog: Catalog, tmp_path: Path
) -> None:
    model = world()
    uri = f"file://{tmp_path}/events"
    rows = [(f"u{n}", "i1", n) for n in range(3)] + [("u1", "i2", 7), ("u1", "?", 8)]
    spark.createDataFrame(rows, "USER_ID string, ITEM_ID string, TIMESTAMP long").write.format("delta").save(uri)
    group = Arn("aws", "eu-west-1", "111122223333", "dataset-group", "films")
    catalog.create(group, {"name": "films", "status": "ACTIVE"})
    sources = Sources(items=write_parquet(tmp_path, model.items, "items"))
    target = Target("s", "aws-similar-items", group="films")
    with pytest.raises(ResourceNotFoundException, match="has no Interactions dataset"):
        import_model(spark, catalog, target, sources)
    catalog.create(group.sibling("dataset", "films", "INTERACTIONS"), {"path": uri, "deltaVersion": 0})
    arn = import_model(spark, catalog, target, sources)
    assert str(arn).startswith("arn:aws:personalize:eu-west-1:111122223333:solution/s/")
    for each in (arn, arn.sibling("solution", "s")):
        assert catalog.read(each).fields["datasetGroupArn"] == str(group)
        assert catalog.read(each).fields["name"] == "s"
    imported = model_of(catalog, arn)
    names = imported.item_ids()
    assert [names[row] for row in imported.popularity_order[:2]] == ["i1", "i2"]
    assert imported.popularity.sum() == pytest.approx(1)
    with pytest.raises(ResourceNotFoundException, match="no dataset group 'flims'.*did you mean 'films'"):
        import_model(spark, catalog, replace(target, group="flims"), sources)


ARN = "arn:aws:personalize:ap-south-1:999988887777:solution/old/1a2b3c4d"


def test_an_existing_arn_is_kept_and_taken_once(
    spark: SparkSession, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = Sources(counts=f"file://{write_counts(tmp_path, world())}")
    target = Target("old", "aws-popularity-count", arn=ARN)
    with monkeypatch.context() as patch:
        patch.setattr(write_model, "finish", fail)
        with pytest.raises(RuntimeError):
            import_model(spark, catalog, target, sources)
    arn = Arn.parse(ARN)
    failed = catalog.read(arn).fields
    assert (failed["status"], failed["failureReason"]) == ("CREATE FAILED", "RuntimeError: disk full")
    assert str(import_model(spark, catalog, target, sources)) == ARN
    model = model_of(catalog, arn)
    assert len(model.item_ids_json) == ITEMS
    assert Artifact(catalog.store.at("models/old/1a2b3c4d")).properties["items"] == ITEMS
    with pytest.raises(ResourceAlreadyExistsException, match=ARN):
        import_model(spark, catalog, target, sources)


def fail(*_: object) -> None:
    raise RuntimeError("disk full")


@pytest.mark.parametrize(
    "arn", ["arn:aws:personalize:::recipe/aws-sims", ARN.replace("old", "other"), ARN.removesuffix("/1a2b3c4d")]
)
def test_an_arn_is_that_of_a_version_of_the_solution(arn: str, spark: SparkSession, catalog: Catalog) -> None:
    with pytest.raises(InvalidInputException, match="not that of a version of the solution 'old'"):
        import_model(spark, catalog, Target("old", UP, arn=arn), Sources(items="file:///i", counts="file:///c"))


def test_a_solution_keeps_its_recipe(spark: SparkSession, catalog: Catalog, tmp_path: Path) -> None:
    sources = Sources(counts=f"file://{write_counts(tmp_path, world())}")
    import_model(spark, catalog, Target("s", "aws-popularity-count"), sources)
    with pytest.raises(
        InvalidInputException, match="has the recipeArn .*aws-popularity-count, not .*: use another name"
    ):
        import_model(spark, catalog, Target("s", "aws-hrnn"), replace(sources, items="file:///items"))


@pytest.mark.parametrize(
    ("recipe", "given", "said"),
    [
        ("aws-sims", {"counts": "c", "items": "i"}, "'aws-sims' cannot be imported; supported: aws-hrnn, "),
        (UP, {"items": "i"}, "give --counts .*--interactions .*--group"),
        ("aws-popularity-count", {}, "give --counts"),
        ("aws-popularity-count", {"counts": "c", "items": "i"}, "leave --items and --users out"),
        (UP, {"counts": "c"}, "needs factors: give --items"),
        ("aws-similar-items", {"counts": "c", "items": "i", "users": "u"}, "leave --users out"),
    ],
)
def test_a_request_that_does_not_fit_its_recipe_is_refused_before_anything_is_made(
    recipe: str, given: dict[str, str], said: str, spark: SparkSession, catalog: Catalog
) -> None:
    with pytest.raises(InvalidInputException, match=said):
        import_model(spark, catalog, Target("s", recipe), Sources(**given))
    assert not list(catalog.list("solution"))


@pytest.mark.parametrize(
    ("recipe", "said"), [("aws-similar-items", "has no scores to fit"), (UP, "give --interactions or --group")]
)
def test_a_fit_needs_scores_and_interactions(recipe: str, said: str, spark: SparkSession, catalog: Catalog) -> None:
    with pytest.raises(InvalidInputException, match=said):
        import_model(spark, catalog, Target("s", recipe), Sources(items="i", counts="c"), fit_temperature=True)


def test_bad_data_leaves_nothing(spark: SparkSession, catalog: Catalog, tmp_path: Path) -> None:
    model = world()
    users = write_parquet(tmp_path, {"u": [1.0, 2.0]}, "users")
    sources = Sources(
        items=write_parquet(tmp_path, model.items, "items"),
        users=users,
        counts=f"file://{write_counts(tmp_path, model)}",
    )
    with pytest.raises(DataError, match="have 5 factors, the users of .*/users have 2"):
        import_model(spark, catalog, Target("s", UP), sources)
    assert not list(catalog.list("solution"))
