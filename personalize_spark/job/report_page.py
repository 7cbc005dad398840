"""A job's report for people: `report.html`, and the cell of a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from personalize_spark.errors import counted
from personalize_spark.job.themed import ThemedList
from personalize_spark.outcomes import SCORE_BINS
from personalize_spark.quality.template import area, bar_list, document, printable, section, table
from personalize_spark.themes.relevance import RELEVANT

if TYPE_CHECKING:
    from personalize_spark.job.report import Report

_THEMES = 100
"""Themes that the page shows."""
_SPAN = {True: "<span>", False: '<span class="faint">'}


def report_page(report: Report) -> str:
    """The page, as HTML that needs nothing else."""
    return document(f"Report of {report.job.rpartition('/')[2]}", report_body(report))


def report_body(report: Report) -> str:
    """What is between the head and the end of the page."""
    state = f'<p class="bad">CREATE FAILED: {escape(report.failure)}</p>' if report.failure else "<p>ACTIVE</p>"
    return (
        f"<header><h1>{escape(report.job.rpartition('/')[2])}</h1>\n{state}\n<p><code>{escape(report.job)}</code></p></header>\n"
        f"<main>\n{''.join(_sections(report))}</main>\n"
    )


def _sections(report: Report) -> Iterator[str]:
    share = report.answered / report.lines if report.lines else 1.0
    errors = report.lines - report.answered
    for title, number, what in (
        (
            "Lines",
            f"{report.lines:,}",
            f"of {counted(report.files - report.unanswered, 'file')}, {report.bytes:,} bytes written",
        ),
        ("Answered", f"{share:.2%}", counted(errors, "error line")),
        (
            "Rate",
            f"{report.lines_per_second:,.0f}/s",
            f"{report.seconds:.1f} s, of which {report.start_seconds:.1f} s start",
        ),
        ("Coverage", f"{report.coverage:.1%}", "of the items are in a list"),
        *(
            [("Filter", f"{report.filter_share:.1%}", "of the items are left to a line, on average")]
            if report.filter_share is not None
            else []
        ),
    ):
        yield section(title, f'<div class="big">{number}</div><p>{what}</p>\n', "small")
    if report.notes:
        yield section("Notes", f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in report.notes)}</ul>\n", "full")
    if kinds := {**report.errors, **report.remarks}:
        yield section("Errors and remarks, with the first line of each", _kinds(report, kinds), "full")
    yield from _values("Filter values that left no item", report.empty_values)
    yield from _values("Filter values that left fewer items than asked for", report.short_values)
    if report.near_misses:
        rows = list(report.near_misses.items())
        yield section("Unknown ids, and what they may mean", table(("asked", "known"), rows), "wide")
    if report.themes:
        rest = len(report.themes) - _THEMES
        more = f"<p>and {rest:,} more in report.json</p>\n" if rest > 0 else ""
        yield section("Themes", f"<ul>{''.join(map(_themed, report.themes[:_THEMES]))}</ul>\n{more}", "full")
    if report.timeline:
        span = f"<p>Lines a second over {report.timeline_seconds:.1f} s; at most {max(report.timeline):,.0f}.</p>"
        yield section("Throughput", span + area(report.timeline, "lines a second over time"), "wide")
    if any(report.scores):
        yield section("Score of each list's first item", bar_list(_scores(report.scores)), "wide")
    if any(report.popularity):
        tenths = {f"{10 * n} to {10 * n + 10} %": count for n, count in enumerate(report.popularity)}
        text = "<p>Lists by the tenth of all items, the most popular ones first, that their first item is in.</p>"
        yield section("Popularity of each list's first item", text + bar_list(tenths), "wide")
    slow = [(each.file, f"{each.split}", f"{each.lines:,}", f"{each.seconds:.2f}") for each in report.slow_splits]
    yield section(f"Slowest of {counted(report.splits, 'split')}", table(("file", "split", "lines", "s"), slow), "wide")
    yield section("Request", table((), _asked(report), text=True), "full")
    yield section("Job", table((), _facts(report), text=True), "full")


def _values(title: str, found: dict[str, int]) -> Iterator[str]:
    if found:
        rows = [(values, f"{lines:,}") for values, lines in found.items()]
        yield section(title, table(("filterValues", "lines"), rows), "wide")


def _kinds(report: Report, kinds: dict[str, int]) -> str:
    rows = []
    for kind, lines in kinds.items():
        first = report.first[kind]
        rows.append((kind, f"{lines:,}", f"{first.file}, line {first.line}", printable(first.text), first.message))
    return table(("kind", "lines", "first", "text", "error"), rows, text=True)


def _themed(found: ThemedList) -> str:
    """A theme with its items; those that the service's guide advises to drop are grey."""
    items = ", ".join(
        f"{_SPAN[score >= RELEVANT]}{escape(printable(item))} {score:.2f}</span>"
        for item, score in found.relevance.items()
    )
    return f"<li><b>{escape(found.theme or 'no theme')}</b>, like {escape(printable(found.item))}: {items}</li>\n"


def _scores(counts: list[int]) -> dict[str, float]:
    """By the upper end of each bin; what is below the first list and above the last is left out."""
    there = [number for number, count in enumerate(counts) if count]
    ends = {number: 10 ** ((number + 1 - SCORE_BINS) / 2) for number in range(there[0], there[-1] + 1)}
    return {f"to {end:.2g}": counts[number] for number, end in ends.items()}


def _asked(report: Report) -> Iterator[tuple[str, str]]:
    """The request, member by member."""
    yield from _members("", report.request)
    if report.filter is not None:
        yield "the filter's expression", report.filter


def _members(above: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _members(f"{above}.{name}" if above else name, each)
    else:
        yield above, value if isinstance(value, str) else json.dumps(value)


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "recipe", report.recipe
    yield "model", report.model
    yield "view", report.view or "none"
    yield "release", report.release
    yield "kernels", ", ".join(report.kernels) or "none"
    yield "splits tried again", f"{report.retried:,} of {report.splits:,}"
    yield "requests to the storage made again", f"{report.storage_retries:,}"
    if report.unanswered:
        yield "files without an output", ", ".join([f"{report.unanswered:,}", *report.failed_files[:20]])
