"""The jars that a session needs besides Spark's own: Delta, and S3 for Hadoop. `python -m personalize_spark.jars` fetches them.

Spark's own resolver (Ivy) fetches them once into a folder, `$PERSONALIZE_SPARK_JARS` or a cache of the user's. The AWS SDK comes as the
five modules that S3A uses: 26 MB with Delta, in place of a bundle of 642 MB. A job that scores needs none of them.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from personalize_spark.errors import EnvironmentProblem

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
