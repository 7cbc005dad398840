"""The Spark session, and the jars that it needs besides Spark's own: Delta, and S3 for Hadoop.

`python -m personalize_spark.spark` fetches the jars. Spark's own resolver (Ivy) fetches them once into a folder,
`$PERSONALIZE_SPARK_JARS` or a cache of the user's. The AWS SDK comes as the five modules that S3A uses: 26 MB with Delta, in place of
a bundle of 642 MB. A job that scores needs none of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from personalize_spark.errors import EnvironmentProblem, TaskFailed

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

# Under these the platform has configured Spark, and the session is taken as it is.
_PLATFORMS = ("PYSPARK_GATEWAY_PORT", "DATABRICKS_RUNTIME_VERSION")

_LOGGING = f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties').as_uri()}"
_START_FAST = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

_LOCAL = {
    "spark.master": f"local[{os.cpu_count()}]",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",  # a second of start-up, and a port
    "spark.ui.showConsoleProgress": "false",  # our own progress line says more
    "spark.sql.session.timeZone": "UTC",
    "spark.driver.extraJavaOptions": f"{_START_FAST} {_LOGGING}",  # the JVM only schedules
    "spark.driver.memory": "1g",
}

_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.databricks.delta.snapshotPartitions": "2",  # 50 tasks by default, for a log of a few files
}

FOLDER = "PERSONALIZE_SPARK_JARS"
_AWS_SDK = "2.29.52"  # what hadoop-aws 3.4.2 was built with
_PACKAGES = (
    "io.delta:delta-spark_4.1_2.13:4.4.0",
    "org.apache.hadoop:hadoop-aws:3.4.2",  # must equal the Hadoop in pyspark
    *(
        f"software.amazon.awssdk:{module}:{_AWS_SDK}"
        for module in ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client")
    ),
)
_EXCLUDED = ("software.amazon.awssdk:bundle", "org.slf4j:slf4j-api")
_WANTED = "".join(f"{line}\n" for line in (*_PACKAGES, *(f"without {each}" for each in _EXCLUDED)))
_STAMP = "resolved"
_START_SPARK = "from pyspark.sql import SparkSession; SparkSession.builder.master('local[1]').getOrCreate().stop()"

_RAISED = re.compile(r"[A-Za-z_][\w.]*: ")
"""Begins the line of a traceback that names the error."""
_TO_END_SECONDS = 3.0
"""Spark gives a Python worker that is to end two seconds (`spark.python.task.killTimeout`)."""


def open_session(app: str, *, data: bool = False, short: bool = False) -> SparkSession:
    """The running session, the platform's, or a local one on all cores.

    Args:
        app: the application's name, as Spark shows it.
        data: the session imports or trains: it needs Delta, S3 through Hadoop, and memory in the JVM.
        short: little data: a JVM that starts fast is worth more than one that runs fast.

    Raises:
        EnvironmentProblem: there is no Java, or the running session lacks Delta though it is needed.
    """
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(app)
    on_platform = any(name in os.environ for name in _PLATFORMS)
    running = SparkSession.getActiveSession()
    if running is not None and data and not on_platform:
        check_delta(running)
    if running is None and not on_platform:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # else Spark warns of host names that resolve to it
        for name, value in (data_settings(short=short) if data else _LOCAL).items():
            builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except (PySparkRuntimeError, FileNotFoundError) as error:
        if isinstance(error, PySparkRuntimeError) and "JAVA_GATEWAY" not in str(error):
            raise
        java = os.environ.get("JAVA_HOME", "not set")
        raise EnvironmentProblem(
            f"Spark cannot start its JVM: install Java 17 or 21 and set JAVA_HOME to it (now {java})."
        ) from error
    if not on_platform:
        session.sparkContext.setLogLevel("ERROR")
        with contextlib.suppress(ValueError):  # a notebook's thread gets no signals
            # Spark's own handler speaks to the JVM, in the middle of what is being said to it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _say_no_interrupt()
    return session


def check_delta(session: SparkSession) -> None:
    """Importing and training need Delta, which a JVM has from its start or never.

    Raises:
        EnvironmentProblem: the session was started without it.
    """
    if "delta" not in str(session.conf.get("spark.sql.extensions", "")):
        raise EnvironmentProblem(
            "The running Spark session has no Delta, which importing and training need. Import and train before the first job "
            "of this process, run jobs with the engine local, or start the session with Delta yourself."
        )


def _say_no_interrupt() -> None:
    """py4j logs Ctrl-C as an error, with a traceback, before it raises it: once by the root logger, and by its own."""
    logging.getLogger().addFilter(lambda record: record.msg != "KeyboardInterrupt while sending command.")
    logging.getLogger("py4j").setLevel(logging.CRITICAL)


def data_settings(*, short: bool = False) -> dict[str, str]:
    """A local session's settings to import and train: Delta, S3A, and memory for the JVM.

    Args:
        short: little data: a JVM that starts fast is worth more than one that runs fast.

    Raises:
        EnvironmentProblem: the jars cannot be fetched.
    """
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return {
        **_LOCAL,
        **_DELTA,
        **_s3a_settings(),
        "spark.jars": ",".join(str(jar) for jar in ensure_jars()),
        "spark.sql.shuffle.partitions": str(2 * cores),
        "spark.driver.maxResultSize": "0",  # item factors come home whole, and may be more than the 1 GiB of the default
        "spark.driver.memory": f"{max(1024, min(16_384, memory // 2))}m",
        "spark.driver.extraJavaOptions": f"-Xss4m {_LOGGING} {_START_FAST if short else ''}",  # ALS's lineage is deep
    }


def _s3a_settings() -> dict[str, str]:
    """What Hadoop needs besides the AWS variables that Spark copies by itself."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    settings = {"spark.hadoop.fs.s3a.endpoint.region": region}
    if endpoint:
        settings["spark.hadoop.fs.s3a.endpoint"] = endpoint
        settings["spark.hadoop.fs.s3a.path.style.access"] = "true"
        settings["spark.hadoop.fs.s3a.connection.ssl.enabled"] = str(endpoint.startswith("https")).lower()
    return settings


