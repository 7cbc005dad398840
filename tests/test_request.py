from __future__ import annotations

import copy
import math
import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape

from personalize_spark.errors import InvalidInputException, TooManyTagsException
from personalize_spark.request import _compiled, validate
from tests.service_model import MODEL

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
    "batchInferenceJobMode": "THEME_GENERATION",
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


def check(params: dict[str, Any]) -> None:
    validate("CreateBatchInferenceJob", params)


def refusal(params: dict[str, Any]) -> str:
    with pytest.raises(InvalidInputException) as raised:
        check(params)
    return raised.value.message


def test_a_full_request_and_a_minimal_one_are_valid() -> None:
    check(FULL)
    check({name: FULL[name] for name in ("jobName", "solutionVersionArn", "jobInput", "jobOutput", "roleArn")})


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


@pytest.mark.parametrize("path", ["file:///data/in/", "file:///Volumes/a/b", "s3a://bucket/x", "s3://bucket"])
def test_files_stand_beside_s3(path: str) -> None:
    check(changed("jobInput.s3DataSource.path", path))


def test_fifty_tags_are_allowed_and_no_more() -> None:
    tags = [{"tagKey": f"k{n}", "tagValue": "v"} for n in range(51)]
    check(changed("tags", tags[:50]))
    for many in (tags, tuple(tags)):
        with pytest.raises(TooManyTagsException, match="51 tags"):
            check(changed("tags", many))


WEIGHT = "batchInferenceJobConfig.itemExplorationConfig.explorationWeight"
AGE = "batchInferenceJobConfig.itemExplorationConfig.explorationItemAgeCutOff"


@pytest.mark.parametrize(
    ("path", "value"), [*((WEIGHT, text) for text in ("0", "1", "0.3", ".5", "1.", " 0.3 ")), (AGE, "1"), (AGE, "30.5")]
)
def test_exploration_is_set_by_decimals_in_strings(path: str, value: str) -> None:
    check(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        *((WEIGHT, text, "a decimal number in a string") for text in ("", "nan", "inf", "-0.1", "0,3", "٠.٣", "1e-1")),
        (WEIGHT, "1.0000001", "less than or equal to 1.0"),
        (AGE, "0.99", "greater than or equal to 1.0"),
    ],
)
def test_exploration_beyond_its_range_is_refused(path: str, value: str, said: str) -> None:
    message = refusal(changed(path, value))
    assert f"Value '{value}' at '{path}'" in message
    assert said in message


def test_an_age_that_no_number_holds_is_refused() -> None:
    check(changed(AGE, "9" * 300))
    assert f"at '{AGE}' failed to satisfy constraint: Member must have value less than" in refusal(
        changed(AGE, "9" * 400)
    )


def test_a_resource_has_a_tag_once() -> None:
    tags = [{"tagKey": key, "tagValue": key} for key in ("a", "b", "a")]
    assert "Value 'a' at 'tags' failed to satisfy constraint: Member must be unique" in refusal(changed("tags", tags))
    check(changed("tags", tags[:2]))


def test_themes_need_their_config() -> None:
    params = copy.deepcopy(FULL)
    check(params)
    del params["themeGenerationConfig"]
    assert "at 'themeGenerationConfig'" in refusal(params)


@pytest.mark.parametrize("mode", ["BATCH_INFERENCE", None])
def test_the_config_of_themes_needs_their_mode(mode: str | None) -> None:
    params = changed("batchInferenceJobMode", mode)
    assert "Member must be null unless batchInferenceJobMode is THEME_GENERATION" in refusal(params)


Place = tuple[str | int, ...]


def _places(shape: Shape, value: Any, place: Place = (), path: str = "") -> Iterator[tuple[Place, str, Shape]]:
    """Everything in a request that holds every member: where it is, how the service names it, and its shape."""
    inside = f"{path}." if path else ""
    if place:
        yield place, path, shape
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            yield from _places(member, value[name], (*place, name), inside + name)
    elif isinstance(shape, ListShape):
        yield from _places(shape.member, value[0], (*place, 0), f"{inside}1.member")
    elif isinstance(shape, MapShape):
        for key, each in value.items():
            yield from _places(shape.value, each, (*place, key), f"{inside}{key}.member")


