"""Requests: validated as the service does, by walking the service model that ships with botocore, or a copy where that is older.

The SDKs check presence and types only; lengths, patterns, enums and ranges are the service's. All mistakes of a request
are reported at once, in the service's wording. One extension: `file:///` paths stand beside `s3://`.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from functools import cache
from typing import Any

from personalize_spark.errors import InvalidInputException, TooManyTagsException, did_you_mean
from personalize_spark.service_model import NOTHING, PERSONALIZE, Reference, Shape, service_model

MAX_NUM_RESULTS = 500
MAX_TAGS = 50
BATCH_INFERENCE = "BATCH_INFERENCE"
THEME_GENERATION = "THEME_GENERATION"


_LOCATION = re.compile(r"(s3|s3a|https?)://.+|file:///.+")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
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
    "timestamp": (int, float),
}


def members(operation: str) -> Mapping[str, str]:
    """The parameters of an operation, each with its type: string, integer, double, boolean, list, map or structure."""
    return {name: service_model().shapes[each.shape].type for name, each in _input(operation).members.items()}


def required(operation: str) -> Sequence[str]:
    """The parameters that an operation cannot do without."""
    return _input(operation).required


def _input(operation: str) -> Shape:
    model = service_model()
    return model.shapes[model.operations[operation].input.shape]


def validate(operation: str, params: Mapping[str, Any]) -> None:
    """Check the parameters of an operation against the service model, then against the rules that only the documents tell.

    Raises:
        InvalidInputException: one message with everything that is wrong.
        TooManyTagsException: more tags than the tagging documentation allows (the model alone would take 200).
    """
    tags = params.get("tags")
    if isinstance(tags, (list, tuple)) and len(tags) > MAX_TAGS:
        raise TooManyTagsException(f"{len(tags)} tags are more than the {MAX_TAGS} that a resource may have.")
    problems = list(_check(service_model().operations[operation].input, dict(params), ""))
    if not problems:
        problems = [*(_RULES[operation](params) if operation in _RULES else ()), *_check_keys(tags or ())]
    if problems:
        errors = "1 validation error" if len(problems) == 1 else f"{len(problems)} validation errors"
        raise InvalidInputException(f"{errors} detected: {'; '.join(problems)}")


def service_of(operation: str) -> str | None:
    """The service that has an operation of this name, supported here or not."""
    found = service_model().operations.get(operation)
    return found.service if found else None


def operation_at(path: str) -> str | None:
    """The operation of the services with paths, events and runtime, that is `POST` to this one."""
    operations = service_model().operations.items()
    found = (name for name, each in operations if each.service != PERSONALIZE and each.http["requestUri"] == path)
    return next(found, None)


def http_status(operation: str, code: str) -> int:
    """The HTTP status of an error of an operation: 400, if its service does not say otherwise."""
    shape = service_model().shapes.get(f"{service_of(operation)}.{code}")
    status: int = shape.error.get("httpStatusCode", 400) if shape else 400
    return status


def skeleton(operation: str, of: str = "input") -> dict[str, Any]:
    """Parameters of an operation to fill in, or its `output`: every member, with an empty value."""
    reference: Reference | None = getattr(service_model().operations[operation], of)
    return _skeleton(reference) if reference else {}


def _skeleton(reference: Reference) -> Any:
    shape = service_model().shapes[reference.shape]
    if shape.type == "structure":
        return {name: _skeleton(each) for name, each in shape.members.items()}
    if shape.type == "map":
        return {"KeyName": _skeleton(shape.value)}
    if shape.type == "list":
        return [_skeleton(shape.member)]
    if shape.type == "string":
        return shape.enum[0] if shape.enum else ""
    return {"boolean": True, "double": 0.0, "float": 0.0}.get(shape.type, 0)


def with_scalars(operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an operation, whose numbers and booleans may be texts, with numbers and booleans; `validate` finds the rest."""
    found: dict[str, Any] = _with_scalars(service_model().operations[operation].input, params)
    return found


