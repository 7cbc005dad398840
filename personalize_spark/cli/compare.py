"""`compare`: how much the answers of two batch inference jobs differ."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from html import escape
from pathlib import Path

from personalize_spark.cli.arguments import Commands, add_command, show
from personalize_spark.errors import EnvironmentProblem, InvalidInputException, ObjectNotFound
from personalize_spark.quality.compare import Codes, Comparison, Lists, Report, item_codes, read_lists
from personalize_spark.storage.location import open_store, split_prefix, uri_of
from personalize_spark.storage.store import stream

_PARTS = 64
_BLOCK = 16 << 20
"""Bytes of lines read at once."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "compare", _compare, "Tell how much the answers of two batch inference jobs differ.")
    for name in ("old", "new"):
        parser.add_argument(name, metavar=f"{name.upper()}.out", help="an output file or a folder of them; path or URI")
    parser.add_argument("--at", metavar="K", type=int, help="also show overlap@K, and plot that one (25)")
    parser.add_argument("--plot", metavar="FILE.svg", help="write a histogram of overlap@K")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _compare(arguments: argparse.Namespace) -> None:
    if arguments.at is not None and arguments.at < 1:
        raise InvalidInputException(f"--at {arguments.at}: overlap@K needs a K of 1 or more.")
    report = _measured(arguments.old, arguments.new, arguments.at)
    if not report.both.lines:
        sys.stderr.write(
            "No input line is in both, so there is nothing to compare: are these answers to the same lines?\n"
        )
    if arguments.json:
        show(asdict(report))
    else:
        sys.stdout.write(_table(report))
    if arguments.plot:
        folder, name = split_prefix(uri_of(arguments.plot))
        open_store(folder).write(name, _plot(report, arguments.old, arguments.new).encode())


def _measured(old: str, new: str, at: int | None) -> Report:
    try:
        with tempfile.TemporaryDirectory(prefix="personalize-spark-compare-") as folder:
            sides = [Path(folder) / "old", Path(folder) / "new"]
            codes = item_codes()
            longest = max(_spill(path, side, codes) for path, side in zip((old, new), sides, strict=True))
            comparison = Comparison(len(codes), longest, at)
            for part in range(_PARTS):
                comparison.add(*(Lists.unpacked((side / str(part)).read_bytes()) for side in sides))
            return comparison.report()
    except OSError as error:  # stores raise their own
        raise EnvironmentProblem(
            f"The folder for temporary files failed: {error}. Set TMPDIR to one with as much room as both inputs take."
        ) from error


def _spill(path: str, side: Path, codes: Codes) -> int:
    """Put all answers into the files of their parts; returns the length of the longest list."""
    side.mkdir()
    for part in range(_PARTS):
        (side / str(part)).touch()
    longest = 0
    for lists in _read(path, codes):
        longest = max(longest, int(lists.counts.max(initial=0)))
        for part, some in lists.parts(_PARTS):
            with (side / str(part)).open("ab") as file:
                file.write(some.packed())
    return longest


def _read(path: str, codes: Codes) -> Iterator[Lists]:
    """The answers of a file, whatever its name, or of all `.out` files below a folder."""
    folder, prefix = split_prefix(uri_of(path).rstrip("/"))
    store = open_store(folder)
    inside = f"{prefix}/" if prefix else ""
    found = [
        each
        for each in store.list(prefix)
        if each.name == prefix or (each.name.startswith(inside) and each.name.endswith(".out"))
    ]
    if not found:
        raise ObjectNotFound(f"{path} is neither a file nor a folder with .out files: name what a job has written.")
    for each in found:
        number = 1
        with stream(store, each) as reader:
            while lines := reader.readlines(_BLOCK):
                yield read_lists(lines, codes, store.root + each.name, number)
                number += len(lines)


def _table(report: Report) -> str:
    old, new, both = report.old, report.new, report.both
    rows = [
        ("", "old", "new", "both"),
        ("lines", _number(old.lines), _number(new.lines), _number(both.lines)),
        ("  only there", _number(old.only), _number(new.only), ""),
        ("  errors", _number(old.errors), _number(new.errors), _number(both.errors)),
        ("  answered in both", "", "", _number(both.answered)),
        ("distinct items", _number(old.items), _number(new.items), _number(both.items)),
        ("popularity", _share(old.popularity), _share(new.popularity), ""),
        ("Gini coefficient", _share(old.gini), _share(new.gini), ""),
        *((f"overlap@{depth}", "", "", _share(share)) for depth, share in report.overlap.items()),
        ("same order (footrule)", "", "", _share(report.footrule)),
        ("identical lists", "", "", _share(report.identical)),
        ("score difference", "", "", "-" if report.difference is None else f"{report.difference:.7f}"),
    ]
    return "".join(f"{name:<22}{one:>14}{two:>14}{three:>14}".rstrip() + "\n" for name, one, two, three in rows)


def _number(value: int) -> str:
    return f"{value:,}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _plot(report: Report, old: str, new: str) -> str:
    """The histogram of overlap@K as an SVG document."""
    width, height, left, top = 640, 260, 64, 112
    lines, mean = max(1, report.both.answered), report.overlap[report.at] or 0.0
    highest = max(report.histogram) / lines
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if step * 5 >= highest)
    slot = width / len(report.histogram)
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 104} {top + height + 64}"',
        ' font-family="system-ui, sans-serif" font-size="12" fill="#5b6470">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{left}" y="32" font-size="18" font-weight="600" fill="#1d2530">',
        f"overlap@{report.at}, share of {report.both.answered:,} answers</text>",
        f'<text x="{left}" y="54">old: {escape(old)}</text><text x="{left}" y="72">new: {escape(new)}</text>',
    ]
    for line in range(6):
        y = top + height * (1 - line / 5)
        svg += [
            f'<path d="M{left} {y:g}h{width}" stroke="{"#e6e9ed" if line else "#9aa3ad"}"/>',
            f'<text x="{left - 10}" y="{y + 4:g}" text-anchor="end">{line * step:.0%}</text>',
        ]
    for place, count in enumerate(report.histogram):
        x, tall = left + slot * (place + 0.1), height * count / lines / (5 * step)
        svg += [
            f'<rect x="{x:.2f}" y="{top + height - tall:.2f}" width="{slot * 0.8:.2f}" height="{tall:.2f}"',
            f' fill="#3b76d6"><title>{place} of {report.at}: {count:,} answers</title></rect>',
        ]
    start, span = left + slot / 2, width - slot
    for tick in range(0, 101, 20):
        x = start + span * tick / 100
        svg.append(f'<text x="{x:.1f}" y="{top + height + 20}" text-anchor="middle">{tick}%</text>')
    x = start + span * mean
    svg += [
        f'<path d="M{x:.1f} {top - 6}v{height + 6}" stroke="#d9622b" stroke-width="1.5" stroke-dasharray="4 3"/>',
        f'<text x="{x:.1f}" y="{top - 12}" text-anchor="middle" fill="#b84d1b">mean {mean:.1%}</text>',
        f'<text x="{left + width / 2}" y="{top + height + 44}" text-anchor="middle">',
        f"share of the first {report.at} items that both lists have</text>",
        "</svg>",
    ]
    return "\n".join(svg) + "\n"
