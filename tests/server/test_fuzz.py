"""What is no request: a real server answers with the service's errors, stays small, and serves the others."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from personalize_spark.server import protocol
from personalize_spark.server.protocol import Protocol
from tests.server.test_serve import ask, serving

HEAD = b"POST / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
Server = tuple[str, "subprocess.Popen[str]", Path]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fuzz")
    with serving(folder) as (url, process):
        yield url, process, folder
    assert "Traceback" not in (folder / "log").read_text()


def connection(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def answer(url: str, data: bytes) -> bytes:
    """All that comes back until the connection is closed."""
    with connection(url) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65_536), b""))


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS where there is none
        b"POST / HTTP/1.1\r\nNo colon\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",  # no host
        HEAD + b"Content-Length: many\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused_as_the_service_refuses(server: Server, data: bytes) -> None:
    head, _, body = answer(server[0], data).partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1.1 4\d\d ", head), head
    assert json.loads(body)["__type"] in {"SerializationException", "RequestTimeoutException"}
    assert b"x-amzn-requestid" in head.lower()


@given(
    st.binary(max_size=200) | st.text(max_size=40).map(lambda text: json.dumps({"name": text, "x": [text]}).encode())
)
def test_no_body_breaks_an_operation(server: Server, body: bytes) -> None:
    status, said = ask(server[0], body=body, X_Amz_Target="AmazonPersonalize.CreateDatasetGroup")
    assert (status, said["__type"][-9:]) == (400, "Exception")


@pytest.mark.slow
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_no_target_breaks_the_server(server: Server, target: str) -> None:
    status, said = ask(server[0], body=b"{}", X_Amz_Target=target)
    assert (status, said["__type"]) == (400, "UnknownOperationException")


@pytest.mark.slow
def test_a_thousand_connections_leave_no_trace(server: Server) -> None:
    url, process, _ = server

    def storm(connections: int) -> int:
        """The server's memory in KiB, behind as many connections of which half break off in the middle of a request."""
        held = [connection(url) for _ in range(connections)]
        for each in held[::2]:
            each.sendall(HEAD + b"Content-Length: 100\r\n\r\nabc")
        for each in held:
            each.close()
        for _ in range(connections // 5):
            assert ask(url, "GET", "/health")[0] == 200
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])

    before = storm(250)
    assert storm(1_000) < before + 40_000


@pytest.mark.slow
def test_a_head_that_does_not_come_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def slow() -> list[bytes]:
        config = uvicorn.Config(app, timeout_keep_alive=600)
        listener = await asyncio.get_running_loop().create_server(
            lambda: Protocol(config, ServerState(), {}), "127.0.0.1", 0
        )
        read = []
        for first in (b"", b"POST / HT", HEAD + b"\r\nPOST / HT"):  # the last one is the second of its connection
            reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
            writer.write(first)
            read.append(await reader.read())
            writer.close()
        listener.close()
        return read

    nothing, cut, second = asyncio.run(slow())
    assert (nothing, cut) == (b"", b"")
    assert second.startswith(b"HTTP/1.1 200")
