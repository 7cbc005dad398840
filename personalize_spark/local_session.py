"""What a local Spark session begins with: settings for little data or much, with Delta and S3 or without."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from personalize_spark.jars import ensure_jars
from personalize_spark.settings import value_of

# A module of a zip that Spark ships has a relative path in an executor.
_LOGGING = f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties').absolute().as_uri()}"
# Spark's classes need more than 100 MB, and what is compiled of them more than 48: with less room the JVM collects and compiles again and again.
_START_FAST = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:MetaspaceSize=256m -XX:ReservedCodeCacheSize=240m"

_LOCAL = {
    "spark.master": f"local[{os.cpu_count()}]",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",  # a second of start-up, and a port
    "spark.ui.showConsoleProgress": "false",  # our own progress line says more
    "spark.sql.session.timeZone": "UTC",
    # else in the working folder
    "spark.sql.warehouse.dir": str(Path(tempfile.gettempdir(), f"personalize-spark-warehouse-{os.getuid()}")),
    "spark.driver.extraJavaOptions": f"{_START_FAST} {_LOGGING}",  # the JVM only schedules
    "spark.driver.memory": "1g",
    "spark.log.level": "ERROR",
}

# For little data it takes longer to compile what Spark generates for each query, and to plan it anew after each stage, than to run it.
_SHORT = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.databricks.delta.stats.collect": "false",  # a table of one file has nothing to skip
    "spark.databricks.delta.writeChecksumFile.enabled": "false",
}

DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.databricks.delta.snapshotPartitions": "2",  # 50 tasks by default, for a log of a few files
}

_ASKED: dict[str, str] = {}
"""What the user set for local sessions; it takes the place of ours."""


def set_local(settings: Mapping[str, str]) -> None:
    """Have local sessions begin with these settings, too."""
    _ASKED.update(settings)


def local_settings(*, data: bool, jars: bool = True, short: bool) -> dict[str, str]:
    """What a local session begins with; see `open_session`.

    Raises:
        EnvironmentProblem: the jars cannot be fetched.
    """
    return {**(data_settings(jars=jars, short=short) if data else _LOCAL), **_ASKED}


def data_settings(*, jars: bool = True, short: bool = False) -> dict[str, str]:
    """A local session's settings to import and train: Delta, S3A, and memory for the JVM.

    Args:
        jars: Delta and S3A are needed.
        short: little data: what starts fast is worth more than what runs fast.

    Raises:
        EnvironmentProblem: the jars cannot be fetched.
    """
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return {
        **_LOCAL,
        **({**DELTA, **_s3a_settings(), "spark.jars": ",".join(map(str, ensure_jars()))} if jars else {}),
        "spark.sql.shuffle.partitions": str(2 * cores),
        "spark.driver.maxResultSize": "0",  # item factors come home whole, and may be more than the 1 GiB of the default
        "spark.driver.memory": value_of("driver-memory") or f"{max(1024, min(16_384, memory // 2))}m",
        "spark.driver.extraJavaOptions": f"-Xss4m {_LOGGING} {_START_FAST if short else ''}",  # ALS's lineage is deep
        **(_SHORT if short else {}),
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
