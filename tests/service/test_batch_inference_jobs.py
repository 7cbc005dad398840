from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from personalize_spark.artifacts.artifact import Pinned, finish
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import dataset_arn
from personalize_spark.errors import (
    InvalidInputException,
    InvalidNextTokenException,
    LimitExceededException,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from personalize_spark.job.job import Job
from personalize_spark.recipes import Settings
from personalize_spark.schemas import Column, Schema
from personalize_spark.service.batch_inference_jobs import (
    check_batch_inference_job,
    create_batch_inference_job,
    describe_batch_inference_job,
    list_batch_inference_jobs,
)
from personalize_spark.service.filters import create_filter
from personalize_spark.storage.store import Access
from personalize_spark.testing.toy import golden_group, golden_version, request


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(f"file://{tmp_path}/catalog")


def ask(version: Arn, **more: object) -> dict[str, Any]:
    return request(version, "s3://bucket/in/", "s3://bucket/out/", **more)


def test_a_created_job_is_pending_and_described_as_it_was_asked(catalog: Catalog) -> None:
    params = ask(golden_version(catalog), numResults=7, tags=[{"tagKey": "team", "tagValue": "crm"}])
    arn = create_batch_inference_job(catalog, params).arn
    assert str(arn) == f"arn:aws:personalize:us-east-1:000000000000:batch-inference-job/{params['jobName']}"
    job = describe_batch_inference_job(catalog, {"batchInferenceJobArn": str(arn)})["batchInferenceJob"]
    times = {name: job.pop(name) for name in ("creationDateTime", "lastUpdatedDateTime")}
    assert times["creationDateTime"] == times["lastUpdatedDateTime"]
    del params["tags"]  # which ListTagsForResource tells
    assert job == {
        **params,
        "batchInferenceJobArn": str(arn),
        "batchInferenceJobMode": "BATCH_INFERENCE",
        "status": "CREATE PENDING",
    }


def test_a_check_creates_nothing_and_a_record_holds_all_that_was_checked(catalog: Catalog) -> None:
    config = {"rankingInfluence": {"POPULARITY": 1, "FRESHNESS": 0.25}}
    params = ask(golden_version(catalog), numResults=7, batchInferenceJobConfig=config, filterArn=None)
    params["jobOutput"]["s3DataDestination"]["kmsKeyArn"] = "arn:aws:kms:us-east-1:111122223333:key/k"
    before = {each.name for each in catalog.store.list()}
    job = check_batch_inference_job(catalog, params, assume_role=True, service_limits=True)
    assert {each.name for each in catalog.store.list()} == before
    assert job.settings == Settings(7, 1.0, 0.25)
    assert job.access == Access(params["roleArn"], "arn:aws:kms:us-east-1:111122223333:key/k")
    assert Job.of(create_batch_inference_job(catalog, params, assume_role=True, service_limits=True)) == job


def test_what_is_left_out_of_a_request_has_the_services_defaults(catalog: Catalog) -> None:
    params = ask(golden_version(catalog))
    job = check_batch_inference_job(catalog, params)
    assert job.settings == Settings(25)
    assert job.access == Access()
    assert job.request == {**params, "batchInferenceJobMode": "BATCH_INFERENCE", "tags": []}
    nulls = dict.fromkeys(("numResults", "filterArn", "batchInferenceJobConfig", "tags", "batchInferenceJobMode"))
    assert check_batch_inference_job(catalog, {**params, **nulls}) == job


def test_a_job_name_is_taken_once(catalog: Catalog) -> None:
    params = ask(golden_version(catalog))
    create_batch_inference_job(catalog, params)
    with pytest.raises(ResourceAlreadyExistsException, match=str(params["jobName"])):
        create_batch_inference_job(catalog, params)


def test_an_unknown_solution_version_is_not_found(catalog: Catalog) -> None:
    arn = Arn("aws", "us-east-1", "000000000000", "solution", "none", "1a2b3c4d")
    with pytest.raises(ResourceNotFoundException, match="solution/none/1a2b3c4d"):
        create_batch_inference_job(catalog, ask(arn))


def test_the_same_name_in_another_account_is_not_found(catalog: Catalog) -> None:
    version = golden_version(catalog)
    stranger = Arn("aws", "us-east-1", "999999999999", version.kind, version.name, version.version)
    with pytest.raises(ResourceNotFoundException, match="999999999999"):
        create_batch_inference_job(catalog, ask(stranger))


def test_a_solution_is_no_solution_version(catalog: Catalog) -> None:
    version = golden_version(catalog)
    with pytest.raises(InvalidInputException, match="not the ARN of a solution version"):
        create_batch_inference_job(catalog, ask(version.sibling("solution", "toy")))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("CREATE PENDING", ResourceInUseException),
        ("CREATE IN_PROGRESS", ResourceInUseException),
        ("CREATE FAILED", InvalidInputException),
    ],
)
def test_a_solution_version_must_be_active(catalog: Catalog, status: str, error: type[Exception]) -> None:
    version = golden_version(catalog)
    catalog.update(catalog.read(version), status=status)
    with pytest.raises(error, match=status):
        create_batch_inference_job(catalog, ask(version))


