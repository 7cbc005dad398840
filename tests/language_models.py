"""A real HTTP server that speaks the APIs of language models: OpenAI's chat completions, and Amazon Bedrock's Converse."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass
class Asked:
    """What a server was asked: its path, the system's and the user's message, the header of authorization, the whole body."""

    path: str
    system: str
    user: str
    key: str | None
    body: dict[str, Any]


@dataclass
class ModelServer:
    """A server while it runs.

    Attributes:
        url: without a path.
        asked: in the order of their coming.
        most_at_once: questions that were answered at the same time.
    """

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0

    def spec(self, kind: str) -> str:
        """The `--theme-model` that names it."""
        return "bedrock:a-model" if kind == "bedrock" else f"openai-compatible:{self.url}/v1"


Reply = str | bytes | int | dict[str, str] | None
"""A text to answer with; a raw body; a status; a status 302 with a header; or no answer until the server ends."""


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # one that does not fit in waits for a second

    def __init__(self, reply: Callable[[Asked], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply, self.ended, self.lock, self.now = reply, threading.Event(), threading.Lock(), 0
        self.told = ModelServer(f"http://127.0.0.1:{self.server_address[1]}")

    def handle_error(self, *_: object) -> None:
        """A client that gave up is no error."""

    @contextmanager
    def counted(self, asked: Asked) -> Iterator[None]:
        """Keep what was asked, while it is answered."""
        with self.lock:
            self.told.asked.append(asked)
            self.now += 1
            self.told.most_at_once = max(self.told.most_at_once, self.now)
        try:
            yield
        finally:
            with self.lock:
                self.now -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_GET(self) -> None:
        self.send(200, json.dumps({"object": "list", "data": [{"id": "the-only-one"}]}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        converse = self.path.endswith("/converse")
        if converse:
            system, user = body["system"][0]["text"], body["messages"][0]["content"][0]["text"]
        else:
            system, user = (each["content"] for each in body["messages"])
        asked = Asked(unquote(self.path), system, user, self.headers["Authorization"], body)
        with self.server.counted(asked):
            told = self.server.reply(asked)
            if told is None:
                self.server.ended.wait(60)
                self.close_connection = True
        if isinstance(told, dict):
            self.send(302, b"", told)
        elif isinstance(told, int):
            self.send(told, b'{"message": "the server\'s own words"}')
        elif told is not None:
            self.send(200, _body(told, converse=converse) if isinstance(told, str) else told)

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def model_server(reply: Callable[[Asked], Reply]) -> Iterator[ModelServer]:
    """Answer what is asked, with either API."""
    with _Http(reply) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield http.told
        finally:
            http.ended.set()
            http.shutdown()
            thread.join()


def _body(text: str, *, converse: bool) -> bytes:
    if converse:
        message = {"role": "assistant", "content": [{"text": text}]}
        usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
        told: dict[str, Any] = {
            "output": {"message": message},
            "stopReason": "end_turn",
            "usage": usage,
            "metrics": {"latencyMs": 1},
        }
    else:
        told = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    return json.dumps(told).encode()
