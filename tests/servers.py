"""Real servers, for tests and benchmarks: an S3 server, one that breaks its answers, a standalone Spark cluster, and Spark Connect."""

from __future__ import annotations

import io
import math
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import boto3

_SPARK = find_spec("pyspark")
SPARK = Path(_SPARK.origin or "").parent / "bin" if _SPARK else Path()
"""The folder of Spark's scripts; found without importing pyspark."""
QUICK = f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:MetaspaceSize=256m -XX:ReservedCodeCacheSize=240m {os.environ.get('SPARK_SUBMIT_OPTS', '')}"
"""For a JVM that lives for seconds: it starts with the classes that `make` keeps, and does not compile for the long run."""


def free_port() -> int:
    """A port of this machine that nobody listens on, and that no outgoing connection is given until somebody does."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no port is free between 20000 and 32000")


@contextmanager
def s3_server(port: int, folder: Path) -> Iterator[str]:
    """moto's server, in a process of its own; gives its URL."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, str(Path(__file__).with_name("s3_process.py")), str(port)]
    with _process(command, folder / "server.log") as process:
        _wait(lambda: urllib.request.urlopen(f"{url}/moto-api/", timeout=1).close(), process)  # noqa: S310
        yield url


@contextmanager
def other_s3_server(port: int, folder: Path, clients: Path) -> Iterator[str]:
    """ministack's server, in a process of its own; gives its URL."""
    url = f"http://127.0.0.1:{port}"
    own = {"PYTHONPATH": str(clients / "ministack"), "GATEWAY_PORT": str(port), "SERVICES": "s3"}
    with _process([str(clients / "bin" / "python"), "-m", "ministack"], folder / "server.log", own) as process:
        _wait(lambda: urllib.request.urlopen(f"{url}/_ministack/health", timeout=1).close(), process)  # noqa: S310
        yield url


def new_bucket(name: str) -> str:
    """The URI of a new bucket on the server that the environment names, without a slash at its end."""
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"


@contextmanager
def standalone_cluster(folder: Path, memory: str) -> Iterator[tuple[str, list[int]]]:
    """A standalone master and two workers of one core and as much memory each, on two addresses of this machine, as hosts are.

    Gives its URL and the workers' processes.
    """
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    start = [str(SPARK / "spark-class"), "org.apache.spark.deploy"]
    master = [start[0], f"{start[1]}.master.Master", "--host", "127.0.0.1", "--webui-port", "0", "--port", str(port)]
    of_worker = ["--webui-port", "0", "--cores", "1", "--memory", memory, "--work-dir", str(folder / "work"), url]
    worker = [start[0], f"{start[1]}.worker.Worker", *of_worker]
    with ExitStack() as stack:
        options = {"SPARK_DAEMON_JAVA_OPTS": QUICK}
        process = stack.enter_context(_process(master, folder / "master.log", options))
        _wait(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), process)
        workers = [
            stack.enter_context(
                _process([*worker, "--host", f"127.0.0.{number}"], folder / f"worker{number}.log", options)
            )
            for number in (1, 2)
        ]
        yield url, [each.pid for each in workers]


@contextmanager
def connect_server(folder: Path) -> Iterator[str]:
    """A Spark Connect server on three cores of a local session; gives its URL."""
    port = free_port()
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "local"),
        "spark.driver.extraJavaOptions": QUICK,
    }
    command = [str(SPARK / "spark-submit"), "--master", "local[3]", "--driver-memory", "1g"]
    command += [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    with _process(command, folder / "connect.log") as process:
        _wait(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), process)
        yield f"sc://127.0.0.1:{port}"


@dataclass(frozen=True)
class Asked:
    """A request as a server sees it: `token` is that of the session whose credentials signed it."""

    method: str
    path: str
    token: str


class _Http(ThreadingHTTPServer):
    request_queue_size = 64  # a request that does not fit in waits for a second


