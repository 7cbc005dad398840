"""The wire protocol against botocore's own serialiser and parser, for every operation of the service."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from botocore.parsers import ResponseParser, create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.service import handler
from personalize_spark.service.handler import Handler, Reply
from personalize_spark.service.operations import BEGINNING, OPERATIONS
from personalize_spark.service.work import Background, Compute
from tests.service_model import EVENTS, MODEL, RUNTIME

JSON11 = create_serializer("json", include_validation=False)
PARSER = create_parser("json")
REST_JSON, REST_PARSER = create_serializer("rest-json", include_validation=False), create_parser("rest-json")
OPERATION_NAMES = sorted(MODEL.operation_names)
WITH_PATHS = [(model, name) for model in (EVENTS, RUNTIME) for name in sorted(model.operation_names)]


@cache
def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a shape as our functions take and give them: times are epoch seconds."""
    if isinstance(shape, StructureShape):
        return st.fixed_dictionaries({}, optional={name: values(each) for name, each in shape.members.items()})
    if isinstance(shape, MapShape):
        return st.dictionaries(values(shape.key), values(shape.value), max_size=2)
    if isinstance(shape, ListShape):
        return st.lists(values(shape.member), max_size=2)
    return {
        "string": st.text(max_size=8),
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "double": st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "timestamp": st.floats(0, 4e9),
    }[shape.type_name]


def to_seconds(value: Any) -> Any:
    """Parsed times as epoch seconds."""
    if isinstance(value, Mapping):
        return {name: to_seconds(each) for name, each in value.items()}
    if isinstance(value, list):
        return [to_seconds(each) for each in value]
    return value.timestamp() if isinstance(value, dt.datetime) else value


def alike(one: Any, other: Any) -> bool:
    """Equal, but for what a millisecond cannot tell."""
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(alike(each, other[name]) for name, each in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other or (isinstance(one, float) and math.isclose(one, other, rel_tol=0, abs_tol=0.00051)))


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Handler:
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    return Handler(catalog, Background(catalog, Compute("local")))


