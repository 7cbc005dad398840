"""What a task does: answer its splits, one after the other, and say what it finished.

A piece counts once a task manifest names it. Names hold a uuid, so that two attempts at one split never meet.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import BinaryIO

import pyarrow as pa

from personalize_spark.answer import Answers
from personalize_spark.artifacts.shards import GatheredRows
from personalize_spark.errors import ObjectNotFound, PersonalizeSparkError, counted
from personalize_spark.job.byte_ranges import blocks, compression, lines_of, stored
from personalize_spark.job.forms import peeked
from personalize_spark.job.inputs import ERRORS
from personalize_spark.job.near_misses import known_users, near_misses
from personalize_spark.job.old_answers import OldLines, put_together
from personalize_spark.job.plan import Plan
from personalize_spark.job.prepared import Prepared
from personalize_spark.job.splits import Split, read_task
from personalize_spark.job.themed import ThemedList, read_phrases, themed_lists
from personalize_spark.logs import about
from personalize_spark.outcomes import Outcomes
from personalize_spark.recipes.recipe import ITEM_ID, USER_ID
from personalize_spark.records import ids_of
from personalize_spark.records import parse as parse_lines
from personalize_spark.scoring.kernel import kernel
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.storage.documents import write_document
from personalize_spark.storage.file import on_local_disk
from personalize_spark.storage.location import open_store
from personalize_spark.storage.store import Access, Object, Store

_log = logging.getLogger(__name__)

TASK_MANIFESTS = "manifests/"
PIECES = "pieces/"
GATHERED = "gathered/"

_IN_MEMORY = 16 << 20
_SMALL = 32 << 10
"""Bytes of a split that is read before its turn, and of a piece that is written after it."""
_REQUESTS = 8
_MANIFEST_SECONDS = 5.0
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's malloc.h."""


@dataclass
class Piece:
    """A finished split: the object that holds its answers, and what they were; a split of blank lines has no object.

    Attributes:
        key: of the split.
        name: of the object, in the staging folder.
        etag: of the object.
        bytes: of the object.
        seconds: that the split took.
        ended: when that was, in epoch seconds of its host's clock.
        outcomes: what became of its lines.
        apart: the object of its error lines, where they are apart and there are any.
        form: what the file seems to be instead of JSON Lines; a file's first split knows.
        near_misses: by unknown id the known one that it may mean, some of them.
        kernel: what searched for the best items; empty where nothing is searched.
        themes: of its lines, where they have some.
    """

    key: str
    name: str
    etag: str = ""
    bytes: int = 0
    seconds: float = 0.0
    ended: float = 0.0
    outcomes: Outcomes = field(default_factory=Outcomes)
    apart: Object | None = None
    form: str | None = None
    near_misses: dict[str, str] = field(default_factory=dict)
    kernel: str = ""
    themes: list[ThemedList] = field(default_factory=list)

    @property
    def file(self) -> int:
        """The number of the input."""
        return int(self.key.partition("/")[0])

    def objects(self) -> list[Object]:
        """What the output is to be composed of."""
        return [Object(self.name, self.bytes, self.etag)] if self.bytes else []


