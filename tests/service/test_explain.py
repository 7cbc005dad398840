"""Filters explained on a real view and a real model; what is said to be kept is what a job's filter keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import orjson
import pytest
from pyspark.sql import SparkSession

from personalize_spark.answer import answer
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.view import View, ViewFilter, with_new_items
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.resources import find_group
from personalize_spark.cli.main import main
from personalize_spark.datasets.imports import CsvSource, import_files
from personalize_spark.errors import InvalidInputException, ResourceInUseException
from personalize_spark.filters.binding import bind
from personalize_spark.filters.explain import Share
from personalize_spark.filters.parser import parse
from personalize_spark.recipes import Settings
from personalize_spark.service.explain import (
    GroupFilter,
    LineExplanation,
    Version,
    explain_filter,
    open_version,
)
from personalize_spark.service.filters import create_filter
from personalize_spark.testing.toy import golden_version

pytestmark = pytest.mark.spark  # the import that makes the view; nothing that is tested here needs it

INTERACTIONS = """USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP
u1,a,watch,10
u1,c,click,20
u2,b,Watch,30
u1,new,watch,40
"""
ITEMS = "ITEM_ID,GENRE,YEAR\na,drama|horror,1990\nb,comedy,2000\nc,drama,2010\nnew,drama,2020\n"
USERS = "USER_ID,AGE\nu1,30\nu2,10\n"
LINE = b'{"userId": "u1"}'
DRAMA = 'EXCLUDE ItemID WHERE Items.GENRE IN ("drama")'


@pytest.fixture(scope="module")
def catalog(_spark_session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A dataset group with the toy's items but d, and one that the toy's model does not know."""
    folder = tmp_path_factory.mktemp("explain")
    sources = {}
    for name, text in {"Interactions": INTERACTIONS, "Items": ITEMS, "Users": USERS}.items():
        (folder / f"{name}.csv").write_text(text)
        sources[name] = CsvSource(f"file://{folder}/{name}.csv")
    catalog = Catalog(f"file://{folder}/catalog")
    import_files(_spark_session, catalog, "shop", sources)
    return catalog


@pytest.fixture
def group(catalog: Catalog) -> Record:
    return find_group(catalog, "shop")


def trained(catalog: Catalog, recipe: str = "aws-user-personalization") -> Arn:
    arn = golden_version(catalog, recipe)
    catalog.update(catalog.read(arn), datasetGroupArn=str(find_group(catalog, "shop").arn))
    return arn


def version(catalog: Catalog, recipe: str = "aws-user-personalization") -> Version:
    return open_version(catalog, str(trained(catalog, recipe)), str(find_group(catalog, "shop").arn))


def explained(group: Record, expression: str, line: bytes = LINE, version: Version | None = None) -> LineExplanation:
    said = GroupFilter(group, parse(expression)).explain(line, version)
    assert isinstance(said, LineExplanation), said
    return said


def test_a_group_tells_what_an_expression_keeps_of_its_items(group: Record) -> None:
    of_group = GroupFilter(group, parse("exclude itemid where items.genre in ('drama') and items.year < 2015"))
    assert str(of_group.bound.filter) == 'EXCLUDE ItemID WHERE Items.GENRE IN ("drama") AND Items.YEAR < 2015'
    assert of_group.kept == Share(2, 4)


def test_a_filter_that_does_not_fit_the_group_is_refused(group: Record) -> None:
    with pytest.raises(InvalidInputException, match="did you mean 'GENRE'"):
        GroupFilter(group, parse("EXCLUDE ItemID WHERE Items.GENRES = 'x'"))


def test_a_group_without_data_is_refused(group: Record) -> None:
    empty = Record(group.arn, {}, "1")
    with pytest.raises(InvalidInputException, match="import datasets"):
        GroupFilter(empty, parse(DRAMA))


def test_a_filter_for_users_is_explained_but_not_for_a_line(group: Record) -> None:
    of_group = GroupFilter(group, parse("EXCLUDE UserID WHERE Users.AGE < 18"))
    assert [list(each.lines()) for each in of_group.clauses] == [["EXCLUDE UserID", "    Users.AGE < 18"]]
    with pytest.raises(InvalidInputException, match="is for UserID"):
        of_group.explain(LINE, None)