@contextlib.contextmanager
def running_tasks(spark: SparkSession) -> Iterator[None]:
    """No task outlives an error, Ctrl-C for one: it would write into a staging folder that is gone.

    Raises:
        TaskFailed: in place of Spark's own errors; the message is the cause of what the tasks died of.
    """
    context, tag = spark.sparkContext, f"personalize-spark-{uuid.uuid4().hex}"
    context.addJobTag(tag)
    context.setInterruptOnCancel(True)
    try:
        yield
    except BaseException as error:
        # by another thread: this one may have been interrupted in the middle of a word to the JVM
        cancelling = threading.Thread(target=_cancel, args=(context, tag))
        cancelling.start()
        cancelling.join(_TO_END_SECONDS)
        time.sleep(_TO_END_SECONDS)
        if isinstance(error, Exception):  # py4j's errors have no common base
            raise TaskFailed(_root_cause(error)) from error
        raise
    context.removeJobTag(tag)


def _cancel(context: SparkContext, tag: str) -> None:
    with contextlib.suppress(Exception):  # the JVM may be what is gone
        context.cancelJobsWithTag(tag)


def _root_cause(error: Exception) -> str:
    """What a Python worker raised outside of our work, out of Spark's long message; else the message's first line.

    What work raises comes home as data (`job.executor.carry_out`).
    """
    if isinstance(error, ConnectionError) or type(error).__name__ == "Py4JNetworkError":
        return (
            "The JVM of the driver is gone: it was killed, or ended by itself. Most often memory was short "
            "(spark.driver.memory, and the limit of the machine or container)."
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    return (raised or lines or [type(error).__name__])[0][:500]


def main() -> int:
    """Fetch what is missing and print the folder; the exit code."""
    try:
        ensure_jars()
    except EnvironmentProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(f"{jars_folder()}\n")
    return 0


def jars_folder() -> Path:
    """Where the jars lie, or will."""
    given = os.environ.get(FOLDER)
    return Path(given).absolute() if given else Path.home() / ".cache" / "personalize_spark" / "jars"


def ensure_jars() -> list[Path]:
    """The jars, fetched first if they are not there or are of another release.

    Raises:
        EnvironmentProblem: they cannot be fetched, or pyspark is not installed.
    """
    folder = jars_folder()
    if not _complete(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _complete(folder):  # nor has another process fetched them meanwhile
                _fetch(folder)
    return sorted(folder.glob("*.jar"))


def _complete(folder: Path) -> bool:
    stamp = folder / _STAMP
    return stamp.exists() and stamp.read_text() == _WANTED


def _fetch(folder: Path) -> None:
    """Fill the folder; the stamp goes first and comes last, so that what is half done is done again."""
    shipped = {_artifact(jar.name) for jar in (_spark_home() / "jars").glob("*.jar")}
    (folder / _STAMP).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as home:
        resolved = _resolve(Path(home))
        for old in folder.glob("*.jar"):
            old.unlink()
        for jar in resolved:
            name = jar.name.partition("_")[2]  # Ivy puts the organisation before the artifact
            if _artifact(name) not in shipped:
                jar.rename(folder / name)
    (folder / _STAMP).write_text(_WANTED)


def _resolve(home: Path) -> list[Path]:
    """All jars that Ivy finds, downloaded below `home`."""
    settings = {
        "spark.jars.packages": ",".join(_PACKAGES),
        "spark.jars.excludes": ",".join(_EXCLUDED),
        "spark.jars.ivy": str(home / "ivy"),
        "spark.ui.enabled": "false",
    }
    arguments = " ".join(f"--conf '{name}={value}'" for name, value in settings.items())
    # Ivy looks into the Maven repository of the user's home first, and stumbles over a POM there without its jar.
    java = f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} '-Duser.home={home}'".strip()
    own = {
        "PYSPARK_SUBMIT_ARGS": f"{arguments} pyspark-shell",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "JAVA_TOOL_OPTIONS": java,
    }
    command = [sys.executable, "-c", _START_SPARK]
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentProblem(_what_went_wrong(done.stderr))
    return sorted((home / "ivy" / "jars").glob("*.jar"))


def _what_went_wrong(log: str) -> str:
    if "JAVA_HOME is not set" in log or "UnsupportedClassVersionError" in log:
        return "Spark needs Java 17 or 21: install it, or set JAVA_HOME to it."
    said = re.search(r"unresolved dependency: [^,\n]*|.*UnknownHostException.*|download failed: .*", log)
    reason = said.group().strip() if said else log.strip()[-500:]
    return (
        f"The jars of Delta and S3A could not be fetched ({reason}). Behind a mirror of Maven Central, set "
        f"DEFAULT_ARTIFACT_REPOSITORY to its URL; without a network, copy the folder {jars_folder()} of a machine that "
        f"has one, and set {FOLDER} to it."
    )


def _spark_home() -> Path:
    found = importlib.util.find_spec("pyspark")
    if found is None or found.origin is None:
        raise EnvironmentProblem("pyspark is not installed: pip install 'personalize-spark[spark]'.")
    return Path(found.origin).parent


def _artifact(jar: str) -> str:
    """A jar's name without its version."""
    return re.sub(r"-\d[\w.+-]*\.jar$", "", jar)


if __name__ == "__main__":
    sys.exit(main())