@pytest.mark.parametrize("recipe", ["aws-trending-now", "aws-next-best-action"])
def test_a_recipe_without_batch_support_is_refused(catalog: Catalog, recipe: str) -> None:
    version = golden_version(catalog)
    catalog.update(catalog.read(version), recipeArn=f"arn:aws:personalize:::recipe/{recipe}")
    with pytest.raises(InvalidInputException, match="does not support batch inference"):
        create_batch_inference_job(catalog, ask(version))


ITEM_ID, TITLE = Column("ITEM_ID", "string"), Column("TITLE", "string")
TEXT, YEAR = Column("DESCRIPTION", "string", textual=True), Column("YEAR", "long")


def themes(item_name: str) -> dict[str, Any]:
    return {
        "batchInferenceJobMode": "THEME_GENERATION",
        "themeGenerationConfig": {"fieldsForThemeGeneration": {"itemName": item_name}},
    }


def in_group(catalog: Catalog, version: Arn, *columns: Column) -> Arn:
    """The version in a dataset group whose Items dataset has the columns, none if there are none."""
    group = catalog.create(Arn.local("dataset-group", "shop"), {"name": "shop", "status": "ACTIVE"})
    catalog.update(catalog.read(version), datasetGroupArn=str(group.arn))
    if columns:
        schema = catalog.create(group.arn.sibling("schema", "shop-items"), {"schema": Schema("Items", columns).avro()})
        catalog.create(dataset_arn(group.arn, "Items"), {"schemaArn": str(schema.arn), "deltaVersion": 0})
    return version


def test_themes_are_for_similar_items(catalog: Catalog) -> None:
    with pytest.raises(InvalidInputException, match="aws-similar-items, not of aws-sims"):
        create_batch_inference_job(catalog, ask(golden_version(catalog, "aws-sims"), **themes("TITLE")))


@pytest.mark.parametrize(
    ("columns", "name", "said"),
    [
        ([], "TITLE", "needs an Items dataset with a textual field"),
        ([ITEM_ID, TITLE], "TITLE", 'a textual field in the Items schema, such as DESCRIPTION with "textual": true'),
        ([ITEM_ID, TITLE, TEXT], "TITEL", "itemName is 'TITEL', which is no column of the Items schema"),
        ([ITEM_ID, TITLE, TEXT], "title", "itemName is 'title', which is no column of the Items schema"),
        ([ITEM_ID, TITLE, TEXT, YEAR], "YEAR", "itemName is 'YEAR', a column of type long"),
    ],
)
def test_themes_need_names_and_texts(catalog: Catalog, columns: list[Column], name: str, said: str) -> None:
    version = in_group(catalog, golden_version(catalog, "aws-similar-items"), *columns)
    with pytest.raises(InvalidInputException, match=said):
        create_batch_inference_job(catalog, ask(version, **themes(name)))


def test_a_version_of_an_imported_model_has_no_themes(catalog: Catalog) -> None:
    version = in_group(catalog, golden_version(catalog, "aws-similar-items"), ITEM_ID, TITLE, TEXT)
    with pytest.raises(InvalidInputException, match="was trained before .*: train it again"):
        create_batch_inference_job(catalog, ask(version, **themes("TITLE")))
    record = catalog.read(version)
    trained, store = Pinned(**record.fields["model"]).open(), catalog.store.at("models/imported")
    about = finish(store, [], {**trained.properties, "imported": {"items": "items.npy"}})
    catalog.update(record, model=vars(about))
    with pytest.raises(
        InvalidInputException, match="was imported from a model, which brings no themes: train aws-similar"
    ):
        create_batch_inference_job(catalog, ask(version, **themes("TITLE")))


def test_themes_need_a_dataset_group(catalog: Catalog) -> None:
    version = golden_version(catalog, "aws-similar-items")
    with pytest.raises(InvalidInputException, match="needs an Items dataset"):
        create_batch_inference_job(catalog, ask(version, **themes("TITLE")))


def test_settings_without_effect_are_accepted_and_said(catalog: Catalog) -> None:
    version = golden_version(catalog, "aws-popularity-count")
    config = {"itemExplorationConfig": {"explorationWeight": "0.3"}, "rankingInfluence": {"FRESHNESS": 0.5}}
    checked = check_batch_inference_job(catalog, ask(version, batchInferenceJobConfig=config))
    assert [note.split()[0] for note in checked.notes] == ["itemExplorationConfig", "rankingInfluence"]


