"""The services' wire protocols: a target or a path and a body in, a status, headers and a body out.

`personalize` speaks AWS JSON 1.1: all operations are `POST /` with `X-Amz-Target: AmazonPersonalize.OPERATION`. `personalize-events` and
`personalize-runtime` speak REST with JSON: each operation is a `POST` to a path of its own, and no member lies outside the body. Times
are the only values that JSON has not: the services give epoch seconds with milliseconds.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.errors import InvalidInputException, PersonalizeSparkError, ServiceError
from personalize_spark.request import http_status, operation_at, service_of, with_times
from personalize_spark.service.operations import BEGINNING, perform
from personalize_spark.service.work import Background
from personalize_spark.service_model import PERSONALIZE

_PREFIX = "AmazonPersonalize"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """An answer of the service, as HTTP carries it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, status: int, fields: Mapping[str, Any]) -> Reply:
        """An answer of an operation."""
        body = orjson.dumps(fields)
        about = {"Content-Type": "application/x-amz-json-1.1", "Content-Length": str(len(body))}
        return cls(status, {"x-amzn-RequestId": str(uuid.uuid4()), **about}, body)

    @classmethod
    def error(cls, code: str, message: str, status: int = 400) -> Reply:
        """A refusal or a failure; `code` is an AWS error code."""
        reply = cls.of(status, {"__type": code, "message": message})
        return cls(status, {**reply.headers, "x-amzn-ErrorType": code}, reply.body)


class Handler:
    """Answers requests from a catalog, in any number of threads.

    Args:
        catalog: holds all resources.
        background: does the work that requests begin.
        remote: clients are on other machines: they learn nothing of where the catalog is, and name no files of this one.
    """

    def __init__(self, catalog: Catalog, background: Background, *, remote: bool = False) -> None:
        self._catalog, self._background, self._remote = catalog, background, remote

    def reply(self, target: str, body: bytes) -> Reply:
        """Answer one request.

        Args:
            target: of the header `X-Amz-Target`.
            body: a JSON object; nothing counts as an empty one.
        """
        prefix, _, operation = target.rpartition(".")
        if prefix != _PREFIX or service_of(operation) != PERSONALIZE:
            return Reply.error("UnknownOperationException", f"There is no operation '{target}'.")
        return self._reply(operation, body)

    def reply_at(self, path: str, body: bytes) -> Reply:
        """Answer one request of a service with paths.

        Args:
            path: such as `/events`.
            body: a JSON object.
        """
        operation = operation_at(path)
        if operation is None:
            return Reply.error("UnknownOperationException", f"There is no operation at '{path}'.", 404)
        return self._reply(operation, body)

    def _reply(self, operation: str, body: bytes) -> Reply:
        try:
            params = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError as error:
            return Reply.error("SerializationException", f"The body is not valid JSON: {error}.")
        if not isinstance(params, dict):
            return Reply.error("SerializationException", "The body must be a JSON object.")
        return self._answer(operation, params)

    def _answer(self, operation: str, params: Fields) -> Reply:
        try:
            return Reply.of(200, with_times(operation, self._perform(operation, params), _milliseconds))
        except ServiceError as error:
            return Reply.error(error.code, self._told(error.message), http_status(operation, error.code))
        except PersonalizeSparkError as error:
            _log.exception("%s failed", operation)
            return Reply.error("InternalFailure", self._told(error.message), 500)
        except ModuleNotFoundError as error:
            return Reply.error("InternalFailure", f"{operation} needs {error.name}, which is not installed here.", 500)
        except Exception as error:  # noqa: BLE001  # a caller gets an answer whatever happens
            _log.exception("%s failed", operation)
            return Reply.error("InternalFailure", f"{type(error).__name__}; the log says more.", 500)

    def _perform(self, operation: str, params: Fields) -> Fields:
        if operation in BEGINNING:
            self._background.check_room()
        if self._remote and _names_a_file(params):
            raise InvalidInputException("file:/// paths are for clients of the server's own machine: use s3://.")
        given = {name: value for name, value in params.items() if value is not None}
        return perform(self._catalog, operation, given, self._background.begin)

    def _told(self, message: str) -> str:
        return message.replace(self._catalog.uri, "of this server") if self._remote else message


def _names_a_file(value: Any) -> bool:
    """Whether a text in it starts as a URI of a file."""
    if isinstance(value, dict):
        return any(map(_names_a_file, value.values()))
    if isinstance(value, list):
        return any(map(_names_a_file, value))
    return isinstance(value, str) and value.strip().lower().startswith("file:")


def _milliseconds(time: float) -> float:
    return round(time, 3)
