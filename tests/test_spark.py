"""A session is found, measured and left as it is; Delta and S3A work in it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from delta import DeltaTable
from pyspark.sql import DataFrame as ParentFrame
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do
from pyspark.sql.classic.dataframe import DataFrame

import personalize_spark as ps
from personalize_spark.errors import EnvironmentProblem, TaskFailed
from personalize_spark.spark import check_delta, collect_arrow, end_session, frame_of, open_session, running_tasks
from tests.test_errors import interrupted


@pytest.fixture(params=["files", pytest.param("s3", marks=pytest.mark.s3)])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A path for a table, as Hadoop spells it."""
    if request.param == "files":
        return f"{tmp_path}/table"
    return f"{request.getfixturevalue('s3')}/table".replace("s3:", "s3a:")


@pytest.mark.spark
def test_an_interrupt_that_py4j_makes_an_error_of_ends_the_tasks(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personalize_spark.spark._TO_END_SECONDS", 0.1)
    with pytest.raises(KeyboardInterrupt), running_tasks(spark):
        interrupted()
    assert spark.range(3).count() == 3


@pytest.mark.spark
def test_a_delta_table_is_written_and_merged(spark: SparkSession, table: str) -> None:
    columns = "id string, count int"
    spark.createDataFrame([("a", 1), ("b", 1)], columns).write.format("delta").save(table)
    changes = spark.createDataFrame([("b", 2), ("c", 2)], columns)
    merge = DeltaTable.forPath(spark, table).alias("old").merge(changes.alias("new"), "old.id = new.id")
    merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()
    merged = spark.read.format("delta").load(table).orderBy("id").collect()
    assert [tuple(row) for row in merged] == [("a", 1), ("b", 2), ("c", 2)]


@pytest.mark.parametrize(("extensions", "has"), [("io.delta.sql.DeltaSparkSessionExtension", True), ("", False)])
def test_a_session_without_delta_is_told(extensions: str, *, has: bool) -> None:
    session: Any = SimpleNamespace(conf={"spark.sql.extensions": extensions}, version="4.0.1")
    package = (
        r"has no Delta.*spark\.jars\.packages=io\.delta:delta-spark_4\.0_2\.13:.*, spark\.sql\.extensions=io\.delta"
    )
    with nullcontext() if has else pytest.raises(EnvironmentProblem, match=package):
        check_delta(session)


@pytest.mark.parametrize("in_thread", [False, True])
def test_somebody_elses_session_is_left_as_it_is(spark: SparkSession, *, in_thread: bool) -> None:
    found: list[SparkSession] = []

    def use() -> None:
        before = thread_state(spark)
        found.append(open_session("ours"))
        with suppress(TaskFailed), running_tasks(found[0]):
            spark.range(1).select(F.raise_error(F.lit("on purpose"))).collect()
        with running_tasks(found[0]):
            spark.range(1).collect()
        found.extend([spark] * (thread_state(spark) == before))

    spark.range(1).collect()  # a session's first plan has Delta's extension set what it wants
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        before = session_state(spark)
        if in_thread:
            thread = threading.Thread(target=use)
            thread.start()
            thread.join()
        else:
            use()
        assert session_state(spark) == before
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    assert [each is spark for each in found] == [True, True]


def test_the_session_of_databricks_is_not_ended(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    end_session()
    assert spark.range(3).count() == 3


def session_state(spark: SparkSession) -> list[object]:
    jvm: Any = spark.sparkContext._jvm
    log_level = jvm.org.apache.logging.log4j.LogManager.getRootLogger().getLevel().toString()
    return [spark.conf.getAll, log_level, signal.getsignal(signal.SIGINT), spark.sparkContext.defaultParallelism]


def thread_state(spark: SparkSession) -> list[object]:
    names = ("spark.job.interruptOnCancel", "spark.job.tags", "spark.jobGroup.id")
    return [spark.sparkContext.getLocalProperty(name) for name in names]


@pytest.mark.spark
@pytest.mark.delta
def test_an_import_that_fails_leaves_no_frame_in_the_sessions_memory(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(frame: DataFrame, *_: object) -> None:
        assert frame.count() == 1
        raise KeyError

    (tmp_path / "x.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu1,i1,1\n")
    monkeypatch.setattr("personalize_spark.datasets.imports._LITTLE_BYTES", 0)  # as of much data, which is kept there
    monkeypatch.setattr("personalize_spark.datasets.build_view._FEW", 0)
    monkeypatch.setattr("personalize_spark.datasets.build_view.write_user_shards", fail)
    with pytest.raises(KeyError):
        ps.import_datasets(tmp_path / "catalog", "g", interactions=tmp_path / "x.csv", spark=spark)
    session: Any = spark
    assert session._jsparkSession.sharedState().cacheManager().isEmpty()


@pytest.mark.parametrize("spark_3", [False, True])
def test_tables_go_into_spark_and_come_back(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, *, spark_3: bool
) -> None:
    table = pa.table(
        {
            "id": pa.array(["a", None, "é"]),
            "number": pa.array([1, 2, None], pa.int64()),
            "item": pa.array([3, 2, 1], pa.int32()),
            "raw": pa.array([b"\xff", b"", None], pa.binary()),
            "vector": pa.array([[0.5, -1.0], [], None], pa.list_(pa.float32())),
        }
    )
    if spark_3:
        monkeypatch.delattr(DataFrame, "toArrow")
        monkeypatch.delattr(ParentFrame, "toArrow")
    back = collect_arrow(frame_of(spark, table))
    assert back.schema.names == table.schema.names
    assert back.sort_by([("item", "descending")]).to_pydict() == table.to_pydict()
    assert [field.type for field in back.schema][1:4] == [pa.int64(), pa.int32(), pa.binary()]


def test_javas_warning_of_a_module_in_incubation_is_left_out() -> None:
    program = """
import subprocess, sys, threading
from personalize_spark.spark import _without_warning
with _without_warning():
    subprocess.run(["sh", "-c", "echo WARNING: Using incubator modules: x >&2; echo what else is said >&2"], check=True)
[each.join() for each in threading.enumerate() if each is not threading.current_thread()]
print("ours", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stderr == "what else is said\nours\n"
