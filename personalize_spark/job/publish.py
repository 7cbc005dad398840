"""From pieces to outputs: every `.out` is composed whole, in the order of its input, or is not there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import orjson
from pyspark.sql import SparkSession

from personalize_spark.errors import JobFailed, PersonalizeSparkError
from personalize_spark.job.plan import Input, Plan
from personalize_spark.job.stage import run_stage
from personalize_spark.job.task import PIECES, Piece
from personalize_spark.storage.store import Object, Store

_ON_THE_DRIVER = 64
_FILES_PER_TASK = 500
_WRITERS = 8

Outputs = list[tuple[str, list[Object]]]
"""Names of outputs, each with its pieces in order."""


def publish(spark: SparkSession, plan: Plan, inputs: Mapping[int, Input], pieces: Iterable[Piece]) -> None:
    """Compose every output; many of them by Spark tasks.

    Args:
        spark: the session.
        plan: the job's plan.
        inputs: those whose every split has a piece, by number.
        pieces: of all inputs.

    Raises:
        JobFailed: an output could not be written.
    """
    outputs = _outputs(plan.staging(), inputs, pieces)
    failures = _compose(plan, outputs) if len(outputs) <= _ON_THE_DRIVER else _compose_in_tasks(spark, plan, outputs)
    if failures:
        raise JobFailed(failures[0])


def _outputs(staging: Store, inputs: Mapping[int, Input], pieces: Iterable[Piece]) -> Outputs:
    stored = {found.name: found for found in staging.list(PIECES)}
    by_file: dict[int, list[Object]] = defaultdict(list)
    for piece in sorted(pieces, key=lambda piece: piece.key):
        if piece.bytes:  # a split of blank lines has no object
            by_file[int(piece.key.partition("/")[0])].append(stored[piece.name])
    return [(each.output, by_file[file]) for file, each in inputs.items()]


def _compose(plan: Plan, outputs: Outputs) -> list[str]:
    output, staging = plan.output(), plan.staging()

    def one(name: str, pieces: list[Object]) -> str | None:
        try:
            output.compose(name, staging, pieces)
        except PersonalizeSparkError as error:
            return error.message
        return None

    with ThreadPoolExecutor(_WRITERS) as pool:
        return [failure for failure in pool.map(lambda each: one(*each), outputs) if failure]


def _compose_in_tasks(spark: SparkSession, plan: Plan, outputs: Outputs) -> list[str]:
    tasks = -(-len(outputs) // _FILES_PER_TASK)
    staging = plan.staging()
    for number in range(tasks):
        part = outputs[number::tasks]
        staging.write(_part(number), orjson.dumps([[name, [list(vars(o).values()) for o in os]] for name, os in part]))
    return run_stage(spark, plan, tasks, _compose_part)


def _compose_part(staging: Store, number: int) -> list[str]:
    part = orjson.loads(staging.read(_part(number)))
    return _compose(Plan.read(staging), [(name, [Object(*each) for each in pieces]) for name, pieces in part])


def _part(number: int) -> str:
    return f"publish/{number:05d}.json"
