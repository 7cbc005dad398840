"""The services as an ASGI application: `POST /`, and the paths of events and runtime; `GET /health` for whoever watches it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from personalize_spark.request import operation_at
from personalize_spark.server.sigv4 import Headers, Refused, verify
from personalize_spark.service.handler import Handler, Reply
from personalize_spark.service.work import Background

MAX_BODY_BYTES = 1 << 20
MAX_REQUESTS = 64
BODY_SECONDS = 20.0
_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class App:
    """Answers HTTP requests.

    Args:
        handler: answers what is asked.
        background: does the work that requests begin; it is closed with the application.
        keys: the secrets by access key id; `None` asks for no signature, and is for clients of this machine only.
        grace: seconds that running work gets at the end.
    """

    def __init__(
        self, handler: Handler, background: Background, keys: Mapping[str, str] | None, grace: float = 0.0
    ) -> None:
        self._handler, self._background, self._keys, self._grace = handler, background, keys, grace
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.startup":  # a look at a job without its driver takes a minute; others go on meanwhile
                asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAX_REQUESTS))
            if kind == "lifespan.shutdown":
                await asyncio.to_thread(self._background.close, self._grace)
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        target = next((value for name, value in headers if name == "x-amz-target"), "")
        key = None
        self._requests += 1
        try:
            reply, key = await self._reply(scope, headers, target, receive)
        except Refused as error:
            reply = Reply.error(error.code, error.message, _STATUS.get(error.code, 400))
        finally:
            self._requests -= 1
        if scope["path"] != "/health":
            _log(scope, target, reply, key, time.monotonic() - started)
        pairs = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
        await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, scope: Scope, headers: Headers, target: str, receive: Receive) -> tuple[Reply, str | None]:
        method, path = scope["method"], scope["path"]
        if (method, path) == ("GET", "/health"):
            return Reply.of(200, {"status": "ok"}), None
        if self._requests > MAX_REQUESTS:
            raise Refused("ThrottlingException", f"More than {MAX_REQUESTS} requests at once; try again.")
        at_root = path == "/"
        if (method, scope["query_string"]) != ("POST", b"") or not (at_root or operation_at(path)):
            raise Refused("UnknownOperationException", "All operations are POST / with the header X-Amz-Target.")
        body = await _body(receive)
        key = None
        if self._keys is not None:
            key = verify(headers, body, self._keys, path=path)
        elif (
            dict(headers).get("host", "").rpartition(":")[0] not in _LOOPBACK
        ):  # a page in a browser may name us otherwise
            raise Refused("AccessDeniedException", "Without access keys, the server is for clients of this machine.")
        if at_root:
            return await asyncio.to_thread(self._handler.reply, target, body), key
        return await asyncio.to_thread(self._handler.reply_at, path, body), key


_STATUS = {
    "AccessDeniedException": 403,
    "IncompleteSignatureException": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "RequestEntityTooLargeException": 413,
    "RequestTimeoutException": 408,
    "UnrecognizedClientException": 403,
}
"""Of refusals that are not 400."""


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused("RequestTimeoutException", "The client is gone.")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY_BYTES:
                    raise Refused("RequestEntityTooLargeException", f"The body has more than {MAX_BODY_BYTES} bytes.")
    except TimeoutError:
        raise Refused("RequestTimeoutException", f"The body took more than {BODY_SECONDS:.0f} seconds.") from None
    return bytes(body)


def _log(scope: Scope, target: str, reply: Reply, key: str | None, seconds: float) -> None:
    """A line of JSON for each request; neither bodies nor signatures are in it."""
    entry = {
        "time": round(time.time(), 3),
        "client": (scope.get("client") or ["-"])[0],
        "accessKeyId": key,
        "operation": operation_at(scope["path"]) or target.rpartition(".")[2][:64],
        "status": reply.status,
        "error": reply.headers.get("x-amzn-ErrorType"),
        "milliseconds": round(seconds * 1000),
        "requestId": reply.headers["x-amzn-RequestId"],
    }
    sys.stderr.write(json.dumps(entry) + "\n")
