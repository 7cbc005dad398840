"""The inputs of a job: which objects they are, what their outputs are named, how long their lines are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain, takewhile

from personalize_spark.errors import JobFailed, StorageError, quoted
from personalize_spark.job.byte_ranges import ByteRange, blocks, compressed, compression, cut
from personalize_spark.job.plan import CHECK, REPORTS, STAGING
from personalize_spark.records import count_records
from personalize_spark.storage.content import codec_of, is_litter
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.location import open_store, split_prefix
from personalize_spark.storage.store import Access, Object, Store

OUT, ERRORS, PARQUET = ".out", ".errors", ".parquet"
_NO_FILE = {"", ".", ".."}
_SAMPLE = 64 << 10
_READERS = 8
_LINE = 32.0
"""Bytes of a line where none can be looked at."""


@dataclass(frozen=True)
class Input:
    """An input object and the name of its output; `refused` says why it is not read, if it is not."""

    source: Object
    output: str
    refused: str = ""

    @property
    def errors(self) -> str:
        """The name of its error lines, where they are apart."""
        return self.output.removesuffix(OUT) + ERRORS

    @property
    def parquet(self) -> str:
        """The name of its answers as Parquet, where they are asked for."""
        return self.output.removesuffix(OUT) + PARQUET


def find_inputs(input_path: str, output_path: str, access: Access, only: Sequence[str] | None = None) -> list[Input]:
    """All objects whose URI starts with the input path, but what a job itself leaves under the output path, and litter.

    A link to nothing is one that cannot be read: somebody wanted its lines answered.

    Litter are hidden files, and what Spark and Windows leave beside data: see `note_of_litter`.

    With `only` they are those of these names; their outputs have the names that they have among all. One that is gone cannot be read.

    Raises:
        JobFailed: nothing matches.
    """
    folder, prefix = split_prefix(input_path)
    store = open_store(folder, access)
    target = open_store(output_path, access)
    found = [
        each
        for each in chain(store.list(prefix), store.broken_links(prefix) if isinstance(store, FileStore) else ())
        if each.name == prefix
        or not (is_litter(each.name, prefix) or _left_by_a_job(store.root + each.name, target.root))
    ]
    if not found:
        raise JobFailed(f"Invalid S3 input path: no object's name starts with {input_path}.")
    common = len(_common_folder([each.name for each in found]))
    refusal = _refuser(store, prefix, target)
    inputs = [Input(each, each.name[common:] + OUT, refusal(each.name, each.name[common:])) for each in found]
    return inputs if only is None else _named(inputs, only, store.root)


def _named(inputs: Sequence[Input], only: Sequence[str], root: str) -> list[Input]:
    by_name = {each.source.name: each for each in inputs}
    why = f"is no longer there; it is one of {len(only)} files to answer again."
    gone = [Input(Object(name, 0, ""), "", f"{root}{name} {why}") for name in only if name not in by_name]
    return sorted([*gone, *(by_name[name] for name in only if name in by_name)], key=lambda each: each.source.name)


def _refuser(store: Store, prefix: str, target: Store) -> Callable[[str, str], str]:
    """Says of an object below the prefix, and its name below the common folder, why it is not read; nothing of one that is."""
    if not isinstance(store, FileStore):
        return partial(_refusal_of_key, store.root) if isinstance(target, FileStore) else lambda *_: ""
    top = store.path(prefix)
    inside = os.path.realpath(top if top.is_dir() else store.folder)

    def refusal(name: str, _: str) -> str:
        shown = os.fsencode(name).decode(errors="backslashreplace")
        if shown != name:
            return f"The name of {store.root}{shown} is not UTF-8: rename the file."
        if not store.path(name).exists():
            return f"{store.root}{name} is a link to nothing: mend it, or remove it."
        if name != prefix and not os.path.realpath(store.path(name)).startswith(inside.rstrip("/") + "/"):
            return f"{store.root}{name} is behind a link that leads out of the input folder: copy it there, or name it itself."
        return ""

    return refusal


def _refusal_of_key(root: str, name: str, below: str) -> str:
    """A file system has one file where S3 has `a/b`, `a//b` and `a/./b`, and has none outside the output path."""
    if not _NO_FILE.intersection(below.split("/")[:-1]):
        return ""
    return f"No file can be named like {root}{name}, with an empty folder, '.' or '..' in it: write to s3://, or copy it to another key."


def _common_folder(names: Sequence[str]) -> str:
    """The longest folder that all names lie in, with its slash; empty for the root."""
    first, last = min(names), max(names)
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return first[: first.rfind("/", 0, alike) + 1]


def note_of_litter(input_path: str, access: Access) -> list[str]:
    """The note that names files under the input path that are no inputs; none if there are none."""
    folder, prefix = split_prefix(input_path)
    found = [each.name for each in open_store(folder, access).list(prefix) if is_litter(each.name, prefix)]
    if not found:
        return []
    what = "hidden file or marker is" if len(found) == 1 else "hidden files and markers are"
    return [f"{len(found):,} {what} no input, such as {quoted(found[0])}."]


def note_of_old_answers(names: Sequence[str]) -> list[str]:
    """The note that says how many inputs, of these names, are answers to another one of them; none if there are none."""
    there = set(names)
    found = [name for name in names if name.endswith((OUT, ERRORS, PARQUET)) and name.rpartition(".")[0] in there]
    if not found:
        return []
    which = "input is the output" if len(found) == 1 else "inputs are outputs"
    why = "What lies under the input path is answered, as by the service: keep outputs elsewhere."
    return [f"{len(found):,} {which} of an earlier job, such as {quoted(found[0])}. {why}"]


def packed_inside(store: Store, sources: Iterable[Object]) -> set[str]:
    """The names of the objects that are compressed though their names do not say so."""
    plain = [each for each in sources if not _packed(each)]
    with ThreadPoolExecutor(_READERS) as readers:
        found = readers.map(lambda each: compressed(store, each), plain)
        return {each.name for each, packed in zip(plain, found, strict=True) if packed}


def _left_by_a_job(uri: str, output_root: str) -> bool:
    if not uri.startswith(output_root):
        return False
    name = uri[len(output_root) :]
    return name.endswith((OUT, ERRORS)) or name == CHECK or name.startswith((f"{STAGING}/", f"{REPORTS}/"))


def write_inputs(staging: Store, inputs: Sequence[Input]) -> None:
    """Freeze the list of inputs."""
    write_document(staging, "inputs.json", inputs)


def read_inputs(staging: Store) -> list[Input]:
    """The frozen list of inputs."""
    return read_document(staging, "inputs.json", list[Input])


def write_refusals(staging: Store, inputs: Sequence[Input]) -> None:
    """Freeze which inputs are not read, and why."""
    write_document(staging, "refused.json", [(_readable(each.source.name), each.refused) for each in inputs])


def read_refusals(staging: Store) -> list[tuple[str, str]]:
    """The names of the inputs that are not read, and why; a name that is not UTF-8 is left empty."""
    return read_document(staging, "refused.json", list[tuple[str, str]])


def _readable(name: str) -> str:
    return name if name.encode(errors="ignore").decode() == name else ""


def check_records(store: Store, inputs: Sequence[Input], most: int) -> None:
    """Check that no input has more records; of none more is read than shows it.

    Raises:
        JobFailed: one has.
    """

    def too_long(each: Input) -> bool:
        text = chain.from_iterable(blocks(store, part) for part in cut(each.source, each.source.size + 1))
        return any(total > most for total in accumulate(map(count_records, text)))

    with ThreadPoolExecutor(_READERS) as readers:
        long = [each for each, found in zip(inputs, readers.map(too_long, inputs), strict=True) if found]
    if long:
        more = f", and {len(long) - 1} more" if len(long) > 1 else ""
        raise JobFailed(
            f"With THEME_GENERATION an input file may have {most} records; {store.root}{long[0].source.name} has more{more}: "
            "split them into several jobs or files."
        )


def mean_line_bytes(store: Store, inputs: Sequence[Input]) -> float:
    """The mean length of a line, judged by the beginning of the largest input, a plain one if there is any."""
    found = sorted((each.source for each in inputs if each.source.size), key=lambda each: (_packed(each), -each.size))
    if not found:
        return _LINE
    try:
        sample = b"" if _packed(found[0]) else store.read(found[0].name, 0, _SAMPLE, found[0].etag)
        if not sample or codec_of(sample):
            sample = next(blocks(store, ByteRange(found[0], 0, found[0].size)), b"")[:_SAMPLE]
    except StorageError:  # whoever answers it will say what is wrong with it
        return _LINE
    return len(sample) / max(1, sample.count(b"\n")) or _LINE


def _packed(source: Object) -> bool:
    return compression(source.name) is not None
