"""Filters from import to output, on a real session."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.datasets.imports import CsvSource, ImportMode, import_files
from personalize_spark.errors import InvalidInputException, ResourceInUseException, ResourceNotFoundException
from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.job.run import run_job
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.service.filters import create_filter, delete_filter, describe_filter, list_filters
from personalize_spark.testing.toy import NO_EXPLORATION, golden_version, request

pytestmark = pytest.mark.spark

INTERACTIONS = """USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP
u1,a,watch,10
u1,c,click,20
u2,b,Watch,30
"""
ITEMS = "ITEM_ID,GENRE,YEAR\na,drama|horror,1990\nb,comedy,2000\nc,drama,2010\ny,comedy,1980\n"
USERS = "USER_ID,AGE\nu1,30\nu2,10\n"


@pytest.fixture(scope="module")
def catalog(_spark_session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A dataset group with the toy's items but d, and the golden solution version of it."""
    folder = tmp_path_factory.mktemp("filters")
    sources = {}
    for name, text in {"Interactions": INTERACTIONS, "Items": ITEMS, "Users": USERS}.items():
        (folder / f"{name}.csv").write_text(text)
        sources[name] = CsvSource(f"file://{folder}/{name}.csv")
    catalog = Catalog(f"file://{folder}/catalog")
    import_files(_spark_session, catalog, "shop", sources)
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
    local: LocalExecutor, catalog: Catalog, group: str, expression: str, lines: list[str], folder: Path, **more: Any
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
    run_job(local, catalog, create_batch_inference_job(catalog, asked), lambda _: None)
    return (folder / "out" / "in.json.out").read_text().splitlines()


def items(lines: list[str]) -> list[Any]:
    return [json.loads(line)["output"]["recommendedItems"] for line in lines]


def test_the_golden_pair_with_a_filter(local: LocalExecutor, catalog: Catalog, group: str, tmp_path: Path) -> None:
    lines = answers(
        local, catalog, group, 'EXCLUDE ItemID WHERE Items.GENRE IN ("horror")', ['{"userId": "u1"}'], tmp_path
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
    local: LocalExecutor, catalog: Catalog, group: str, tmp_path: Path, expression: str, expected: list[list[str]]
) -> None:
    lines = ['{"userId":"u1"}', '{"userId":"u2"}', '{"userId":"?"}']
    found = items(answers(local, catalog, group, expression, lines, tmp_path, recipe="aws-popularity-count"))
    assert found == expected


