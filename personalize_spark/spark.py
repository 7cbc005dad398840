"""The Spark session of a door that was not given one."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from personalize_spark.errors import EnvironmentProblem
from personalize_spark.jars import ensure_jars

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


def open_session(app: str, *, data: bool = False, short: bool = False) -> SparkSession:
    """The running session, the platform's, or a local one on all cores.

    Args:
        app: the application's name, as Spark shows it.
        data: the session imports or trains: it needs Delta, S3 through Hadoop, and memory in the JVM.
        short: little data: a JVM that starts fast is worth more than one that runs fast.

    Raises:
        EnvironmentProblem: there is no Java.
    """
    builder = SparkSession.builder.appName(app)
    if SparkSession.getActiveSession() is None and not any(name in os.environ for name in _PLATFORMS):
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
            f"Spark cannot start its JVM: install Java 17 or 21 and let JAVA_HOME name it (it is {java})."
        ) from error
    if not any(name in os.environ for name in _PLATFORMS):
        session.sparkContext.setLogLevel("ERROR")
        with contextlib.suppress(ValueError):  # a notebook's thread gets no signals
            # Spark's own handler speaks to the JVM, in the middle of what is being said to it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _say_no_interrupt()
    return session


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