def _wrong(shape: Shape) -> Iterator[tuple[object, str]]:
    """Values that a shape forbids, each with what the service says of it."""
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    others = [value for value in ("x", 7, 0.5, True, ["x"], {"x": "y"}) if not _fits(shape, value)]
    yield from ((value, f"Member must be of type {shape.type_name}") for value in others)
    if shape.type_name == "string":
        if most is not None:
            yield "x" * (most + 1), f"Member must have length less than or equal to {most}"
        if least:
            yield "x" * (least - 1), f"Member must have length greater than or equal to {least}"
        if pattern := shape.metadata.get("pattern"):
            yield "\x01", f"Member must satisfy regular expression pattern: {pattern}"
        if values := shape.metadata.get("enum"):
            yield values[0].lower(), f"Member must satisfy enum value set: [{', '.join(values)}]"
    elif shape.type_name in {"integer", "double"}:
        if most is not None:
            yield from ((value, f"value less than or equal to {most}") for value in (most + 1, math.inf, math.nan))
        if least is not None:
            yield from ((value, f"value greater than or equal to {least}") for value in (least - 1, -math.inf))
    elif shape.type_name == "map" and most is not None:
        yield {f"{n}": "x" for n in range(most + 1)}, f"Member must have length less than or equal to {most}"


def _fits(shape: Shape, value: object) -> bool:
    """Whether the value is of the shape's type; a boolean is no number."""
    kinds = {"string": str, "integer": int, "double": int | float, "list": list, "map": dict, "structure": dict}
    return isinstance(value, kinds[shape.type_name]) and not isinstance(value, bool)


def _input_shape() -> StructureShape:
    shape = MODEL.operation_model("CreateBatchInferenceJob").input_shape
    assert isinstance(shape, StructureShape)
    return shape


def _at(place: Place, value: object) -> dict[str, Any]:
    params = copy.deepcopy(FULL)
    inside: Any = params
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    return params


WRONG = [
    pytest.param(_at(place, value), f"at '{path}' failed to satisfy constraint: ", said, id=f"{path}={value!r:.20}")
    for place, path, shape in _places(_input_shape(), FULL)
    for value, said in _wrong(shape)
]
STRUCTURES = [((), "", _input_shape())] + [
    (place, path, shape) for place, path, shape in _places(_input_shape(), FULL) if isinstance(shape, StructureShape)
]
REQUIRED = [
    pytest.param(_at((*place, name), None), f"Value null at '{inside}{name}' failed", id=inside + name)
    for place, path, shape in STRUCTURES
    for inside in [f"{path}." if path else ""]
    for name in shape.required_members
]
UNKNOWN = [
    pytest.param(_at((*place, "surplus"), 1), f"Unknown parameter 'surplus' in {where}", id=path)
    for place, path, _ in STRUCTURES
    for where in [f"'{path}'" if path else "the request"]
]


@pytest.mark.parametrize(("params", "where", "said"), WRONG)
def test_every_constraint_of_the_model_is_kept(params: dict[str, Any], where: str, said: str) -> None:
    message = refusal(params)
    assert any(where in mistake and said in mistake for mistake in message.split("; ")), message


@pytest.mark.parametrize(("params", "said"), REQUIRED)
def test_every_required_member_of_the_model_is_missed(params: dict[str, Any], said: str) -> None:
    assert f"{said} to satisfy constraint: Member must not be null" in refusal(params)


@pytest.mark.parametrize(("params", "said"), UNKNOWN)
def test_every_structure_of_the_model_knows_its_members(params: dict[str, Any], said: str) -> None:
    assert said in refusal(params)


def test_the_whole_model_was_walked() -> None:
    walked = {path for _, path, _ in _places(_input_shape(), FULL)}
    assert {path.split(".")[0] for path in walked} == set(_input_shape().members) == set(FULL)
    assert len(WRONG) > 100
    assert len(REQUIRED) == 5 + 1 + 1 + 1 + 1 + 2 + 1 + 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["L", "N", "Z"])
def test_the_classes_of_java_are_those_of_unicode(kind: str) -> None:
    pattern = re.compile(_compiled(rf"[\p{{{kind}}}]").pattern)
    letters_and_digits = kind in "LN"  # which are one class here, as every pattern of the model names both
    for character in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(character)[0]
        expected = category in "LN" or character == "_" if letters_and_digits else category == "Z"
        assert (pattern.fullmatch(character) is not None) == expected, f"U+{ord(character):04X}"


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("DescribeBatchInferenceJob", {}),
        ("ListBatchInferenceJobs", {"maxResults": 101}),
        ("ListBatchInferenceJobs", {"nextToken": "é"}),
    ],
)
def test_other_operations_are_validated_alike(operation: str, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputException, match="1 validation error detected"):
        validate(operation, params)


def test_a_member_that_is_null_is_one_that_is_left_out() -> None:
    optional = set(FULL) - set(_input_shape().required_members)
    assert len(optional) == 6
    check({**FULL, **dict.fromkeys(optional)})