@pytest.mark.parametrize("operation", OPERATION_NAMES)
@settings(max_examples=5)
@given(data=st.data())
def test_nothing_is_lost_on_the_way_in_and_out(operation: str, answering: Handler, data: st.DataObject) -> None:
    model = MODEL.operation_model(operation)
    asked = data.draw(values(model.input_shape)) if model.input_shape else {}
    answer = data.draw(values(model.output_shape)) if model.output_shape else {}
    seen: list[Any] = []

    class Echo(Handler):
        def _perform(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
            seen.extend((operation, params))
            return dict(answer)

    sent = JSON11.serialize_to_request(asked, model)
    reply = Echo(answering._catalog, answering._background).reply(sent["headers"]["X-Amz-Target"], sent["body"])
    assert (reply.status, seen[0]) == (200, operation)
    assert alike(seen[1], asked)
    parsed = parse(reply, model.output_shape) if model.output_shape else {}
    assert alike(to_seconds(parsed), answer)


@pytest.mark.parametrize(("model", "operation"), WITH_PATHS)
@settings(max_examples=5)
@given(data=st.data())
def test_nothing_is_lost_where_operations_have_paths(
    model: ServiceModel, operation: str, answering: Handler, data: st.DataObject
) -> None:
    asked_of = model.operation_model(operation)
    asked = data.draw(values(asked_of.input_shape)) if asked_of.input_shape else {}
    answer = data.draw(values(asked_of.output_shape)) if asked_of.output_shape else {}
    seen: list[Any] = []

    class Echo(Handler):
        def _perform(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
            seen.extend((operation, params))
            return dict(answer)

    sent = REST_JSON.serialize_to_request(asked, asked_of)
    assert (sent["method"], sent["query_string"]) == ("POST", {})
    reply = Echo(answering._catalog, answering._background).reply_at(sent["url_path"], sent["body"] or b"")
    assert (reply.status, seen[0]) == (200, operation)
    assert seen[1].keys() == asked.keys()
    assert seen[1] == json.loads(sent["body"] or b"{}")
    if asked_of.output_shape:
        assert alike(parse(reply, asked_of.output_shape, REST_PARSER), answer)


@pytest.mark.parametrize(("model", "operation"), WITH_PATHS)
def test_an_operation_with_a_path_answers_or_refuses_as_the_service(
    model: ServiceModel, operation: str, answering: Handler
) -> None:
    reply = answering.reply_at(model.operation_model(operation).http["requestUri"], b"")
    error = json.loads(reply.body)
    assert (reply.status, reply.headers["x-amzn-ErrorType"]) == (400, "InvalidInputException")
    assert (f"{operation} is not supported" in error["message"]) != (operation in OPERATIONS)


def test_a_service_with_paths_has_statuses_of_its_own(answering: Handler) -> None:
    nobody = b'{"campaignArn":"arn:aws:personalize:us-east-1:000000000000:solution/x/1","userId":"u1"}'
    reply = answering.reply_at("/recommendations", nobody)
    assert (reply.status, reply.headers["x-amzn-ErrorType"]) == (404, "ResourceNotFoundException")
    assert answering.reply_at("/coffee", b"{}").status == 404


def parse(reply: Reply, shape: Shape, parser: ResponseParser = PARSER) -> dict[str, Any]:
    response = {"status_code": reply.status, "headers": HeadersDict(reply.headers), "body": reply.body, "context": {}}
    parsed: dict[str, Any] = parser.parse(response, shape)
    about = parsed.pop("ResponseMetadata")
    assert about["RequestId"] == reply.headers["x-amzn-RequestId"]
    return parsed


@pytest.mark.parametrize("operation", OPERATION_NAMES)
def test_every_operation_answers_or_refuses_as_the_service(operation: str, answering: Handler) -> None:
    reply = answering.reply(f"AmazonPersonalize.{operation}", b"")
    error = json.loads(reply.body)
    if reply.status == 200:
        assert operation.startswith("List")
        return
    assert reply.status == 400
    assert error["__type"] == reply.headers["x-amzn-ErrorType"] == "InvalidInputException"
    supported = operation in OPERATIONS
    assert (f"{operation} is not supported" in error["message"]) != supported


def test_the_operations_are_those_of_the_service() -> None:
    assert OPERATIONS.keys() <= {*OPERATION_NAMES, *(name for _, name in WITH_PATHS)}
    assert BEGINNING.keys() <= OPERATIONS.keys()


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        ("AmazonPersonalize.MakeCoffee", b"{}", "UnknownOperationException"),
        ("AmazonPersonalizeRuntime.ListSchemas", b"{}", "UnknownOperationException"),
        ("ListSchemas", b"{}", "UnknownOperationException"),
        ("", b"{}", "UnknownOperationException"),
        ("AmazonPersonalize.ListSchemas", b"{", "SerializationException"),
        ("AmazonPersonalize.ListSchemas", b"[]", "SerializationException"),
        ("AmazonPersonalize.ListSchemas", b"\xff", "SerializationException"),
        ("AmazonPersonalize.ListSchemas", b'{"maxResults":"many"}', "InvalidInputException"),
        ("AmazonPersonalize.ListSchemas", b'{"nextToken":"?"}', "InvalidNextTokenException"),
        ("AmazonPersonalize.ListSchemas", b'{"pages":1}', "InvalidInputException"),
    ],
)
def test_what_is_no_request_is_refused(target: str, body: bytes, code: str, answering: Handler) -> None:
    reply = answering.reply(target, body)
    assert (reply.status, reply.headers["x-amzn-ErrorType"]) == (400, code)
    assert json.loads(reply.body)["__type"] == code


def test_a_failure_is_told_without_its_insides(
    answering: Handler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(handler, "perform", fail)
    reply = answering.reply("AmazonPersonalize.ListSchemas", b"{}")
    assert (reply.status, reply.headers["x-amzn-ErrorType"]) == (500, "InternalFailure")
    assert b"secret" not in reply.body
    assert "secret" in caplog.text


def test_what_is_not_installed_is_said(answering: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ModuleNotFoundError(name="pyspark")

    monkeypatch.setattr(handler, "perform", fail)
    reply = answering.reply("AmazonPersonalize.CreateSolution", b"{}")
    assert (reply.status, json.loads(reply.body)["message"]) == (
        500,
        "CreateSolution needs pyspark, which is not installed here.",
    )


def test_times_are_milliseconds(answering: Handler, tmp_path: Path) -> None:
    answering.reply("AmazonPersonalize.CreateDatasetGroup", b'{"name":"shop"}')
    [group] = json.loads(answering.reply("AmazonPersonalize.ListDatasetGroups", b"").body)["datasetGroups"]
    assert group["creationDateTime"] == round(group["creationDateTime"], 3)