def test_a_line_without_a_model_has_its_share(group: Record) -> None:
    said = explained(group, 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch") IF CurrentUser.AGE > 18')
    assert (said.kept, said.top) == (Share(2, 4), None)
    assert said.clauses[0].note == "keeps 2 of 4 items (50.00%); its IF is met: CurrentUser.AGE is 30"


def test_an_unknown_user_did_nothing(group: Record) -> None:
    said = explained(group, 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', b'{"userId": "?"}')
    assert said.kept == Share(4, 4)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"userId": "u1"}', "User error: filterValues must have a value for $G"),
        (
            b'{"userId": "u1", "filterValues": {"G": "\\"open"}}',
            'User error: filterValues: the value of $G must be "texts" or numbers, separated by commas',
        ),
        (b'{"itemId": "a"}', "User error: Required fields for the provided recipe are userId"),
        (b"{", "User error: The line is not valid JSON at character 2"),
        (b"[]", "User error: The line is not a JSON object"),
        (b'{"userId": "\xff"}', "User error: The line is not valid UTF-8 at byte 13"),
    ],
)
def test_a_bad_line_is_the_text_of_its_error_and_that_is_the_jobs(
    catalog: Catalog, group: Record, line: bytes, said: str
) -> None:
    expression = "INCLUDE ItemID WHERE Items.GENRE IN ($G)"
    version_ = version(catalog)
    assert GroupFilter(group, parse(expression)).explain(line, version_) == said
    answered = orjson.loads(
        answer(version_.recipe, version_.model, Settings(1), [line], job_filter(group, expression, version_)).data
    )
    assert answered["error"] == said


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', "userId"),
        ("EXCLUDE ItemID WHERE Items.YEAR < CurrentItem.YEAR", "itemId"),
    ],
)
def test_a_line_must_have_what_the_filter_looks_at(group: Record, expression: str, missing: str) -> None:
    said = GroupFilter(group, parse(expression)).explain(b"{}", None)
    assert said == f"User error: Required fields for the provided recipe and filter are {missing}"


def test_a_blank_line_is_none(group: Record) -> None:
    with pytest.raises(InvalidInputException, match="blank"):
        GroupFilter(group, parse(DRAMA)).explain(b" ", None)


def test_the_first_items_are_kept_or_dropped_and_by_what(catalog: Catalog, group: Record) -> None:
    said = explained(group, f"{DRAMA} | EXCLUDE ItemID WHERE Items.YEAR < 1995", LINE, version(catalog))
    assert [str(each) for each in said.top or []] == [
        (
            'a dropped by EXCLUDE (expression 1): Items.GENRE IN ("drama"), its GENRE is drama|horror'
            " and by EXCLUDE (expression 2): Items.YEAR < 1995, its YEAR is 1990"
        ),
        "b kept",
        'c dropped by EXCLUDE (expression 1): Items.GENRE IN ("drama"), its GENRE is drama',
        "d kept",
    ]


def job_filter(group: Record, expression: str, version: Version) -> ViewFilter:
    view = View(Pinned(**group.fields["view"]).open())
    return ViewFilter(view, bind(parse(expression), view.schemas), version.model)


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        ("aws-user-personalization", {"userId": "u1"}),
        ("aws-user-personalization", {"userId": "?"}),
        ("aws-popularity-count", {"userId": "u2"}),
        ("aws-similar-items", {"userId": "u1", "itemId": "b"}),
        ("aws-personalized-ranking", {"userId": "u1", "itemList": ["new", "d", "c", "strange", "b", "a"]}),
    ],
)
@pytest.mark.parametrize(
    "expression",
    [
        DRAMA,
        "INCLUDE ItemID WHERE Items.YEAR >= $Y",
        "EXCLUDE ItemID WHERE Items.YEAR < $Z",
        'EXCLUDE ItemID WHERE Items.GENRE NOT IN ("drama")',
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")',
        'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*") | INCLUDE ItemID WHERE Items.GENRE IN ("comedy")',
        "EXCLUDE ItemID WHERE Items.YEAR < 2005 IF CurrentUser.AGE > 18",
    ],
)
def test_what_is_kept_is_what_a_job_returns(
    catalog: Catalog, group: Record, recipe: str, line: dict[str, object], expression: str
) -> None:
    version_ = version(catalog, recipe)
    text = json.dumps({**line, "filterValues": {"Y": "2000"}}).encode()
    said = explained(group, expression, text, version_)
    if "itemList" in version_.recipe.required:  # as a job's worker does
        view = View(Pinned(**group.fields["view"]).open())
        version_ = replace(version_, model=with_new_items(version_.model, view))
    returned = answer(version_.recipe, version_.model, Settings(10), [text], job_filter(group, expression, version_))
    items = orjson.loads(returned.data)["output"]["recommendedItems"]
    assert [each.item for each in said.top or [] if not each.dropped_by] == items


def test_a_line_that_asks_about_an_item_is_compared_with_it(catalog: Catalog, group: Record) -> None:
    expression = "INCLUDE ItemID WHERE Items.GENRE IN CurrentItem.GENRE"
    said = explained(group, expression, b'{"itemId": "c"}', version(catalog, "aws-similar-items"))
    assert said.kept == Share(3, 4)
    assert [each.item for each in said.top or [] if not each.dropped_by] == ["a"]
    with pytest.raises(InvalidInputException, match="but lines of aws-user-personalization have no item"):
        GroupFilter(group, parse(expression)).explain(LINE, version(catalog))


def test_a_solution_version_must_be_the_groups_and_active(catalog: Catalog, group: Record) -> None:
    of_group = str(group.arn)
    with pytest.raises(InvalidInputException, match="a different dataset group"):
        open_version(catalog, str(golden_version(catalog)), of_group)
    pending = trained(catalog)
    catalog.update(catalog.read(pending), status="CREATE PENDING")
    with pytest.raises(ResourceInUseException, match="is CREATE PENDING; wait"):
        open_version(catalog, str(pending), of_group)
    with pytest.raises(InvalidInputException, match="not the ARN of a solution version"):
        open_version(catalog, of_group, of_group)