def _with_scalars(reference: Reference, value: Any) -> Any:
    shape = service_model().shapes.get(reference.shape)
    if shape is None:
        return value
    if isinstance(value, Mapping):
        return {name: _with_scalars(shape.members.get(name, shape.value), each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_scalars(shape.member, each) for each in value]
    if not isinstance(value, str) or shape.type not in _SCALARS:
        return value
    with suppress(ValueError, KeyError):
        return _SCALARS[shape.type](value)
    return value


_SCALARS: Mapping[str, Callable[[str], Any]] = {
    "integer": int,
    "long": int,
    "double": float,
    "float": float,
    "boolean": {"true": True, "false": False}.__getitem__,
    "timestamp": lambda text: float(text) if _NUMBER.fullmatch(text) else dt.datetime.fromisoformat(text).timestamp(),
}


def with_times(operation: str, answer: Mapping[str, Any], spelled: Callable[[float], Any]) -> dict[str, Any]:
    """The answer of an operation with its times, epoch seconds, spelled in another way."""
    output = service_model().operations[operation].output
    return {} if output == NOTHING else _with_times(output, answer, spelled)


def _with_times(reference: Reference, value: Any, spelled: Callable[[float], Any]) -> Any:
    if reference == NOTHING:
        return value
    shape = service_model().shapes[reference.shape]
    if shape.type == "structure":
        # what is beyond the service has no shape
        return {name: _with_times(shape.members.get(name, NOTHING), each, spelled) for name, each in value.items()}
    if shape.type == "list":
        return [_with_times(shape.member, each, spelled) for each in value]
    return spelled(value) if shape.type == "timestamp" else value


def _check(reference: Reference, value: Any, path: str) -> Iterator[str]:
    shape = service_model().shapes[reference.shape]
    if not _is_a(value, shape.type):
        yield _failed(value, path, f"Member must be of type {shape.type}")
    elif isinstance(value, str) and not _is_unicode(value):
        yield _failed(value, path, "Member must be valid Unicode")
    elif shape.type == "structure":
        yield from _check_structure(shape, value, path)
    elif shape.type == "map":
        yield from _check_size(shape, value, path)
        for key, each in value.items():
            yield from _check(shape.key, key, path)
            yield from _check(shape.value, each, f"{path}.{key}.member")
    elif shape.type == "list":
        yield from _check_size(shape, value, path)
        for number, each in enumerate(value, 1):
            yield from _check(shape.member, each, f"{path}.{number}.member")
    elif shape.type != "string":
        yield from _check_range(value, path, shape.min, shape.max)
    elif reference.shape == "S3Location":
        yield from _check_size(shape, value, path)
        yield from _check_location(value, path)
    else:
        yield from _check_size(shape, value, path)
        yield from _check_text(shape, value, path)


def _is_a(value: object, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _check_structure(shape: Shape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    inside = f"{path}." if path else ""
    for name in shape.required:
        if value.get(name) is None:
            yield _failed(None, inside + name, "Member must not be null")
    for name, each in value.items():
        if name not in shape.members:
            yield _unknown(name, list(shape.members), path)
        elif each is not None:
            yield from _check(shape.members[name], each, inside + name)


def _check_text(shape: Shape, value: str, path: str) -> Iterator[str]:
    if shape.pattern is not None and not _compiled(shape.pattern).fullmatch(value):
        yield _failed(value, path, f"Member must satisfy regular expression pattern: {shape.pattern}")
    if shape.enum and value not in shape.enum:
        yield _failed(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")


def _check_location(value: str, path: str) -> Iterator[str]:
    if not _LOCATION.fullmatch(value):
        must = "Member must satisfy regular expression pattern: (s3|http|https)://.+ or file:///.+"
        yield _failed(value, path, must) + " A local file is written file:///folder/file"
    elif value.startswith("http"):
        yield _failed(value, path, "Member must be an s3://bucket/key path (or file:///path)")


def _check_size(shape: Shape, value: Sized, path: str) -> Iterator[str]:
    if shape.min is not None and len(value) < shape.min:
        yield _failed(value, path, f"Member must have length greater than or equal to {shape.min}")
    if shape.max is not None and len(value) > shape.max:
        yield _failed(value, path, f"Member must have length less than or equal to {shape.max}")


def _check_range(value: float, path: str, least: float | None, most: float | None) -> Iterator[str]:
    if least is not None and not value >= least:  # a NaN fails as well
        yield _failed(value, path, f"Member must have value greater than or equal to {least}")
    if most is not None and not value <= most:
        yield _failed(value, path, f"Member must have value less than or equal to {most}")


def _is_unicode(text: str) -> bool:
    """Whether a text can be stored: odd bytes of a command line and halves of surrogate pairs cannot."""
    return _shown(text) == text


def _shown(value: object) -> str:
    return str(value).encode(errors="backslashreplace").decode()


def _failed(value: object, path: str, constraint: str) -> str:
    text = "null" if value is None else f"'{_shown(value)}'"
    return f"Value {text} at '{_shown(path)}' failed to satisfy constraint: {constraint}"


def _unknown(name: str, members: list[str], path: str) -> str:
    where, name = f"'{_shown(path)}'" if path else "the request", _shown(name)
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


def _batch_inference_rules(params: Mapping[str, Any]) -> Iterator[str]:
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
    themed, theme_config = params.get("batchInferenceJobMode") == THEME_GENERATION, params.get("themeGenerationConfig")
    if themed and not theme_config:
        yield _failed(None, "themeGenerationConfig", f"Member must not be null when the mode is {THEME_GENERATION}")
    if theme_config and not themed:
        yield _failed(
            theme_config,
            "themeGenerationConfig",
            f"Member must be null unless batchInferenceJobMode is {THEME_GENERATION}",
        )


def _check_keys(tags: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """What the tagging documentation says of tags: a resource has each key once."""
    keys = [each["tagKey"] for each in tags]
    yield from (_failed(key, "tags", "Member must be unique") for key in sorted({*keys}) if keys.count(key) > 1)


_RULES: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {"CreateBatchInferenceJob": _batch_inference_rules}

_EXPLORATION: Mapping[str, tuple[float, float]] = {
    "explorationWeight": (0.0, 1.0),
    "explorationItemAgeCutOff": (1.0, sys.float_info.max),  # no JSON holds a larger one
}


def _check_decimal(text: str, path: str, least: float, most: float) -> Iterator[str]:
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text.strip(), re.ASCII):
        yield _failed(text, path, "Member must be a decimal number in a string")
    else:
        yield from _check_range(float(text), path, least, most)
