"""The stage before the splits: large compressed inputs are inflated into plain objects of whole lines."""

from __future__ import annotations

import contextlib
import io
import logging
import uuid
from collections.abc import Iterator, Sequence
from functools import partial

from personalize_spark.errors import ObjectNotFound, PersonalizeSparkError
from personalize_spark.job.byte_ranges import ByteRange, blocks, compressed, most_inflated
from personalize_spark.job.executor import Executor
from personalize_spark.job.inputs import Input, read_inputs
from personalize_spark.job.plan import Plan
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.store import Object, Store

_log = logging.getLogger(__name__)

INFLATE_ABOVE = 64 << 20
"""A larger compressed object is first inflated into plain ones, so that more than one task can answer it."""
_OBJECT_BYTES = 64 << 20


def inflate(executor: Executor, staging: Store, inputs: Sequence[Input]) -> dict[int, list[Object]]:
    """Inflate what is large, a task an input.

    Returns:
        By the number of the input, the objects in the staging folder that hold its text, in order. An input that cannot be read
        is left out: as a split it fails again, and costs the others nothing.

    Raises:
        TaskFailed: a task died.
    """
    large = [n for n, each in enumerate(inputs) if each.source.size > INFLATE_ABOVE]
    if not large:
        return {}
    store = Plan.read(staging).input()
    large = [n for n in large if compressed(store, inputs[n].source)]
    if not large:
        return {}
    limits = [(number, most_inflated(inputs[number].source.size)) for number in large]
    for failure in executor.run(staging, len(large), partial(_inflate, limits)):
        _log.warning("%s", failure)
    inflated = {}
    for number in large:
        with contextlib.suppress(ObjectNotFound):
            inflated[number] = read_document(staging, _list(number), list[Object])
    return inflated


def _list(number: int) -> str:
    return f"inflated/{number:06d}.json"


def _inflate(large: Sequence[tuple[int, int | None]], staging: Store, task: int) -> Iterator[str]:
    """Write the text of one input, and last the list of its objects: of several attempts, only one that is whole counts."""
    number, most = large[task]
    source, folder = read_inputs(staging)[number].source, f"inflated/{number:06d}-{uuid.uuid4().hex}"
    written: list[Object] = []

    def write(text: bytes) -> None:
        name = f"{folder}/{len(written):06d}"
        written.append(Object(name, len(text), staging.write(name, text)))

    try:
        buffer = io.BytesIO()
        for block in blocks(Plan.read(staging).input(), ByteRange(source, 0, source.size, most)):
            buffer.write(block)
            if buffer.tell() >= _OBJECT_BYTES:
                write(buffer.getvalue())
                buffer = io.BytesIO()
        write(buffer.getvalue())
        write_document(staging, _list(number), written)
    except PersonalizeSparkError as error:
        yield error.message
