"""Two output files or folders compared: read, cut into parts on the local disk, and measured a part at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from personalize_spark.errors import EnvironmentProblem, InvalidInputException, ObjectNotFound
from personalize_spark.quality.comparison_page import comparison_page, overlap_histogram
from personalize_spark.quality.differences import OutputComparison, Tally
from personalize_spark.quality.lists import Codes, Lists, item_codes, read_lists
from personalize_spark.storage.location import Place, open_store, split_prefix, uri_of, write_to
from personalize_spark.storage.store import stream

_PARTS = 64
_BLOCK = 16 << 20
"""Bytes of lines read at once."""


def compare(
    old: Place, new: Place, *, at: int | None = None, page: Place | None = None, plot: Place | None = None
) -> OutputComparison:
    """Measure how far the answers of two batch inference jobs differ.

    Args:
        old: an output file, or a folder of `.out` files; a path or a URI.
        new: the other one.
        at: a K to report overlap@K for, besides 1, 5, 10 and 25; also the K of the histogram, which is 25 if left out.
        page: write a page with charts there, as HTML.
        plot: write a histogram of overlap@K there, as SVG.

    Returns:
        The overlaps, shifts of ranks and scores, and counts of both sides.

    Raises:
        InvalidInputException: `at` is below 1.
        ObjectNotFound: there is neither a file nor a folder with `.out` files.
        DataError: a line is not one that a batch inference job writes.
        EnvironmentProblem: the folder for temporary files is missing or full.
    """
    if at is not None and at < 1:
        raise InvalidInputException(f"overlap@K needs a K of 1 or more, not {at}.")
    comparison = _measured(str(old), str(new), at)
    if plot is not None:
        write_to(plot, overlap_histogram(comparison, [f"old: {old}", f"new: {new}"]).encode())
    if page is not None:
        write_to(page, comparison_page(comparison, str(old), str(new)).encode())
    return comparison


def _measured(old: str, new: str, at: int | None) -> OutputComparison:
    try:
        with tempfile.TemporaryDirectory(prefix="personalize-spark-compare-") as folder:
            batches = [Path(folder) / "old", Path(folder) / "new"]
            codes = item_codes()
            longest = max(_spill(path, batch, codes) for path, batch in zip((old, new), batches, strict=True))
            tally = Tally(len(codes), longest, at)
            for part in range(_PARTS):
                tally.add(*(Lists.unpacked((batch / str(part)).read_bytes()) for batch in batches))
            return tally.comparison()
    except OSError as error:  # stores raise their own
        raise EnvironmentProblem(
            f"A temporary file could not be written: {error}. Set TMPDIR to a folder with as much room as both inputs take."
        ) from error


def _spill(path: str, batch: Path, codes: Codes) -> int:
    """Put all answers into the files of their parts; returns the length of the longest list."""
    batch.mkdir()
    for part in range(_PARTS):
        (batch / str(part)).touch()
    longest = 0
    for lists in _read(path, codes):
        longest = max(longest, int(lists.items.lengths.max(initial=0)))
        for part, some in lists.parts(_PARTS):
            with (batch / str(part)).open("ab") as file:
                file.write(some.packed())
    return longest


def _read(path: str, codes: Codes) -> Iterator[Lists]:
    """The answers of a file, whatever its name, or of all `.out` files below a folder."""
    uri = uri_of(path).rstrip("/")
    folder, prefix = split_prefix(uri)
    store = open_store(folder)
    inside = f"{prefix}/" if prefix else ""
    found = [
        each
        for each in store.list(prefix)
        if each.name == prefix or (each.name.startswith(inside) and each.name.endswith(".out"))
    ]
    if not found:
        raise ObjectNotFound(f"{uri} is neither a file nor a folder with .out files: give the output of a job.")
    for each in found:
        number = 1
        with stream(store, each) as reader:
            while lines := reader.readlines(_BLOCK):
                yield read_lists(lines, codes, store.root + each.name, number)
                number += len(lines)
