"""Filters from import to output, on a real session."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from personalize_spark.arns import Arn
from personalize_spark.datasets.imports import ImportMode, Source, import_datasets
from personalize_spark.errors import InvalidInputException, ResourceInUseException, ResourceNotFoundException
from personalize_spark.job.batch_inference import run_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.service.filters import create_filter, delete_filter, describe_filter, list_filters
from personalize_spark.storage.catalog import Catalog
from tests.toy import NO_EXPLORATION, golden_version, request

pytestmark = pytest.mark.spark

INTERACTIONS = """USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP
u1,a,watch,10
u1,c,click,20
u2,b,Watch,30
"""
ITEMS = "ITEM_ID,GENRE,YEAR\na,drama|horror,1990\nb,comedy,2000\nc,drama,2010\n"
USERS = "USER_ID,AGE\nu1,30\nu2,10\n"


@pytest.fixture(scope="module")
def catalog(_spark_session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A dataset group with the toy's items but d, and the golden solution version of it."""
    folder = tmp_path_factory.mktemp("filters")
    sources = {}
    for name, text in {"Interactions": INTERACTIONS, "Items": ITEMS, "Users": USERS}.items():
        (folder / f"{name}.csv").write_text(text)
        sources[name] = Source(f"file://{folder}/{name}.csv")
    catalog = Catalog(f"file://{folder}/catalog")
    import_datasets(_spark_session, catalog, "shop", sources)
    return catalog


@pytest.fixture(scope="module")
def group(catalog: Catalog) -> str:
    [record] = catalog.list("dataset-group")
    return str(record.arn)


def version(catalog: Catalog, group: str, recipe: str = "aws-user-personalization") -> Arn:
    arn = golden_version(catalog, recipe)
    catalog.update(catalog.read(arn), datasetGroupArn=group)
    return arn


def answers(
    spark: SparkSession, catalog: Catalog, group: str, expression: str, lines: list[str], folder: Path, **more: Any
) -> list[str]:
    """The output lines of a job with a filter."""
    name = f"f{abs(hash((expression, str(folder))))}"
    arn = create_filter(catalog, {"name": name, "datasetGroupArn": group, "filterExpression": expression})["filterArn"]
    (folder / "in.json").write_text("\n".join(lines))
    asked = request(
        version(catalog, group, more.get("recipe", "aws-user-personalization")),
        f"file://{folder}/in.json",
        f"file://{folder}/out",
        filterArn=arn,
        numResults=3,
        batchInferenceJobConfig=NO_EXPLORATION,
    )
    run_job(spark, catalog, create_batch_inference_job(catalog, asked), lambda _: None)
    return (folder / "out" / "in.json.out").read_text().splitlines()


def items(lines: list[str]) -> list[Any]:
    return [json.loads(line)["output"]["recommendedItems"] for line in lines]


def test_the_golden_pair_with_a_filter(spark: SparkSession, catalog: Catalog, group: str, tmp_path: Path) -> None:
    lines = answers(
        spark, catalog, group, 'EXCLUDE ItemID WHERE Items.GENRE IN ("horror")', ['{"userId": "u1"}'], tmp_path
    )
    assert lines == [
        '{"input":{"userId":"u1"},"output":{"recommendedItems":["b","c","d"],"scores":[0.1458153,0.008885,3.773E-4]},"error":null}'
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (
            'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")',
            [["b", "c", "d"], ["a", "c", "d"], ["a", "b", "c"]],
        ),
        ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', [["a", "c"], ["b"], []]),
        ("INCLUDE ItemID WHERE Items.YEAR >= 2000", [["b", "c"]] * 3),
        (
            'INCLUDE ItemID WHERE Items.GENRE IN ("comedy") | INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click")',
            [["b", "c"], ["b"], ["b"]],
        ),
        ('EXCLUDE ItemID WHERE Items.GENRE NOT IN ("drama")', [["a", "c"]] * 3),
        (
            "EXCLUDE ItemID WHERE Items.YEAR < 2005 IF CurrentUser.AGE > 18",
            [["c", "d"], ["a", "b", "c"], ["a", "b", "c"]],
        ),
    ],
)
def test_each_line_gets_what_its_user_may(
    spark: SparkSession, catalog: Catalog, group: str, tmp_path: Path, expression: str, expected: list[list[str]]
) -> None:
    lines = ['{"userId":"u1"}', '{"userId":"u2"}', '{"userId":"?"}']
    found = items(answers(spark, catalog, group, expression, lines, tmp_path, recipe="aws-popularity-count"))
    assert found == expected


@pytest.mark.parametrize("value", ["0", '"0"'])
def test_values_come_with_each_line_and_a_wrong_one_harms_no_other(
    spark: SparkSession, catalog: Catalog, group: str, tmp_path: Path, value: str
) -> None:
    given = [
        {"GENRE": '"comedy"', "CUTOFF": value},
        {"GENRE": '"comedy","drama"', "CUTOFF": "1995"},
        {"CUTOFF": value},
        None,
        {"GENRE": '"x"', "CUTOFF": "new"},
    ]
    lines = [
        json.dumps({"userId": "u1"} | ({"filterValues": values} if values is not None else {})) for values in given
    ]
    expression = "INCLUDE ItemID WHERE Items.GENRE IN ($GENRE) AND Items.YEAR > $CUTOFF"
    found = [json.loads(line) for line in answers(spark, catalog, group, expression, lines, tmp_path)]
    assert [line["output"]["recommendedItems"] for line in found] == [["b"], ["b", "c"], [], [], []]
    assert found[0]["input"] == {"userId": "u1", "filterValues": given[0]}
    assert [line["error"] for line in found] == [
        None,
        None,
        "User error: filterValues must have a value for $GENRE",
        "User error: filterValues must have a value for $GENRE",
        "User error: filterValues: the value of $CUTOFF must be a number",
    ]


