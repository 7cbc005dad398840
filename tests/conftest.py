"""Real things to test with: a Spark session, an S3 server process, a standalone cluster, MovieLens.

The suite runs in two processes side by side (`make test`). Each has a Spark session and an S3 server of its own, started when
its first test asks for them. The tests of a file stay together in one process, as they share what is made.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import botocore.loaders
import botocore.session
import pytest
from hypothesis import settings

from personalize_spark.job.local_executor import LocalExecutor
from personalize_spark.storage.s3 import forget_clients
from tests.servers import free_port, new_bucket, s3_server, standalone_cluster

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from personalize_spark.job.executor import Executor

pytest.register_assert_rewrite("personalize_spark.testing")

CI = bool(os.environ.get("CI"))

# `--hypothesis-profile thorough` before a release, quick for `make test-fast`; a test that needs more than others takes a
# multiple of max_examples.
settings.register_profile("quick", deadline=None, max_examples=5)
settings.register_profile("fast", deadline=None, max_examples=20)
settings.register_profile("thorough", deadline=None, max_examples=200, derandomize=CI, print_blob=True)
settings.load_profile("thorough" if CI else "fast")


# Spark copies these into every JVM at its start, so they are set before the first one.
_S3_PORT = free_port()
for _name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
    os.environ.pop(_name, None)  # a developer's own account stays out of this
os.environ.update(
    AWS_ENDPOINT_URL=f"http://127.0.0.1:{_S3_PORT}",
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_EC2_METADATA_DISABLED="true",
    PYSPARK_PYTHON=sys.executable,
    SPARK_LOCAL_IP="127.0.0.1",
)


# All sessions of boto3 share what botocore knows of services: reading it takes longer than all else of a client, and many tests have one.
vars(botocore.session)["create_loader"] = cache(botocore.loaders.create_loader)

# Nobody pulls the plug: to wait for the disk would take a sixth of the quick tests' time.
vars(os)["fsync"] = lambda _: None

# A shell lets what it starts in the background ignore Ctrl-C; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

_THINGS = ("cluster", "spark", "s3", "movielens")

_COMPILED = {
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.adaptive.enabled": "true",
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run without Spark skips the files that import it: importing it takes longer than their other tests."""
    without = "not spark" in (config.getoption("markexpr") or "")
    return True if without and collection_path.suffix == ".py" and _imports_spark(collection_path) else None


def _imports_spark(path: Path) -> bool:
    return bool(re.search(r"^(from|import) (pyspark|personalize_spark\.(\w+\.)*spark)", path.read_text(), re.MULTILINE))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use one of these things carry its marker and come first.

    Files with slow ones among these are the very first, and of the others those of many tests: a long file at the end would
    leave one process without work.
    """
    for item in items:
        for name in sorted({*_THINGS} & {*getattr(item, "fixturenames", ())}):
            item.add_marker(name)
    slow = {item.path for item in items if _needs(item) and item.get_closest_marker("slow")}
    tests = Counter(item.path for item in items)

    def place(item: pytest.Item) -> tuple[bool, bool, int]:
        needs = _needs(item)
        return not needs, item.path not in slow, 0 if needs else -tests[item.path]

    items.sort(key=place)  # stable: the order within a file stays


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected is no garbage: to look at it again and again would take a sixth of the quick tests' time.

    Nor is each 700th object that a test makes a reason to look.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(50_000)
        gc.enable()


def _needs(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in _THINGS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing is skipped: a test that should run and does not has failed."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Nor is a whole module."""
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and in CI nothing may be: {report.longrepr}"


