"""The jars that a session needs besides Spark's own: Delta, and S3 for Hadoop. `python -m personalize_spark.jars` fetches them.

Spark's own resolver (Ivy) fetches them once from Maven Central into a folder, `$PERSONALIZE_SPARK_JARS` or a cache of the user's.
The AWS SDK comes as the five modules that S3A uses, 26 MB, in place of its 642 MB bundle. A scoring job needs none of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
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
_STAMP = "resolved"
_SESSION = "from pyspark.sql import SparkSession; SparkSession.builder.master('local[1]').getOrCreate().stop()"


def jars_folder() -> Path:
    """Where the jars lie, or will."""
    given = os.environ.get(FOLDER)
    return Path(given) if given else Path.home() / ".cache" / "personalize_spark" / "jars"


def ensure_jars() -> list[Path]:
    """The jars, fetched first if they are not there or are of another release.

    Raises:
        EnvironmentProblem: they cannot be fetched, or pyspark is not installed.
    """
    folder = jars_folder()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256("\n".join((*_PACKAGES, *_EXCLUDED)).encode()).hexdigest()
    stamp = folder / _STAMP
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            _resolve(folder)
            stamp.write_text(wanted)
    return sorted(folder.glob("*.jar"))


def _resolve(folder: Path) -> None:
    for old in folder.glob("*.jar"):
        old.unlink()
    shipped = {_artifact(jar.name) for jar in (_spark_home() / "jars").glob("*.jar")}
    with tempfile.TemporaryDirectory(dir=folder) as home:
        _run_ivy(Path(home))
        for jar in (Path(home) / "ivy" / "jars").glob("*.jar"):
            name = jar.name.partition("_")[2]  # Ivy puts the organisation before the artifact
            if _artifact(name) not in shipped:
                shutil.move(jar, folder / name)


def _run_ivy(home: Path) -> None:
    settings = {
        "spark.jars.packages": ",".join(_PACKAGES),
        "spark.jars.excludes": ",".join(_EXCLUDED),
        "spark.jars.ivy": str(home / "ivy"),
        "spark.ui.enabled": "false",
        # Ivy looks into the Maven repository of the user's home first, and stumbles over a POM there without its jar.
        "spark.driver.extraJavaOptions": f"-Duser.home={home}",
    }
    arguments = " ".join(f"--conf '{name}={value}'" for name, value in settings.items())
    environment = {**os.environ, "PYSPARK_SUBMIT_ARGS": f"{arguments} pyspark-shell", "SPARK_LOCAL_IP": "127.0.0.1"}
    environment["JAVA_TOOL_OPTIONS"] = f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} -Duser.home={home}".strip()
    done = subprocess.run(
        [sys.executable, "-c", _SESSION], env=environment, capture_output=True, text=True, check=False
    )  # our own line
    if done.returncode:
        reasons = [
            line for line in done.stderr.splitlines() if re.search(r"unresolved|UNRESOLVED|not found|Error", line)
        ]
        reason = reasons[0].strip() if reasons else done.stderr[-500:]
        raise EnvironmentProblem(
            f"The jars of Delta and S3A could not be fetched from Maven Central: {reason}. "
            f"On a machine without network, copy the folder of another machine and set {FOLDER} to it."
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
    ensure_jars()
    print(jars_folder())  # the answer