class Worker(Prepared):
    """What a Python worker keeps between the tasks of one job."""

    def __init__(self, staging: Store) -> None:
        self.staging = staging
        self.plan = Plan.read(staging)
        self.input = self.plan.input()
        super().__init__(self.plan.job)

    def read(self, split: Split) -> list[bytes]:
        """The bytes of a split as they are stored."""
        return list(stored(self.staging if split.inflated else self.input, split.range))

    def text(self, split: Split, read: Iterable[bytes] | None = None) -> Iterator[bytes]:
        """The lines of a split, in blocks that each end with a whole one; `read` has its bytes, where they have been read."""
        if split.inflated:
            return lines_of(stored(self.staging, split.range) if read is None else read)
        return blocks(self.input, split.range, read)

    def answer(self, split: Split, text: Iterable[bytes], writers: Executor) -> Future[Piece]:
        """Answer a split and store its piece: a small one by the writers, while the next split is answered."""
        started = time.perf_counter()
        piece = Piece(split.key, f"{PIECES}{split.key}-{uuid.uuid4().hex}", kernel=self._kernel)
        self._turn_to(split)
        if split.number == 0:
            piece.form, text = peeked(text)
        old = self._old(split)
        with (
            on_local_disk(),
            tempfile.SpooledTemporaryFile(_IN_MEMORY) as file,
            tempfile.SpooledTemporaryFile(_IN_MEMORY) as errors,
        ):
            for lines in self.lines(text):
                answers = self._answered(lines, old)
                file.write(answers.data)
                errors.write(answers.errors)
                piece.outcomes.add(answers.outcomes)
                if self.themes is not None:
                    piece.themes += themed_lists(answers.data)
            if piece.outcomes.unknown_ids and not split.gathered:
                piece.near_misses = near_misses(piece.outcomes.unknown_ids, self._known)
            piece.bytes = file.tell()
            if size := errors.tell():
                piece.apart = Object(
                    f"{piece.name}{ERRORS}", size, _store(self.staging, f"{piece.name}{ERRORS}", errors)
                )
            piece.seconds, piece.ended = time.perf_counter() - started, time.time()
            if 0 < piece.bytes <= _SMALL:
                file.seek(0)
                return writers.submit(self._written, piece, file.read())
            if piece.bytes:
                piece.etag = _store(self.staging, piece.name, file)
        done: Future[Piece] = Future()
        done.set_result(piece)
        return done

    def _old(self, split: Split) -> OldLines | None:
        """What another job has answered of a split, if it has."""
        if split.old is None or self.job.old is None:
            return None
        return OldLines(open_store(self.job.old.folder, self.job.access), split.old, apart=self.job.old.apart)

    def _answered(self, lines: Sequence[bytes], old: OldLines | None) -> Answers:
        apart = self.job.errors_to is not None
        if old is None or self.job.old is None:
            return self.answer_lines(lines, apart=apart)
        asked, answered = old.left_out(lines)
        given = self.answer_lines(asked) if any(asked) else Answers(b"", b"", Outcomes(len(asked)))
        return put_together(given, answered, repeated=self.job.old.repeated, apart=apart)

    def _written(self, piece: Piece, data: bytes) -> Piece:
        piece.etag = self.staging.write(piece.name, data)
        return piece

    def _known(self, names: Sequence[str]) -> Iterable[str]:
        if self.recipe.required[0] == ITEM_ID:
            return [name for name, row in zip(names, self.model.rows_of(names).tolist(), strict=True) if row >= 0]
        return known_users(
            [self.row_sources[side].shards for side in ("model", "update") if side in self.row_sources], names
        )

    @cached_property
    def _kernel(self) -> str:
        native, items = kernel(), self.model.item_side
        if items is None:
            return ""
        searches = isinstance(items, SparseItems) or items.screen is not None
        return native.name if native is not None and searches else "numpy"

    def phrases(self) -> Mapping[str, str]:
        """See `Prepared`."""
        return read_phrases(self.staging).texts if self.job.theme_model is not None else {}

    def themed(self, split: Split) -> list[ThemedList]:
        """The themes of a split, as its answers would have them."""
        return [each for lines in self.lines(self.text(split)) for each in themed_lists(self.answer_lines(lines).data)]

    def users(self, split: Split) -> list[bytes]:
        """All users that the lines of a split name, each once."""
        required = [*self.recipe.required, *(self.line_filter.required if self.line_filter else ())]
        if USER_ID not in required:
            return []
        found, old = set[str](), self._old(split)
        for every in self.lines(self.text(split)):
            lines = old.left_out(every)[0] if old else every
            found.update(ids_of(parse_lines(lines, required).objects, USER_ID))
        return [each.encode() for each in sorted(found)]

    def _turn_to(self, split: Split) -> None:
        """Look users up in what was gathered for the split, if it was."""
        for side, source in self.row_sources.items():
            source.use(GatheredRows(self._gathered(split, side)) if split.gathered else None)

    def _gathered(self, split: Split, side: str) -> pa.RecordBatch | None:
        """The rows of the split's users that one side has, if it has any; no list is asked, as that may be late."""
        with contextlib.suppress(ObjectNotFound):
            return pa.ipc.open_file(self.staging.read(f"{slice_name(split.key, side)}.arrow")).get_batch(0)
        return None

    def lines(self, text: Iterable[bytes]) -> Iterator[list[bytes]]:
        """The lines of a text, those together that are answered together."""
        # themes of a file know of each other
        for block in text if self.themes is None else [b"".join(text)]:
            lines = block.removesuffix(b"\n").split(b"\n")
            for first in range(0, len(lines), self.block):
                yield lines[first : first + self.block]