@pytest.mark.parametrize(("path", "said"), [("file:///out/", 1), ("s3://b/out/", 0)])
def test_a_key_that_encrypts_nothing_is_said(catalog: Catalog, path: str, said: int) -> None:
    place = {"s3DataDestination": {"path": path, "kmsKeyArn": "arn:aws:kms:eu-west-1:111122223333:key/0f0f"}}
    notes = check_batch_inference_job(catalog, ask(golden_version(catalog), jobOutput=place)).notes
    assert [note.split()[0] for note in notes] == ["kmsKeyArn"] * said


@pytest.mark.parametrize("dated", [True, False])
def test_freshness_without_dates_is_said(catalog: Catalog, dated: object) -> None:
    columns = [ITEM_ID, TITLE, *([Column("CREATION_TIMESTAMP", "long")] if dated else [])]
    version = in_group(catalog, golden_version(catalog, "aws-semantic-similarity"), *columns)
    config = {"rankingInfluence": {"FRESHNESS": 0.5}}
    notes = check_batch_inference_job(catalog, ask(version, batchInferenceJobConfig=config)).notes
    assert notes == ([] if dated else ["FRESHNESS has no effect: the Items dataset has no CREATION_TIMESTAMP."])


def test_the_services_limit_of_jobs_is_kept_on_demand(catalog: Catalog) -> None:
    version = golden_version(catalog)
    for _ in range(5):
        create_batch_inference_job(catalog, ask(version), service_limits=True)
    with pytest.raises(LimitExceededException, match="More than 5 resources with PENDING or IN_PROGRESS status"):
        create_batch_inference_job(catalog, ask(version), service_limits=True)
    create_batch_inference_job(catalog, ask(version))


def test_a_list_is_paged_newest_first(catalog: Catalog) -> None:
    version = golden_version(catalog)
    names = [create_batch_inference_job(catalog, ask(version)).arn.name for _ in range(5)]
    listed: list[str] = []
    params: dict[str, Any] = {"maxResults": 2}
    while True:
        page = list_batch_inference_jobs(catalog, params)
        assert len(page["batchInferenceJobs"]) <= 2
        listed += [job["jobName"] for job in page["batchInferenceJobs"]]
        if "nextToken" not in page:
            break
        params["nextToken"] = page["nextToken"]
    assert listed == names[::-1]


def test_a_list_can_be_of_one_solution_version(catalog: Catalog) -> None:
    one, other = golden_version(catalog), golden_version(catalog)
    create_batch_inference_job(catalog, ask(one))
    create_batch_inference_job(catalog, ask(other))
    [job] = list_batch_inference_jobs(catalog, {"solutionVersionArn": str(one)})["batchInferenceJobs"]
    assert job["solutionVersionArn"] == str(one)


@pytest.mark.parametrize("token", ["x", "e30=", "WzEsIDIsIDNd"])
def test_a_made_up_token_is_refused(catalog: Catalog, token: str) -> None:
    with pytest.raises(InvalidNextTokenException):
        list_batch_inference_jobs(catalog, {"nextToken": token})


def test_describe_wants_the_arn_of_a_job(catalog: Catalog) -> None:
    with pytest.raises(InvalidInputException, match="not the ARN of a batch inference job"):
        describe_batch_inference_job(catalog, {"batchInferenceJobArn": str(golden_version(catalog))})
    with pytest.raises(InvalidInputException, match="not the ARN of an Amazon Personalize resource"):
        describe_batch_inference_job(catalog, {"batchInferenceJobArn": "arn:aws:personalize:x:y:../../etc"})


def test_a_job_freezes_the_time_of_its_filter(catalog: Catalog) -> None:
    group, version = golden_group(catalog), golden_version(catalog)
    catalog.update(catalog.read(version), datasetGroupArn=str(group.arn))
    expression = "INCLUDE ItemID WHERE Items.PRICE < NOW() - 30 DAYS"
    params = {"name": "recent", "datasetGroupArn": str(group.arn), "filterExpression": expression}
    asked = {**ask(version), **create_filter(catalog, params)}
    frozen = Job.of(create_batch_inference_job(catalog, asked)).filter
    assert frozen is not None
    seconds = int(frozen.removeprefix("INCLUDE ItemID WHERE Items.PRICE < "))
    assert 0 <= time.time() - 30 * 86_400 - seconds < 3_600
    with pytest.raises(InvalidInputException, match=r"has NOW\(\), which the managed service does not know"):
        check_batch_inference_job(catalog, ask(version) | {"filterArn": asked["filterArn"]}, service_limits=True)
