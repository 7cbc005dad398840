"""Requests: validated as the service does, by walking botocore's own service model.

The SDKs check presence and types only; lengths, patterns, enums and ranges are the service's. All mistakes of a request
are reported at once, in the service's wording. One extension: `file:///` paths stand beside `s3://`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from personalize_spark.errors import InvalidInputException, TooManyTagsException, did_you_mean

DEFAULT_NUM_RESULTS = 25
DEFAULT_EXPLORATION_WEIGHT, DEFAULT_ITEM_AGE_CUT_OFF = 0.3, 30.0
MAX_NUM_RESULTS = 500
MAX_TAGS = 50
BATCH_INFERENCE = "BATCH_INFERENCE"
THEME_GENERATION = "THEME_GENERATION"

_LOCATION = re.compile(r"(s3|s3a|https?)://.+|file:///.+")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list, tuple),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "boolean": (bool,),
}


@dataclass(frozen=True)
class BatchInferenceRequest:
    """A valid `CreateBatchInferenceJob` request; `params` is the request as it came, the age cut-off is in days."""

    params: Mapping[str, Any]
    job_name: str
    solution_version_arn: str
    filter_arn: str | None
    role_arn: str
    input_path: str
    output_path: str
    output_kms_key_arn: str | None
    num_results: int
    mode: str
    exploration_weight: float
    exploration_item_age_cut_off: float
    ranking_influence: Mapping[str, float]

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> BatchInferenceRequest:
        """Validate a request and read it.

        Raises:
            InvalidInputException: one message with everything that is wrong.
            TooManyTagsException: more than 50 tags.
        """
        validate("CreateBatchInferenceJob", params, _rules)
        config = params.get("batchInferenceJobConfig") or {}
        exploration = config.get("itemExplorationConfig") or {}
        source, destination = params["jobInput"]["s3DataSource"], params["jobOutput"]["s3DataDestination"]
        return cls(
            params=params,
            job_name=params["jobName"],
            solution_version_arn=params["solutionVersionArn"],
            filter_arn=params.get("filterArn"),
            role_arn=params["roleArn"],
            input_path=source["path"],
            output_path=destination["path"],
            output_kms_key_arn=destination.get("kmsKeyArn"),
            num_results=params.get("numResults") or DEFAULT_NUM_RESULTS,  # 0 is refused
            mode=params.get("batchInferenceJobMode") or BATCH_INFERENCE,
            exploration_weight=float(exploration.get("explorationWeight", DEFAULT_EXPLORATION_WEIGHT)),
            exploration_item_age_cut_off=float(exploration.get("explorationItemAgeCutOff", DEFAULT_ITEM_AGE_CUT_OFF)),
            ranking_influence=config.get("rankingInfluence") or {},
        )


def validate(
    operation: str, params: Mapping[str, Any], rules: Callable[[Mapping[str, Any]], Iterator[str]] | None = None
) -> None:
    """Check the parameters of an operation against the service model, then against rules of its own.

    Raises:
        InvalidInputException: one message with everything that is wrong.
        TooManyTagsException: more tags than the tagging documentation allows (the model alone would take 200).
    """
    tags = params.get("tags")
    if isinstance(tags, (list, tuple)) and len(tags) > MAX_TAGS:
        raise TooManyTagsException(f"{len(tags)} tags are more than the {MAX_TAGS} that a resource may have.")
    shape = service_model().operation_model(operation).input_shape
    problems = list(_check(shape, dict(params), "")) if shape else []
    if not problems and rules is not None:
        problems = list(rules(params))
    if problems:
        errors = "1 validation error" if len(problems) == 1 else f"{len(problems)} validation errors"
        raise InvalidInputException(f"{errors} detected: {'; '.join(problems)}")


@cache
def service_model() -> ServiceModel:
    """The model of Amazon Personalize that ships with botocore."""
    return ServiceModel(Loader().load_service_model("personalize", "service-2"), "personalize")


def _check(shape: Shape, value: object, path: str) -> Iterator[str]:
    if not isinstance(value, _TYPES[shape.type_name]) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield _failed(value, path, f"Member must be of type {shape.type_name}")
        return
    if isinstance(shape, StructureShape):
        yield from _check_structure(shape, value, path)  # type: ignore[arg-type]
    elif isinstance(shape, MapShape):
        yield from _check_map(shape, value, path)  # type: ignore[arg-type]
    elif isinstance(shape, ListShape):
        yield from _check_size(shape, value, path)
        yield from _check_members(shape, value, path)  # type: ignore[arg-type]
    else:
        yield from _check_scalar(shape, value, path)


def _check_structure(shape: StructureShape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    inside = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            yield _failed(None, inside + name, "Member must not be null")
    for name, each in value.items():
        if name not in shape.members:
            yield _unknown(name, list(shape.members), path)
        elif each is not None:
            yield from _check(shape.members[name], each, inside + name)


def _check_members(shape: ListShape, value: Sequence[Any], path: str) -> Iterator[str]:
    for number, each in enumerate(value, 1):
        yield from _check(shape.member, each, f"{path}.{number}.member")


def _check_map(shape: MapShape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from _check_size(shape, value, path)
    for key, each in value.items():
        yield from _check(shape.key, key, path)
        yield from _check(shape.value, each, f"{path}.{key}.member")


def _check_scalar(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, str):
        yield from _check_size(shape, value, path)
        pattern = shape.metadata.get("pattern")
        if shape.name == "S3Location":
            yield from _check_location(value, path)
        elif pattern and not _compiled(pattern).fullmatch(value):
            yield _failed(value, path, f"Member must satisfy regular expression pattern: {pattern}")
        values = shape.metadata.get("enum")
        if values and value not in values:
            yield _failed(value, path, f"Member must satisfy enum value set: [{', '.join(values)}]")
    else:
        yield from _check_range(value, path, shape.metadata.get("min"), shape.metadata.get("max"))


def _check_location(value: str, path: str) -> Iterator[str]:
    if not _LOCATION.fullmatch(value):
        yield _failed(value, path, "Member must satisfy regular expression pattern: (s3|http|https)://.+ or file:///.+")
    elif value.startswith("http"):
        yield _failed(value, path, "Member must be an s3://bucket/key path (or file:///path)")


def _check_size(shape: Shape, value: Any, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        yield _failed(value, path, f"Member must have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield _failed(value, path, f"Member must have length less than or equal to {most}")


def _check_range(value: float, path: str, least: float | None, most: float | None) -> Iterator[str]:
    if least is not None and not value >= least:  # a NaN fails as well
        yield _failed(value, path, f"Member must have value greater than or equal to {least}")
    if most is not None and not value <= most:
        yield _failed(value, path, f"Member must have value less than or equal to {most}")


def _failed(value: object, path: str, constraint: str) -> str:
    text = "null" if value is None else f"'{value}'"
    return f"Value {text} at '{path}' failed to satisfy constraint: {constraint}"


def _unknown(name: str, members: list[str], path: str) -> str:
    where = f"'{path}'" if path else "the request"
    return f"Unknown parameter '{name}' in {where}{did_you_mean(name, members)}, must be one of: {', '.join(members)}"


_JAVA_CLASSES: Mapping[str, str] = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\p{ASCII}": r"[\x00-\x7f]",
}


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the model, which Java reads, as Python reads it."""
    flags = re.NOFLAG if r"\p{L}" in pattern else re.ASCII
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern, flags)


