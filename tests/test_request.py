from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.model import StructureShape

from personalize_spark.errors import InvalidInputException, TooManyTagsException
from personalize_spark.request import BatchInferenceRequest, service_model, validate

KEY = "arn:aws:kms:eu-west-1:111122223333:key/0f0f"
FULL: dict[str, Any] = {
    "jobName": "weekly-homepage-01",
    "solutionVersionArn": "arn:aws:personalize:eu-west-1:111122223333:solution/home/1a2b3c4d",
    "filterArn": "arn:aws:personalize:eu-west-1:111122223333:filter/not-bought",
    "numResults": 50,
    "jobInput": {"s3DataSource": {"path": "s3://acme-recs/in/users.json", "kmsKeyArn": KEY}},
    "jobOutput": {"s3DataDestination": {"path": "s3://acme-recs/out/", "kmsKeyArn": KEY}},
    "roleArn": "arn:aws:iam::111122223333:role/service/PersonalizeBatch",
    "batchInferenceJobConfig": {
        "itemExplorationConfig": {"explorationWeight": "0.3", "explorationItemAgeCutOff": "30"},
        "rankingInfluence": {"POPULARITY": 0.5, "FRESHNESS": 1},
    },
    "tags": [{"tagKey": "team", "tagValue": "crm é購 _.:/=+-@"}],
    "batchInferenceJobMode": "BATCH_INFERENCE",
    "themeGenerationConfig": {"fieldsForThemeGeneration": {"itemName": "TITLE"}},
}


def changed(path: str, value: object) -> dict[str, Any]:
    params = copy.deepcopy(FULL)
    *inside, last = path.split(".")
    place = params
    for name in inside:
        place = place[name]
    place[last] = value
    return params


def refusal(params: dict[str, Any]) -> str:
    with pytest.raises(InvalidInputException) as raised:
        BatchInferenceRequest.parse(params)
    return raised.value.message


def test_a_full_request_is_read() -> None:
    request = BatchInferenceRequest.parse(FULL)
    assert (request.job_name, request.num_results, request.mode) == ("weekly-homepage-01", 50, "BATCH_INFERENCE")
    assert (request.input_path, request.output_path) == ("s3://acme-recs/in/users.json", "s3://acme-recs/out/")
    assert request.output_kms_key_arn == KEY


def test_a_minimal_request_has_the_services_defaults() -> None:
    names = ("jobName", "solutionVersionArn", "jobInput", "jobOutput", "roleArn")
    request = BatchInferenceRequest.parse({name: FULL[name] for name in names})
    assert (request.num_results, request.mode) == (25, "BATCH_INFERENCE")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "jobName",
            "",
            "Value '' at 'jobName' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        ("jobName", "x" * 64, "Member must have length less than or equal to 63"),
        ("jobName", "-x", r"Member must satisfy regular expression pattern: ^[a-zA-Z0-9][a-zA-Z0-9\-_]*"),
        ("jobName", "a b", "at 'jobName' failed to satisfy constraint: Member must satisfy regular expression pattern"),
        ("jobName", "a\n", "Member must satisfy regular expression pattern"),
        ("jobName", None, "Value null at 'jobName' failed to satisfy constraint: Member must not be null"),
        ("jobName", 7, "Value '7' at 'jobName' failed to satisfy constraint: Member must be of type string"),
        ("solutionVersionArn", "arn:aws:s3:::x", "at 'solutionVersionArn'"),
        ("solutionVersionArn", "arn:aws:personalize:r:a:" + "x" * 256, "length less than or equal to 256"),
        ("filterArn", "not-bought", "at 'filterArn'"),
        ("roleArn", "arn:aws:iam::1:role/x", "at 'roleArn'"),
        ("roleArn", "arn:aws:iam::١١١١٢٢٢٢٣٣٣٣:role/x", "at 'roleArn'"),
        (
            "numResults",
            0,
            "Value '0' at 'numResults' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        ("numResults", 501, "Member must have value less than or equal to 500"),
        ("numResults", "10", "at 'numResults' failed to satisfy constraint: Member must be of type integer"),
        ("numResults", True, "Member must be of type integer"),
        ("jobInput", {}, "Value null at 'jobInput.s3DataSource' failed to satisfy constraint: Member must not be null"),
        ("jobInput.s3DataSource.path", "users.json", "at 'jobInput.s3DataSource.path'"),
        ("jobInput.s3DataSource.path", "file://users.json", "at 'jobInput.s3DataSource.path'"),
        ("jobInput.s3DataSource.path", "https://x/y", "must be an s3://bucket/key path"),
        ("jobInput.s3DataSource.kmsKeyArn", "key", "at 'jobInput.s3DataSource.kmsKeyArn'"),
        ("jobOutput.s3DataDestination.path", "s3://" + "x" * 256, "length less than or equal to 256"),
        ("batchInferenceJobMode", "NOPE", "Member must satisfy enum value set: [BATCH_INFERENCE, THEME_GENERATION]"),
        ("batchInferenceJobConfig.rankingInfluence", {"AGE": 0.5}, "Member must satisfy enum value set"),
        ("batchInferenceJobConfig.rankingInfluence.POPULARITY", 1.1, "value less than or equal to 1"),
        (
            "batchInferenceJobConfig.rankingInfluence.POPULARITY",
            float("nan"),
            "at 'batchInferenceJobConfig.rankingInfluence",
        ),
        ("batchInferenceJobConfig.itemExplorationConfig.explorationWeight", 0.3, "Member must be of type string"),
        ("batchInferenceJobConfig.itemExplorationConfig.explorationWeight", "1.1", "value less than or equal to 1.0"),
        ("batchInferenceJobConfig.itemExplorationConfig.explorationWeight", "much", "a decimal number in a string"),
        ("batchInferenceJobConfig.itemExplorationConfig.explorationItemAgeCutOff", "0", "greater than or equal to 1.0"),
        (
            "batchInferenceJobConfig.itemExplorationConfig.explorationWait",
            "1",
            "explorationWeight, explorationItemAgeCutOff",
        ),
        ("themeGenerationConfig.fieldsForThemeGeneration.itemName", "a b", "at 'themeGenerationConfig"),
        ("tags", [{"tagKey": "a<b", "tagValue": ""}], "at 'tags.1.member.tagKey'"),
        ("tags", [{"tagKey": "a"}], "Value null at 'tags.1.member.tagValue'"),
    ],
)
def test_a_constraint_that_is_broken_is_said_in_the_services_words(path: str, value: object, said: str) -> None:
    message = refusal(changed(path, value))
    assert re.match(r"[12] validation errors? detected: Value ", message)
    assert said in message


