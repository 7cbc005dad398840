"""Real things to test with: a Spark session, an S3 server process, a standalone cluster, MovieLens."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import settings
from pyspark.sql import SparkSession

from personalize_spark.job.session import data_settings
from personalize_spark.storage.s3 import forget_clients

CI = bool(os.environ.get("CI"))

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if CI else "here")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


# Spark copies these into every JVM at its start, so they are set before the first one.
_S3_PORT = _free_port()
os.environ.update(
    AWS_ENDPOINT_URL=f"http://127.0.0.1:{_S3_PORT}",
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_EC2_METADATA_DISABLED="true",
    PYSPARK_PYTHON=sys.executable,
    SPARK_LOCAL_IP="127.0.0.1",
)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In CI nothing is skipped: a test that should run and does not has failed."""
    outcome: Any = yield
    report = outcome.get_result()
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"


@pytest.fixture(scope="session")
def _spark_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    folder = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[2]").appName("tests")
    ours = {
        **data_settings(),
        "spark.driver.memory": "2g",
        "spark.sql.shuffle.partitions": "2",  # small data: a task costs more than its rows
        "spark.default.parallelism": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "local"),
        "spark.python.worker.faulthandler.enabled": "true",  # says where a worker crashed
    }
    for name, value in ours.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture
def spark(_spark_session: SparkSession) -> Iterator[SparkSession]:
    """The one local session on two cores, with Delta and S3A; what a test caches is dropped behind it."""
    yield _spark_session
    _spark_session.catalog.clearCache()


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[str]:
    url = os.environ["AWS_ENDPOINT_URL"]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(_S3_PORT)]
    with _process(command) as process:
        _wait(lambda: urllib.request.urlopen(f"{url}/moto-api/", timeout=1).close(), process)  # noqa: S310
        yield url


@pytest.fixture
def s3(_s3_server: str) -> str:
    """The URI of a new bucket on a real S3 server process, without a slash at its end."""
    forget_clients()
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The URL of a real standalone master with two workers of one core each."""
    home = Path(os.environ.get("SPARK_HOME") or _pyspark_home())
    port = _free_port()
    url = f"spark://127.0.0.1:{port}"
    start = [str(home / "bin" / "spark-class"), "org.apache.spark.deploy"]
    master = [start[0], f"{start[1]}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    worker = [start[0], f"{start[1]}.worker.Worker", url, "--cores", "1", "--memory", "1g", "--webui-port", "0"]
    with _process(master) as process:
        _wait(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), process)
        with _process(worker), _process(worker):
            yield url


@pytest.fixture(scope="session")
def movielens() -> Path:
    """The folder of the real data set in the service's own CSV form."""
    given = os.environ.get("PERSONALIZE_SPARK_MOVIELENS")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data" / "movielens"
    if not (folder / "interactions.csv").exists():
        pytest.skip(f"no MovieLens data in {folder}; set PERSONALIZE_SPARK_MOVIELENS to its folder")
    return folder


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _wait(ready: Any, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            ready()
            return
        except OSError:
            assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{process.args!r} does not answer"
            time.sleep(0.1)


def _pyspark_home() -> str:
    import pyspark

    return str(Path(pyspark.__file__).parent)