@pytest.mark.parametrize("value", ["0", '"0"'])
def test_values_come_with_each_line_and_a_wrong_one_harms_no_other(
    local: LocalExecutor, catalog: Catalog, group: str, tmp_path: Path, value: str
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
    found = [json.loads(line) for line in answers(local, catalog, group, expression, lines, tmp_path)]
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
    job = create_batch_inference_job(catalog, asked)
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
            "CurrentItem, but lines of aws-user-personalization have no item",
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
    with pytest.raises(InvalidInputException, match="belongs to a different dataset group"):
        create_batch_inference_job(
            catalog, request(golden_version(catalog), "file:///in/", "file:///out/", filterArn=arn)
        )


@pytest.mark.parametrize(
    ("recipe", "expression", "lines", "expected"),
    [
        (
            "aws-personalized-ranking",
            'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")',
            ['{"userId":"u1","itemList":["zz","d","a","b"]}', '{"userId":"?","itemList":["d","a"]}'],
            [["b", "d", "zz"], ["a", "d"]],
        ),
        (
            "aws-personalized-ranking",
            'INCLUDE ItemID WHERE Items.GENRE IN ("drama")',
            ['{"userId":"u1","itemList":["zz","c","d","a","b"]}'],
            [["a", "c"]],
        ),
        (  # the group has learned of y since the training: a filter knows what it is, the model does not
            "aws-personalized-ranking",
            'EXCLUDE ItemID WHERE Items.GENRE IN ("comedy")',
            ['{"userId":"u1","itemList":["y","d","zz","y","b"]}'],
            [["d", "zz"]],
        ),
        (
            "aws-similar-items",
            "INCLUDE ItemID WHERE Items.GENRE IN CurrentItem.GENRE",
            ['{"itemId":"a"}', '{"itemId":"c"}', '{"itemId":"b"}', '{"itemId":"unheard of"}'],
            [["c"], ["a"], [], []],
        ),
        (
            "aws-sims",
            'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
            ['{"itemId":"b","userId":"u1"}', '{"itemId":"b","userId":"?"}'],
            [["d"], ["a", "c", "d"]],
        ),
        (
            "aws-sims",
            "INCLUDE ItemID WHERE Items.YEAR < CurrentItem.YEAR",
            ['{"itemId":"c"}', '{"itemId":"a"}', '{"itemId":"unheard of"}'],
            [["a", "b"], [], []],
        ),
    ],
)
def test_rankings_and_related_items_are_filtered_too(
    local: LocalExecutor,
    catalog: Catalog,
    group: str,
    tmp_path: Path,
    recipe: str,
    expression: str,
    lines: list[str],
    expected: list[list[str]],
) -> None:
    assert items(answers(local, catalog, group, expression, lines, tmp_path, recipe=recipe)) == expected


def test_an_item_line_needs_the_user_that_its_filter_asks_for(
    local: LocalExecutor, catalog: Catalog, group: str, tmp_path: Path
) -> None:
    expression = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click")'
    [line] = answers(local, catalog, group, expression, ['{"itemId":"b"}'], tmp_path, recipe="aws-sims")
    assert (
        json.loads(line)["error"] == "User error: Required fields for the provided recipe and filter are itemId, userId"
    )


@pytest.fixture(scope="module")
def movies(
    _spark_session: SparkSession,
    compiled: None,
    local: LocalExecutor,
    movielens: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Movies:
    """MovieLens with made-up ages, and a solution version of it."""
    return Movies(_spark_session, local, movielens, tmp_path_factory.mktemp("movies"))


class Movies:
    """Jobs for all users of MovieLens."""

    def __init__(self, spark: SparkSession, local: LocalExecutor, movielens: Path, folder: Path) -> None:
        from personalize_spark.solutions.train import Hyperparameters, train

        self.local, self.folder, self.catalog = local, folder, Catalog(f"file://{folder}/catalog")
        ages = "".join(f"{user},{10 + user % 30}\n" for user in range(1, 611))
        (folder / "users.csv").write_text(f"USER_ID,AGE\n{ages}")
        given = {
            "Interactions": CsvSource(f"file://{movielens}/interactions.csv"),
            "Items": CsvSource(f"file://{movielens}/item-meta.csv"),
            "Users": CsvSource(f"file://{folder}/users.csv"),
        }
        import_files(spark, self.catalog, "movies", given, ImportMode.FULL)
        [record] = self.catalog.list("dataset-group")
        self.group = str(record.arn)
        settings = Hyperparameters(rank=8, iterations=2)
        self.version = train(spark, self.catalog, "movies", "aws-user-personalization", "movies", settings)
        with (movielens / "item-meta.csv").open(newline="") as file:
            self.genres = {row["ITEM_ID"]: set(row["GENRE"].split("|")) for row in csv.DictReader(file)}
        self.everything = self.run(None, [{} for _ in range(610)], 5000)

    def run(self, expression: str | None, values: list[dict[str, str]], n: int = 200) -> list[list[str]]:
        name = f"f{abs(hash(expression))}"
        lines = [
            {"userId": str(user)} | ({"filterValues": each} if each else {}) for user, each in enumerate(values, 1)
        ]
        (self.folder / "in.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        params = {"name": name, "datasetGroupArn": self.group, "filterExpression": expression}
        more = {"filterArn": create_filter(self.catalog, params)["filterArn"]} if expression else {}
        asked = request(
            self.version,
            f"file://{self.folder}/in.json",
            f"file://{self.folder}/out",
            numResults=min(n, 500),
            batchInferenceJobConfig=NO_EXPLORATION,
            **more,
        )
        run_job(self.local, self.catalog, create_batch_inference_job(self.catalog, asked), lambda _: None)
        return items((self.folder / "out" / "in.json.out").read_text().splitlines())

    def check(self, user: int, found: list[str], gone: Callable[[str], bool]) -> None:
        """A list begins with what the unfiltered one keeps, and holds nothing that must go."""
        kept = [item for item in self.everything[user - 1] if not gone(item)]
        assert not any(map(gone, found))
        assert found[: len(kept)] == kept[: len(found)]


@pytest.mark.movielens
def test_nobody_gets_what_was_watched(movies: Movies, movielens: Path) -> None:
    watched: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for line in (movielens / "interactions.csv").read_text().splitlines()[1:]:
        user, item, time, event = line.split(",")
        if event == "watch":
            watched[user].append((-int(time), item))
    newest = {user: {item for _, item in sorted(done)[:100]} for user, done in watched.items()}
    found = movies.run('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")', [{}] * 610)
    for number, new in enumerate(found, 1):
        assert len(new) == 200
        movies.check(number, new, newest.get(str(number), set()).__contains__)


@pytest.mark.movielens
def test_each_line_gets_its_own_genres(movies: Movies) -> None:
    wanted = [[("Horror",), ("Comedy", "War"), ("Film-Noir",)][user % 3] for user in range(1, 611)]
    values = [{"G": ",".join(f'"{genre}"' for genre in genres)} for genres in wanted]
    found = movies.run("INCLUDE ItemID WHERE Items.GENRE IN ($G)", values, 20)
    for user, (new, genres) in enumerate(zip(found, wanted, strict=True), 1):
        assert len(new) == 20
        movies.check(user, new, lambda item, genres=genres: not movies.genres.get(item, set()) & set(genres))  # type: ignore[misc]


@pytest.mark.movielens
def test_what_a_user_is_decides_for_the_user_alone(movies: Movies) -> None:
    expression = 'EXCLUDE ItemID WHERE Items.GENRE IN ("Horror", "Thriller", "Crime") IF CurrentUser.AGE < 18'
    dark = {"Horror", "Thriller", "Crime"}
    for user, new in enumerate(movies.run(expression, [{}] * 610, 50), 1):
        child = 10 + user % 30 < 18
        movies.check(user, new, lambda item, child=child: child and bool(movies.genres.get(item, set()) & dark))  # type: ignore[misc]