def test_a_filter_is_created_described_listed_and_deleted(catalog: Catalog, group: str) -> None:
    params = {
        "name": "mine",
        "datasetGroupArn": group,
        "filterExpression": 'EXCLUDE ItemID WHERE Items.GENRE IN ("drama")',
    }
    arn = create_filter(catalog, params)["filterArn"]
    described = describe_filter(catalog, {"filterArn": arn})["filter"]
    assert described | params == described
    assert described["status"] == "ACTIVE"
    assert arn in [each["filterArn"] for each in list_filters(catalog, {"datasetGroupArn": group})["Filters"]]
    asked = request(version(catalog, group), "file:///in/", "file:///out/", filterArn=arn)
    job = create_batch_inference_job(catalog, asked).record
    with pytest.raises(ResourceInUseException, match=job.arn.name):
        delete_filter(catalog, {"filterArn": arn})
    catalog.update(job, status="ACTIVE")
    assert delete_filter(catalog, {"filterArn": arn}) == {}
    with pytest.raises(ResourceNotFoundException):
        describe_filter(catalog, {"filterArn": arn})


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("EXCLUDE ItemID WHERE", "Invalid filter expression at character 21"),
        ("EXCLUDE ItemID WHERE Items.COLOR IN ($C)", "Items has no field COLOR"),
    ],
)
def test_a_bad_filter_is_refused_when_it_is_created(catalog: Catalog, group: str, expression: str, said: str) -> None:
    with pytest.raises(InvalidInputException, match=said):
        create_filter(catalog, {"name": "bad", "datasetGroupArn": group, "filterExpression": expression})


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("EXCLUDE UserID WHERE Users.AGE < 18", "is for UserID; a batch inference job needs one for ItemID"),
        (
            "INCLUDE ItemID WHERE Items.GENRE IN CurrentItem.GENRE",
            "CurrentItem, which lines of aws-user-personalization lack",
        ),
    ],
)
def test_a_filter_that_the_job_cannot_use_is_refused(catalog: Catalog, group: str, expression: str, said: str) -> None:
    name = f"n{len(expression)}"
    arn = create_filter(catalog, {"name": name, "datasetGroupArn": group, "filterExpression": expression})["filterArn"]
    with pytest.raises(InvalidInputException, match=said):
        create_batch_inference_job(
            catalog, request(version(catalog, group), "file:///in/", "file:///out/", filterArn=arn)
        )


def test_a_filter_of_another_group_is_refused(catalog: Catalog, group: str) -> None:
    params = {
        "name": "shops",
        "datasetGroupArn": group,
        "filterExpression": 'EXCLUDE ItemID WHERE Items.GENRE IN ("drama")',
    }
    arn = create_filter(catalog, params)["filterArn"]
    with pytest.raises(InvalidInputException, match="belongs to another dataset group"):
        create_batch_inference_job(
            catalog, request(golden_version(catalog), "file:///in/", "file:///out/", filterArn=arn)
        )


@pytest.mark.movielens
def test_nobody_gets_what_was_watched(spark: SparkSession, movielens: Path, tmp_path: Path) -> None:
    from personalize_spark.training.train import Hyperparameters, train

    catalog = Catalog(f"file://{tmp_path}/catalog")
    given = {
        "Interactions": Source(f"file://{movielens}/interactions.csv"),
        "Items": Source(f"file://{movielens}/item-meta.csv"),
    }
    import_datasets(spark, catalog, "movies", given, ImportMode.FULL)
    arn = train(spark, catalog, "movies", "aws-user-personalization", "movies", Hyperparameters(rank=8, iterations=2))
    watched: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for line in (movielens / "interactions.csv").read_text().splitlines()[1:]:
        user, item, time, event = line.split(",")
        if event == "watch":
            watched[user].append((-int(time), item))
    newest = {user: {item for _, item in sorted(done)[:100]} for user, done in watched.items()}
    [record] = catalog.list("dataset-group")
    expression = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")'
    name = create_filter(catalog, {"name": "new", "datasetGroupArn": str(record.arn), "filterExpression": expression})
    (tmp_path / "in.json").write_text("".join(f'{{"userId":"{user}"}}\n' for user in range(1, 611)))
    lists = {}
    for target, more in {"all": {}, "new": {"filterArn": name["filterArn"]}}.items():
        asked = request(
            arn,
            f"file://{tmp_path}/in.json",
            f"file://{tmp_path}/{target}",
            numResults=200,
            batchInferenceJobConfig=NO_EXPLORATION,
            **more,
        )
        run_job(spark, catalog, create_batch_inference_job(catalog, asked), lambda _: None)
        lists[target] = items((tmp_path / target / "in.json.out").read_text().splitlines())
    for number, (everything, new) in enumerate(zip(lists["all"], lists["new"], strict=True), 1):
        gone = newest.get(str(number), set())
        assert len(new) == 200
        assert not gone & set(new)
        kept = [item for item in everything if item not in gone]
        assert new[: len(kept)] == kept
