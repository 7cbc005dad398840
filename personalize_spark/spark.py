"""The Spark session: found or begun, measured, and its tasks stopped with what started them; and what Spark 3.5 has no word for."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from personalize_spark.errors import EngineLost, EnvironmentProblem, TaskFailed, interrupts_told
from personalize_spark.jars import release_of
from personalize_spark.local_session import DELTA, local_settings
from personalize_spark.settings import of_tasks

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_DATABRICKS = "DATABRICKS_RUNTIME_VERSION"
# Under these the platform has configured Spark, and the session is taken as it is.
_PLATFORMS = ("PYSPARK_GATEWAY_PORT", _DATABRICKS, "SPARK_REMOTE")

_RAISED = re.compile(r"[A-Za-z_][\w.]*: ")
"""Begins the line of a traceback that names the error."""

_INCUBATING = b"WARNING: Using incubator modules"
_INTERRUPT = "spark.job.interruptOnCancel"
_MANY = 1 << 20
"""Rows of a range that is cut into as many parts as tasks run at once."""

_TO_END_SECONDS = 3.0
"""Spark gives a Python worker that is to end two seconds (`spark.python.task.killTimeout`)."""


def open_session(app: str, *, data: bool = False, jars: bool = True, short: bool = False) -> SparkSession:
    """The running session, the platform's, or a local one on all cores.

    Args:
        app: the application's name, as Spark shows it.
        data: the session imports or trains: it needs memory in the JVM.
        jars: and Delta and S3 through Hadoop, too.
        short: little data: what starts fast is worth more than what runs fast.

    Raises:
        EnvironmentProblem: there is no Java, or the running session lacks Delta though it is needed.
    """
    running = _running_session()
    if running is not None:
        if data and jars and not _on_platform():
            check_delta(running)
        return running
    session = _begin({} if _on_platform() else local_settings(data=data, jars=jars, short=short), app)
    if not _on_platform():
        with contextlib.suppress(ValueError):  # a notebook's thread gets no signals
            # Spark's own handler speaks to the JVM, in the middle of what is being said to it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _say_no_interrupt()
    return session


def _on_platform() -> bool:
    return any(name in os.environ for name in _PLATFORMS)


def _running_session() -> SparkSession | None:
    """The session of this thread, else the one of another: it is somebody else's, and nothing of it is changed."""
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    with contextlib.suppress(PySparkRuntimeError):
        return SparkSession.active()
    return None


def end_session() -> None:
    """End the running session, if there is one: what a late task tells while Python ends its threads can crash it. Databricks ends its own."""
    if "pyspark" in sys.modules and _DATABRICKS not in os.environ:
        with contextlib.suppress(Exception):  # the JVM may be gone
            if (session := _running_session()) is not None:
                session.stop()


def _begin(settings: Mapping[str, str], app: str) -> SparkSession:
    """A new session."""
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    if settings:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # else Spark warns of host names that resolve to it
    builder = SparkSession.builder.appName(app)
    told = {f"spark.executorEnv.{name}": value for name, value in of_tasks().items()}
    for name, value in {**told, **settings}.items():
        builder = builder.config(name, value)
    try:
        if "spark.master" not in settings:
            return builder.getOrCreate()
        sys.stderr.write("Starting Spark.\n")
        with _without_warning():
            return builder.getOrCreate()
    except (PySparkRuntimeError, FileNotFoundError) as error:
        if isinstance(error, PySparkRuntimeError) and "JAVA_GATEWAY" not in str(error):
            raise
        java = os.environ.get("JAVA_HOME", "not set")
        raise EnvironmentProblem(
            f"Spark cannot start its JVM: install Java 17 or 21 and set JAVA_HOME to it (now {java})."
        ) from error


@contextlib.contextmanager
def _without_warning() -> Iterator[None]:
    """A JVM that starts in here inherits a pipe as its stderr; all goes on to ours but a warning that no option of Java turns off."""
    try:
        ours = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    threading.Thread(target=_forward, args=(reading, ours), daemon=True).start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(ours, 2)  # the JVM alone holds the pipe now; the thread ends with it


def _forward(reading: int, ours: int) -> None:
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            if _INCUBATING not in line:
                os.write(ours, line)
    os.close(ours)


def check_delta(session: SparkSession) -> None:
    """Importing and training need Delta, which a JVM has from its start or never.

    Raises:
        EnvironmentProblem: the session was started without it.
    """
    if "delta" not in str(session.conf.get("spark.sql.extensions", "")):
        needed = {"spark.jars.packages": release_of(session.version).delta, **DELTA}
        raise EnvironmentProblem(
            "The running Spark session has no Delta, which importing and training need. Import and train before the first job "
            "and the first import-model of this process, run jobs with the engine local, or start the session with Delta yourself: "
            + ", ".join(f"{name}={value}" for name, value in needed.items())
        )


def _say_no_interrupt() -> None:
    """py4j logs Ctrl-C as an error, with a traceback, before it raises it: once by the root logger, and by its own."""
    logging.getLogger().addFilter(lambda record: record.msg != "KeyboardInterrupt while sending command.")
    logging.getLogger("py4j").setLevel(logging.CRITICAL)


def cores_of(spark: SparkSession) -> int:
    """How many tasks run at once, by the session's own measure; through Spark Connect, by the cut of a range, which is the same."""
    if not _is_remote(spark):
        return int(spark.sparkContext.defaultParallelism)
    from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

    [row] = spark.range(_MANY).select(F.spark_partition_id().alias("part")).agg(F.max("part")).collect()
    return int(row[0]) + 1