@pytest.fixture(scope="session")
def _spark_session(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from pyspark.sql import SparkSession

    from personalize_spark.local_session import data_settings

    folder = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[2]").appName("tests")
    ours = {
        **data_settings(jars="not delta" not in (pytestconfig.getoption("markexpr") or ""), short=True),
        "spark.driver.memory": "2g",  # the tests' data is small, and a cluster and a server run beside it
        "spark.sql.shuffle.partitions": "2",  # small data: a task costs more than its rows
        "spark.default.parallelism": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),  # else in the working directory
        "spark.local.dir": str(folder / "local"),  # goes with the tests' other files
        "spark.python.worker.faulthandler.enabled": "true",  # says where a worker crashed
    }
    for name, value in ours.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    _remember_classes()
    session.sparkContext.setLogLevel("OFF")  # tests make tasks fail on purpose; what else fails, fails a test
    yield session
    session.stop()


def _remember_classes() -> None:
    """The JVM looks through all jars for each class that pyspark names, each time it does."""
    from py4j.java_gateway import JavaClass, JVMView  # type: ignore[import-untyped]

    ask: Any = JVMView.__getattr__
    known: dict[tuple[JVMView, str], Any] = {}

    def asked(view: JVMView, name: str) -> Any:
        found = known.get((view, name)) or ask(view, name)
        if isinstance(found, JavaClass):
            known[view, name] = found
        return found

    JVMView.__getattr__ = asked


@pytest.fixture(scope="module")
def compiled(_spark_session: SparkSession) -> Iterator[None]:
    """Queries are compiled, which pays with more than little data: MovieLens."""
    before = {name: str(_spark_session.conf.get(name)) for name in _COMPILED}
    for name, value in _COMPILED.items():
        _spark_session.conf.set(name, value)
    yield
    for name, old in before.items():
        _spark_session.conf.set(name, old)


@pytest.fixture
def spark(_spark_session: SparkSession) -> Iterator[SparkSession]:
    """The one local session on two cores, with Delta and S3A; what a test caches is dropped behind it."""
    yield _spark_session
    _spark_session.catalog.clearCache()


@pytest.fixture(scope="session")
def local() -> Iterator[LocalExecutor]:
    """The local engine with two workers."""
    with LocalExecutor(2) as executor:
        yield executor


@pytest.fixture(params=["local", pytest.param("spark", marks=pytest.mark.spark)])
def executor(request: pytest.FixtureRequest) -> Executor:
    """Each engine in turn, for what is the same on both."""
    engine = request.getfixturevalue(request.param)
    if request.param == "local":
        return cast("Executor", engine)
    from personalize_spark.job.spark_executor import SparkExecutor

    return SparkExecutor(engine)


@pytest.fixture(scope="session")
def _s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(_S3_PORT, tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def s3(_s3_server: str) -> str:
    """The URI of a new bucket on a real S3 server process, without a slash at its end."""
    forget_clients()
    return new_bucket(f"bucket-{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="module")
def module_s3(_s3_server: str) -> str:
    """As `s3`, for what the tests of a module share."""
    forget_clients()
    return new_bucket(f"bucket-{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same as a folder, also by its URI."""
    return tmp_path_factory.mktemp("module").as_uri()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real standalone master with two workers of one core each."""
    with standalone_cluster(tmp_path_factory.mktemp("cluster"), "1g") as (url, _):
        yield url


@pytest.fixture(scope="session")
def clients() -> Path:
    """The folder that `bin/make-clients` has made."""
    given = os.environ.get("PERSONALIZE_SPARK_CLIENTS")
    folder = Path(given) if given else Path(__file__).resolve().parents[1] / ".clients"
    if not (folder / "node_modules").exists():
        pytest.skip(f"no clients in {folder}: make clients, or set PERSONALIZE_SPARK_CLIENTS to their folder")
    return folder


@pytest.fixture(scope="session")
def movielens() -> Path:
    """The folder of the real data set in the service's own CSV form."""
    given = os.environ.get("PERSONALIZE_SPARK_MOVIELENS")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data" / "movielens"
    if not (folder / "interactions.csv").exists():
        pytest.skip(f"no MovieLens data in {folder}; set PERSONALIZE_SPARK_MOVIELENS to its folder")
    return folder
