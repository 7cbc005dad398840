"""Real server processes, for tests and benchmarks: an S3 server, and a standalone Spark cluster."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
import pyspark

SPARK = Path(pyspark.__file__).parent / "bin"


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def s3_server(port: int, folder: Path) -> Iterator[str]:
    """moto's server, in a process of its own; gives its URL."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _process(command, folder / "server.log") as process:
        _wait(lambda: urllib.request.urlopen(f"{url}/moto-api/", timeout=1).close(), process)  # noqa: S310
        yield url


def new_bucket(name: str) -> str:
    """The URI of a new bucket on the server that the environment names, without a slash at its end."""
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"


@contextmanager
def standalone_cluster(folder: Path, memory: str) -> Iterator[tuple[str, list[int]]]:
    """A standalone master and two workers of one core and as much memory each; gives its URL and the workers' processes."""
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    start = [str(SPARK / "spark-class"), "org.apache.spark.deploy"]
    local = ["--host", "127.0.0.1", "--webui-port", "0"]
    master = [start[0], f"{start[1]}.master.Master", *local, "--port", str(port)]
    of_worker = ["--cores", "1", "--memory", memory, "--work-dir", str(folder / "work")]
    worker = [start[0], f"{start[1]}.worker.Worker", *local, *of_worker, url]
    with ExitStack() as stack:
        process = stack.enter_context(_process(master, folder / "master.log"))
        _wait(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), process)
        workers = [stack.enter_context(_process(worker, folder / f"worker{number}.log")) for number in (1, 2)]
        yield url, [each.pid for each in workers]


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block; what it says is in `log`."""
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
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
