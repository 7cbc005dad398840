"""The application, without a socket."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.server.app import App
from personalize_spark.service.handler import Handler, Reply
from personalize_spark.service.work import Background, Compute

REQUESTS = 40
"""More than a pool of asyncio has threads."""


class Slow(Handler):
    """Answers when so many requests are being answered at once."""

    together = threading.Barrier(REQUESTS, timeout=60)

    def reply(self, target: str, body: bytes) -> Reply:
        self.together.wait()
        return super().reply(target, body)


def test_requests_that_wait_do_not_keep_others_waiting(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    background = Background(catalog, Compute("local"))
    app = App(Slow(catalog, background), background, None)
    headers = [(b"host", b"127.0.0.1:1"), (b"x-amz-target", b"AmazonPersonalize.ListSchemas")]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}

    async def ask() -> Any:
        answer: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"{}"}

        async def send(message: Any) -> None:
            answer.append(message.get("status"))

        await app(scope, receive, send)
        return answer[0]

    async def live() -> list[Any]:
        events: asyncio.Queue[Any] = asyncio.Queue()
        events.put_nowait({"type": "lifespan.startup"})
        started = asyncio.Event()

        async def send(_: Any) -> None:
            started.set()

        living = asyncio.create_task(app({"type": "lifespan"}, events.get, send))
        await started.wait()
        statuses = await asyncio.gather(*(ask() for _ in range(REQUESTS)))
        events.put_nowait({"type": "lifespan.shutdown"})
        await living
        return statuses

    assert asyncio.run(live()) == [200] * REQUESTS