def slice_name(key: str, side: str) -> str:
    """The table of the rows that one side has of a split's users."""
    return f"{GATHERED}{key}/{side}"


def answer_task(attempt: int, staging: Store, number: int) -> Iterator[str]:
    """Answer the splits of a task; yields the failures of those that could not be.

    Requests of small splits overlap: a thousand tiny objects should not cost a thousand times the latency of a store.
    """
    worker = worker_of(staging.root, staging.access)
    with about(str(worker.job.arn)):
        started, splits = time.monotonic(), read_task(staging, attempt, number)
        for failure in _answer_splits(worker, splits):
            _log.warning("Task %d: %s", number, failure)
            yield failure
        _log.info("Task %d: %s in %.2f s", number, counted(len(splits), "split"), time.monotonic() - started)


def _answer_splits(worker: Worker, splits: Sequence[Split]) -> Iterator[str]:
    staging = worker.staging
    told = time.monotonic()
    with ThreadPoolExecutor(_REQUESTS) as pool:
        ahead = [pool.submit(worker.read, split) if _small(split) else None for split in splits]
        pieces: list[Future[Piece]] = []
        for split, read in zip(splits, ahead, strict=True):
            try:
                pieces.append(worker.answer(split, worker.text(split, read.result() if read else None), pool))
            except PersonalizeSparkError as error:  # of this split; the others of the task are none the worse
                yield error.message
            if time.monotonic() - told > _MANIFEST_SECONDS:
                written = {piece for piece in pieces if piece.done()}
                yield from _tell(staging, written)
                pieces, told = [piece for piece in pieces if piece not in written], time.monotonic()
        yield from _tell(staging, pieces)


def _small(split: Split) -> bool:
    return split.range.end - split.range.start <= _SMALL and not compression(split.range.source.name)


def _tell(staging: Store, written: Iterable[Future[Piece]]) -> Iterator[str]:
    """Write a task manifest of the pieces; yields the failures of those that could not be written."""
    finished: list[Piece] = []
    for each in written:
        try:
            finished.append(each.result())
        except PersonalizeSparkError as error:
            yield error.message
    if finished:
        write_document(staging, f"{TASK_MANIFESTS}{uuid.uuid4().hex}.json", finished)


def _store(store: Store, name: str, file: tempfile.SpooledTemporaryFile[bytes]) -> str:
    spooled: BinaryIO = file  # type: ignore[assignment]  # a file in all but name
    if file.tell() > _IN_MEMORY:
        return store.upload(name, spooled)
    file.seek(0)
    return store.write(name, file.read())


@lru_cache(maxsize=1)
def worker_of(staging_root: str, access: Access) -> Worker:
    """The worker of this process, for the job of a staging folder: each run of a job has one of its own."""
    keep_memory()
    return Worker(open_store(staging_root, access))


def keep_memory() -> None:
    """Have glibc keep the few MB that a block of lines frees: the next one needs as many, and new pages cost a fifth of a task."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another libc
        set_option = ctypes.CDLL(None).mallopt
        set_option(_MMAP_THRESHOLD, 32 << 20)
        set_option(_TRIM_THRESHOLD, 64 << 20)