def test_all_mistakes_are_said_at_once() -> None:
    message = refusal({"jobName": "!", "numResults": "x", "jobInput": {"s3DataSource": {}}})
    assert message.startswith("6 validation errors detected: ")
    for place in ("jobName", "numResults", "jobInput.s3DataSource.path", "solutionVersionArn", "jobOutput", "roleArn"):
        assert f"at '{place}'" in message


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (changed("jobname", "x"), "Unknown parameter 'jobname' in the request (did you mean 'jobName'?)"),
        (
            changed("jobOutput.S3DataDestination", {}),
            "Unknown parameter 'S3DataDestination' in 'jobOutput' (did you mean 's3DataDestination'?), must be one of",
        ),
    ],
)
def test_an_unknown_member_is_named_with_a_hint(params: dict[str, Any], said: str) -> None:
    assert said in refusal(params)


def test_members_that_are_null_are_absent() -> None:
    assert BatchInferenceRequest.parse(changed("filterArn", None)).num_results == 50


@pytest.mark.parametrize("path", ["file:///data/in/", "file:///Volumes/a/b", "s3a://bucket/x", "s3://bucket"])
def test_files_stand_beside_s3(path: str) -> None:
    assert BatchInferenceRequest.parse(changed("jobInput.s3DataSource.path", path)).input_path == path


def test_fifty_tags_are_allowed_and_no_more() -> None:
    tags = [{"tagKey": f"k{n}", "tagValue": "v"} for n in range(51)]
    BatchInferenceRequest.parse(changed("tags", tags[:50]))
    with pytest.raises(TooManyTagsException, match="51 tags"):
        BatchInferenceRequest.parse(changed("tags", tags))


def test_themes_need_their_config() -> None:
    params = changed("batchInferenceJobMode", "THEME_GENERATION")
    BatchInferenceRequest.parse(params)
    del params["themeGenerationConfig"]
    assert "at 'themeGenerationConfig'" in refusal(params)


def _wrong_values() -> list[tuple[str, object]]:
    """For every member of the model that has a maximum, a value just beyond it."""
    shape = service_model().operation_model("CreateBatchInferenceJob").input_shape
    assert isinstance(shape, StructureShape)
    found: list[tuple[str, object]] = []

    def walk(shape: StructureShape, path: str) -> None:
        for name, member in shape.members.items():
            if isinstance(member, StructureShape):
                walk(member, f"{path}{name}.")
            elif member.type_name == "string" and "max" in member.metadata:
                found.append((path + name, "x" * (member.metadata["max"] + 1)))

    walk(shape, "")
    return found


@pytest.mark.parametrize(("path", "value"), _wrong_values())
def test_every_maximum_of_the_model_is_kept(path: str, value: object) -> None:
    assert f"at '{path}' failed to satisfy constraint: Member must have length less than or equal to" in refusal(
        changed(path, value)
    )


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("DescribeBatchInferenceJob", {}),
        ("ListBatchInferenceJobs", {"maxResults": 101}),
        ("ListBatchInferenceJobs", {"nextToken": "é"}),
    ],
)
def test_other_operations_are_validated_alike(operation: str, params: dict[str, Any]) -> None:
    check: Callable[[], None] = lambda: validate(operation, params)  # noqa: E731
    with pytest.raises(InvalidInputException, match="1 validation error detected"):
        check()