@contextmanager
def unreliable(url: str, harms: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A server that passes requests on to another one, and does each harm once, in their order; gives its URL.

    Args:
        url: the other server's.
        harms: pairs of an HTTP method and what becomes of the next request by it; see `_harmful`.
    """
    left = list(harms)

    def choose(asked: Asked) -> str | None:
        return left.pop(0)[1] if left and left[0][0] == asked.method else None

    with harmful(url, choose) as server:
        yield server
        assert not left, "not all harm was done"


@contextmanager
def unreliable_at_random(url: str, rates: Mapping[str, float], seed: int) -> Iterator[tuple[str, Counter[str]]]:
    """As `unreliable`, but each harm befalls this share of all requests; gives the URL, and counts the harm that was done."""
    chance, done = random.Random(seed), Counter[str]()

    def choose(_: Asked) -> str | None:
        dice = chance.random()
        for harm, rate in rates.items():
            if dice < rate:
                done[harm] += 1
                return harm
            dice -= rate
        return None

    with harmful(url, choose) as server:
        yield server, done


@contextmanager
def short_lived(url: str, seconds: float) -> Iterator[tuple[str, list[str]]]:
    """A server that passes requests on, but the keys of a role live so long; gives the URL, and the tokens that it handed out.

    Requests with older keys are answered with ExpiredToken.
    """
    ends = dict[str, float]()
    tokens = list[str]()

    def choose(asked: Asked) -> str | None:
        return "400 ExpiredToken" if ends.get(asked.token, math.inf) < time.monotonic() else None

    def change(data: bytes) -> bytes:
        if b"<AssumeRoleResponse" not in data:
            return data
        token = data.partition(b"<SessionToken>")[2].partition(b"</SessionToken>")[0].decode()
        tokens.append(token)
        ends[token] = time.monotonic() + seconds
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        before, _, rest = data.partition(b"<Expiration>")
        return before + f"<Expiration>{until:%Y-%m-%dT%H:%M:%SZ}".encode() + rest[rest.index(b"</Expiration>") :]

    with harmful(url, choose, change) as server:
        yield server, tokens


@contextmanager
def harmful(
    url: str, choose: Callable[[Asked], str | None], change: Callable[[bytes], bytes] = lambda data: data
) -> Iterator[str]:
    """A server that passes requests on to another one, harms those that are chosen, and may change answers; gives its URL.

    A harm is what becomes of a request: "reset", closed before it has an effect; "lost", closed afterwards; "cut", an answer that breaks off
    in the middle of its body; "short", one whose length fits with the half that is there; "silent", none, on a connection that stays open;
    "drip", one of a byte a second; "stale", the first that this request ever had; "503 SlowDown", that error instead of an effect; "503 SlowDown
    after", that error in spite of the effect. A 200 may be an error, too.
    """
    target, turn, over = urlsplit(url), threading.Lock(), threading.Event()
    first = dict[tuple[str, str], tuple[HTTPResponse, bytes]]()

    class Handler(_Answering):
        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with turn:
                asked = Asked(self.command, self.path, self.headers.get("X-Amz-Security-Token", ""))
                kind, code, after = (*(choose(asked) or "none").split(" "), "", "")[:3]
            self.close_connection = kind in {"reset", "lost", "cut", "silent", "drip"}
            if kind in {"reset", "silent"}:
                over.wait(None if kind == "silent" else 0)
                return
            self.wfile = _Dripping(self.wfile, over) if kind == "drip" else self.wfile
            if kind.isdigit() and not after:
                self._answer(int(kind), [], _error(code))
                return
            passed = _passed_on(target, self.command, self.path, body, dict(self.headers))
            stale = first.setdefault((self.command, self.path), passed)
            answer, read = stale if kind == "stale" else passed
            data, length = change(read), answer.getheader("Content-Length") or ""
            if kind.isdigit():
                self._answer(int(kind), [], _error(code))
            elif kind != "lost":
                sent = data[: len(data) // 2] if kind in {"cut", "short"} else data
                kept = length if kind != "short" and data is read else ""
                self._answer(answer.status, answer.getheaders(), sent, kept)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815

    with _Http(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            over.set()
            server.shutdown()


def _passed_on(
    target: SplitResult, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[HTTPResponse, bytes]:
    """What the other server answers, and the body of it."""
    with closing(HTTPConnection(target.hostname or "", target.port)) as other:
        other.request(method, path, body, headers)
        answer = other.getresponse()
        return answer, answer.read()


class _Answering(BaseHTTPRequestHandler):
    """Answers with what it is given, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def _answer(self, status: int, headers: Sequence[tuple[str, str]], body: bytes, length: str = "") -> None:
        self.send_response_only(status)
        own = {"transfer-encoding", "content-length", "connection"}
        for name, value in (each for each in headers if each[0].lower() not in own):
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """See `BaseHTTPRequestHandler.log_message`."""


class _Dripping(io.BufferedIOBase):
    """A connection that takes a byte a second, and after `over` nothing any more."""

    def __init__(self, connection: io.BufferedIOBase, over: threading.Event) -> None:
        self._connection, self._over = connection, over

    def write(self, data: Any) -> int:
        """See `io.BufferedIOBase.write`."""
        for number in range(len(data)):
            if self._over.wait(1):
                break
            with suppress(OSError):  # nobody listens any more
                self._connection.write(data[number : number + 1])
        return len(data)


def _error(code: str) -> bytes:
    """The body of S3's answer to a request that fails; `CODE=MESSAGE`, with `_` for blanks, tells the message too."""
    code, _, message = code.partition("=")
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message.replace('_', ' ')}</Message></Error>".encode()


@contextmanager
def _process(
    command: list[str], log: Path, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block; what it says is in `log`."""
    environment = {**os.environ, **(variables or {})}
    with (
        log.open("wb") as file,
        subprocess.Popen(command, stdout=file, stderr=file, env=environment) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(answer: Callable[[], None], process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return answer()
        except OSError:
            assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{process.args!r} does not answer"
            time.sleep(0.1)