def is_here(spark: SparkSession) -> bool:
    """Whether tasks run on this host, with this Python: what this process can read, they can, and what is installed there."""
    if _is_remote(spark):
        return False
    context = spark.sparkContext
    return (context.master or "").partition("[")[0] == "local" and shutil.which(context.pythonExec) == sys.executable


def _is_remote(spark: SparkSession) -> bool:
    """Whether the session speaks Spark Connect: then there is no JVM in this process, and no `sparkContext`."""
    return ".connect." in type(spark).__module__


@contextlib.contextmanager
def running_tasks(spark: SparkSession) -> Iterator[Callable[[], object]]:
    """No task outlives an error, Ctrl-C for one: it would write into a staging folder that is gone.

    What is started here has a tag; afterwards the thread's own properties are what they were. Gives what cancels it, from any thread.

    Raises:
        TaskFailed: in place of Spark's own errors; the message is the cause of what the tasks died of.
        EngineLost: in place of those behind the death of the JVM.
        KeyboardInterrupt: also in place of what py4j made of it.
    """
    try:
        with interrupts_told(), marked_tasks(spark) as cancel:
            try:
                yield cancel
            except BaseException:
                # by another thread: this one may have been interrupted in the middle of a word to the JVM
                cancelling = threading.Thread(target=_quietly, args=(cancel,))
                cancelling.start()
                cancelling.join(_TO_END_SECONDS)
                time.sleep(_TO_END_SECONDS)
                raise
    except Exception as error:  # of the marks, too, as the JVM may be gone by then; py4j's errors have no common base
        raise (EngineLost if _is_of_a_dead_jvm(error) else TaskFailed)(root_cause(error)) from error


@contextlib.contextmanager
def marked_tasks(spark: SparkSession) -> Iterator[Callable[[], object]]:
    """What this thread gives to Spark has a tag that nothing else has; gives what cancels that, in any thread."""
    tag = f"personalize-spark-{uuid.uuid4().hex}"
    with _tagged_remote(spark, tag) if _is_remote(spark) else _tagged(spark, tag) as cancel:
        yield cancel


@contextlib.contextmanager
def _tagged(spark: SparkSession, tag: str) -> Iterator[Callable[[], object]]:
    """What this thread starts has the tag; gives what cancels that."""
    context = spark.sparkContext
    before: Any = context.getLocalProperty(_INTERRUPT)  # None is taken too, though its type says otherwise

    def restore() -> None:
        context.removeJobTag(tag)
        context.setLocalProperty(_INTERRUPT, before)

    context.addJobTag(tag)
    context.setInterruptOnCancel(True)
    with _unless_interrupted(restore):
        yield lambda: context.cancelJobsWithTag(tag)


@contextlib.contextmanager
def _tagged_remote(spark: SparkSession, tag: str) -> Iterator[Callable[[], object]]:
    """As `_tagged`, through Spark Connect."""
    spark.addTag(tag)
    with _unless_interrupted(lambda: spark.removeTag(tag)):
        yield lambda: spark.interruptTag(tag)


@contextlib.contextmanager
def _unless_interrupted(restore: Callable[[], object]) -> Iterator[None]:
    """Restore behind success and failure; Ctrl-C may have cut a word to the JVM in two, and then nothing more can be said to it."""
    try:
        yield
    except Exception:
        _quietly(restore)
        raise
    restore()


def _quietly(say: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):  # the JVM may be what is gone
        say()


def root_cause(error: Exception) -> str:
    """What a Python worker raised outside of our work, out of Spark's long message; else the message's first line.

    What work raises comes home as data (`job.executor.carry_out`).
    """
    if _is_of_a_dead_jvm(error):
        return (
            "The JVM of the driver is gone: it was killed, or ended by itself. Most often memory was short "
            "(spark.driver.memory, and the limit of the machine or container)."
        )
    lines = [line.strip().removeprefix(": ") for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    return (raised or lines or [type(error).__name__])[0][:500]


def _is_of_a_dead_jvm(error: Exception) -> bool:
    return isinstance(error, ConnectionError) or type(error).__name__ == "Py4JNetworkError"


def collect_arrow(frame: DataFrame) -> pa.Table:
    """All rows of a frame: `DataFrame.toArrow`, which Spark has since 4.0."""
    if hasattr(frame, "toArrow"):
        return frame.toArrow()
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    older: Any = frame
    return pa.Table.from_batches(older._collect_as_arrow(), to_arrow_schema(frame.schema))


def frame_of(spark: SparkSession, table: pa.Table) -> DataFrame:
    """The frame of a table: `createDataFrame`, which takes tables since Spark 4.0."""
    from pyspark.sql import DataFrame
    from pyspark.sql.pandas.types import from_arrow_schema

    if hasattr(DataFrame, "toArrow"):
        return spark.createDataFrame(table.combine_chunks())  # Spark reads no further than to an empty chunk
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return spark.createDataFrame(list(rows), from_arrow_schema(table.schema))


@contextlib.contextmanager
def persisted(frame: DataFrame) -> Iterator[DataFrame]:
    """Keep a frame, in memory or on disk, until the end of the block."""
    frame.persist()
    try:
        yield frame
    finally:
        frame.unpersist()