def test_all_that_is_asked_is_told(catalog: Catalog) -> None:
    arn = trained(catalog)
    line = '{"userId": "u1", "filterValues": {"G": "\\"drama\\""}}'
    expression = "exclude itemid where items.genre in ($G) or items.year < 1995"
    explained = explain_filter(catalog, expression=expression, group="shop", line=line, solution_version=str(arn))
    assert (
        str(explained)
        == f"""\
Tree
    1. EXCLUDE ItemID
           any of
               items.genre IN ($G)
               items.year < 1995

Normal form
    EXCLUDE ItemID WHERE items.genre IN ($G) OR items.year < 1995

In arn:aws:personalize:us-east-1:000000000000:dataset-group/shop
    1. EXCLUDE ItemID  [depends on the line]
           any of
               Items.GENRE IN ($G)
               Items.YEAR < 1995  [holds for 1 of 4 items (25.00%)]
    What they keep together depends on the line.

Fields
    Items.GENRE: string
    Items.YEAR: long

Placeholders
    $G: one or more texts, for Items.GENRE (string); without it the expression has no effect

Line {line}
    1. EXCLUDE ItemID  [keeps 1 of 4 items (25.00%)]
           any of  [holds for 3 of 4 items (75.00%)]
               Items.GENRE IN ($G), where $G is ("drama")  [holds for 3 of 4 items (75.00%)]
               Items.YEAR < 1995  [holds for 1 of 4 items (25.00%)]
    Together they keep 1 of 4 items (25.00%).

Top 10 without the filter
     1  a dropped by EXCLUDE (expression 1): Items.GENRE IN ($G), where $G is ("drama"), its GENRE is drama|horror; \
Items.YEAR < 1995, its YEAR is 1990
     2  b kept
     3  c dropped by EXCLUDE (expression 1): Items.GENRE IN ($G), where $G is ("drama"), its GENRE is drama
     4  d kept
"""
    )
    plain = json.loads(json.dumps(explained.to_dict()))
    assert plain["group"]["fields"] == ["Items.GENRE: string", "Items.YEAR: long"]
    assert plain["line"]["kept"] == {"count": 1, "total": 4}
    assert [each["item"] for each in plain["line"]["top"] if not each["dropped_by"]] == ["b", "d"]


def test_an_expression_alone_needs_no_catalog() -> None:
    explained = explain_filter(expression=DRAMA)
    assert str(explained).startswith("Tree\n    1. EXCLUDE ItemID\n")
    assert explained.to_dict()["expression"] == DRAMA


def test_a_filter_is_explained_by_its_arn_and_a_bad_line_by_its_error(catalog: Catalog) -> None:
    expression = "INCLUDE ItemID WHERE Items.YEAR > $Y"
    given = {
        "name": "newer",
        "datasetGroupArn": str(find_group(catalog, "shop").arn),
        "filterExpression": expression,
    }
    arn = create_filter(catalog, given)["filterArn"]
    line = '{"userId": "u1", "filterValues": {"Y": "soon"}}'
    explained = explain_filter(catalog, filter_arn=arn, line=line)
    said = "User error: filterValues: the value of $Y must be a number"
    assert f"Normal form\n    {expression}\n" in str(explained)
    assert str(explained).endswith(f"Line {line}\n    {said}\n")
    assert explained.to_dict()["line"] == {"input": line, "error": said}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"expression": "EXCLUDE ItemID WHERE"}, "at character 21.*here -> ''; expected one of"),
        ({}, "Nothing to explain"),
        ({"expression": DRAMA, "group": "shop"}, "give the catalog"),
        ({"expression": DRAMA, "line": "{}"}, "A line needs a dataset group"),
        ({"expression": DRAMA, "solution_version": "arn"}, "A solution version needs a line"),
    ],
)
def test_what_cannot_be_explained_is_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidInputException, match=said):
        explain_filter(**options)


def test_a_misfit_shows_the_expression_as_it_was_read(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    misfit = "EXCLUDE ItemID WHERE Items.COLOR = 1"
    with pytest.raises(InvalidInputException, match="Items has no field COLOR") as caught:
        explain_filter(catalog, expression=misfit, group="shop")
    assert "Items.COLOR = 1" in caught.value.__notes__[0]
    assert main(["explain-filter", "--catalog", catalog.uri, "--group", "shop", "--expression", misfit]) == 2
    told = capsys.readouterr()
    assert (told.out, "Items.COLOR = 1" in told.err) == ("", True)


def test_the_command_prints_what_the_function_returns(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    explained = explain_filter(catalog, expression=DRAMA, group="shop", line='{"userId": "u1"}')
    asked = ["--expression", DRAMA, "--group", "shop", "--line", '{"userId": "u1"}']
    assert main(["explain-filter", "--catalog", catalog.uri, *asked]) == 0
    assert capsys.readouterr().out == f"{explained}\n"


def test_explaining_does_not_load_spark() -> None:
    program = "import sys, personalize_spark.cli.explain_filter; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
