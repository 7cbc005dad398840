"""The jars that a session needs besides Spark's own to import and train: Delta, and S3 for Hadoop, each in the version that fits Spark.

`python -m personalize_spark.jars` fetches them. Spark's own resolver (Ivy) fetches them once into a folder,
`$PERSONALIZE_SPARK_JARS` or a cache of the user's. The AWS SDK comes as the modules that S3A uses: 26 MB with Delta, in place of
a bundle of 642 MB. A job that scores needs none of them.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from personalize_spark.errors import EnvironmentProblem, missing_spark_told
from personalize_spark.settings import SETTINGS, value_of

_SDK_2 = ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client")
_SDK_1 = ("s3", "sts", "dynamodb")


@dataclass(frozen=True)
class Release:
    """What fits one release of Spark.

    Attributes:
        delta: Delta's coordinates.
        hadoop: the version of Hadoop in pyspark; that of hadoop-aws must be the same.
        sdk: the version of the AWS SDK that this hadoop-aws was built with.
    """

    delta: str
    hadoop: str
    sdk: str

    @property
    def packages(self) -> tuple[str, ...]:
        """All that is resolved, as Maven's coordinates."""
        first = self.sdk.startswith("1.")
        modules = (
            [f"com.amazonaws:aws-java-sdk-{each}" for each in _SDK_1]
            if first
            else [f"software.amazon.awssdk:{each}" for each in _SDK_2]
        )
        return (self.delta, f"org.apache.hadoop:hadoop-aws:{self.hadoop}", *(f"{each}:{self.sdk}" for each in modules))

    @property
    def excluded(self) -> tuple[str, ...]:
        """What is left out of it."""
        bundle = "com.amazonaws:aws-java-sdk-bundle" if self.sdk.startswith("1.") else "software.amazon.awssdk:bundle"
        return (bundle, "org.slf4j:slf4j-api")


RELEASES = {
    (3, 5): Release("io.delta:delta-spark_2.12:3.3.3", "3.3.4", "1.12.262"),
    # this hadoop-aws was built with 2.24.6, of which not every mirror has all modules
    (4, 0): Release("io.delta:delta-spark_4.0_2.13:4.4.0", "3.4.1", "2.24.5"),
    (4, 1): Release("io.delta:delta-spark_4.1_2.13:4.4.0", "3.4.2", "2.29.52"),
    (4, 2): Release("io.delta:delta-spark_4.2_2.13:4.4.0", "3.5.0", "2.35.4"),
}
_WITHOUT_DELTA = {(4, 3)}
"""Releases of Spark that no Delta exists for yet."""

_STAMP = "resolved"
_START_SPARK = "from pyspark.sql import SparkSession; SparkSession.builder.master('local[1]').getOrCreate().stop()"


def release_of(spark: str) -> Release:
    """What fits a version of Spark, such as ``4.1.4``; a newer Spark than is known gets the newest, and it is said.

    Raises:
        EnvironmentProblem: there is no Delta for this version.
    """
    found = re.match(r"(\d+)\.(\d+)", spark)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version in RELEASES:
        return RELEASES[version]
    newest = max(RELEASES)
    if version in _WITHOUT_DELTA or version < newest:
        raise EnvironmentProblem(
            f"Spark {spark} has no Delta, which importing and training need: use Spark 3.5 or one of 4.0 to {_text(newest)}. Jobs and import-model run on it."
        )
    sys.stderr.write(
        f"Spark {spark} is newer than this release of personalize_spark knows: it gets Delta for Spark {_text(newest)}.\n"
    )
    return RELEASES[newest]


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def installed_spark() -> str:
    """The version of pyspark, which need not be imported for it.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    with missing_spark_told():
        return importlib.metadata.version("pyspark")


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
    """Where the jars lie, or will: a folder for each release of Spark, unless the environment names one."""
    if given := value_of("jars"):
        return Path(given).absolute()
    release = ".".join(installed_spark().split(".")[:2])
    return Path.home() / ".cache" / "personalize_spark" / "jars" / f"spark-{release}"


def ensure_jars() -> list[Path]:
    """The jars, fetched first if they are not there or are of another release.

    Raises:
        EnvironmentProblem: they cannot be fetched, pyspark is not installed, or there is no Delta for it.
    """
    folder, release = jars_folder(), release_of(installed_spark())
    if not _complete(folder, release):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _complete(folder, release):  # nor has another process fetched them meanwhile
                _fetch(folder, release)
    return sorted(folder.glob("*.jar"))


def _complete(folder: Path, release: Release) -> bool:
    stamp = folder / _STAMP
    return stamp.exists() and stamp.read_text() == _stamp(release)


def _stamp(release: Release) -> str:
    return "".join(f"{line}\n" for line in (*release.packages, *(f"without {each}" for each in release.excluded)))


def _fetch(folder: Path, release: Release) -> None:
    """Fill the folder; the stamp goes first and comes last, so that what is half done is done again."""
    shipped = {_artifact(jar.name) for jar in (_spark_home() / "jars").glob("*.jar")}
    (folder / _STAMP).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as home:
        resolved = _resolve(Path(home), release)
        for old in folder.glob("*.jar"):
            old.unlink()
        for jar in resolved:
            name = jar.name.partition("_")[2]  # Ivy puts the organisation before the artifact
            if _artifact(name) not in shipped:
                jar.rename(folder / name)
    (folder / _STAMP).write_text(_stamp(release))


def _resolve(home: Path, release: Release) -> list[Path]:
    """All jars that Ivy finds, downloaded below `home`."""
    settings = {
        "spark.jars.packages": ",".join(release.packages),
        "spark.jars.excludes": ",".join(release.excluded),
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
    if not said:
        last = (log.strip().splitlines() or ["it says nothing"])[-1]
        return f"Spark, which fetches the jars of Delta and S3A, does not start: {last}"
    return (
        f"The jars of Delta and S3A could not be fetched ({said.group().strip()}). Behind a mirror of Maven Central, set "
        f"DEFAULT_ARTIFACT_REPOSITORY to its URL; without a network, copy the folder {jars_folder()} of a machine that "
        f"has one, and set {SETTINGS['jars'].variable} to it."
    )


def _spark_home() -> Path:
    return Path(str(importlib.metadata.distribution("pyspark").locate_file("pyspark")))


def _artifact(jar: str) -> str:
    """A jar's name without its version."""
    return re.sub(r"-\d[\w.+-]*\.jar$", "", jar)


if __name__ == "__main__":
    sys.exit(main())