def _rules(params: Mapping[str, Any]) -> Iterator[str]:
    """What the documents say of `CreateBatchInferenceJob` beyond its model, whatever the recipe."""
    if (count := params.get("numResults")) is not None:
        yield from _check_range(count, "numResults", 1, MAX_NUM_RESULTS)
    config = params.get("batchInferenceJobConfig") or {}
    for key, text in (config.get("itemExplorationConfig") or {}).items():
        path = f"batchInferenceJobConfig.itemExplorationConfig.{key}"
        if key not in _EXPLORATION:
            keys = ", ".join(_EXPLORATION)
            yield _failed(text, path, f"Member must satisfy enum value set: [{keys}]")
        else:
            yield from _check_decimal(text, path, *_EXPLORATION[key])
    if params.get("batchInferenceJobMode") == THEME_GENERATION and not params.get("themeGenerationConfig"):
        yield _failed(None, "themeGenerationConfig", f"Member must not be null when the mode is {THEME_GENERATION}")


_EXPLORATION: Mapping[str, tuple[float, float | None]] = {
    "explorationWeight": (0.0, 1.0),
    "explorationItemAgeCutOff": (1.0, None),
}


def _check_decimal(text: str, path: str, least: float, most: float | None) -> Iterator[str]:
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text.strip(), re.ASCII):
        yield _failed(text, path, "Member must be a decimal number in a string")
    else:
        yield from _check_range(float(text), path, least, most)
