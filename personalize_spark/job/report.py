"""What a job did: the sum over its pieces, and what its user should know. `docs/report.schema.json` is its schema."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from personalize_spark.errors import counted
from personalize_spark.job.attempts import Ledger
from personalize_spark.job.forms import remedy
from personalize_spark.job.plan import Plan
from personalize_spark.job.report_page import report_body
from personalize_spark.job.task import Piece
from personalize_spark.job.themed import ThemedList
from personalize_spark.outcomes import Outcomes, Remark
from personalize_spark.quality.template import fragment, printable
from personalize_spark.storage.store import Object

VERSION = 1
MAX_NAMED = 1_000
"""Files of a kind that a report names."""
_SLOWEST, _THEMES = 5, 100
_NEAR_MISSES = 10
_PARTS = 40
"""Of the timeline."""
_CUT = 60
"""Characters of a line that the summary shows."""
_SEEN = 0.05
"""Seconds of a start that the summary shows beside the rate, which leaves them out."""

_TOLD = {
    Remark.UNKNOWN_USER: "unknown user: the popular items",
    Remark.UNKNOWN_ITEM: "unknown item: the popular items",
    Remark.UNKNOWN_LISTED: "unknown items in its list: last, with the score 0.0",
    Remark.EMPTY: "no items",
    Remark.SHORT: "fewer items than asked for",
}


@dataclass(frozen=True)
class FirstLine:
    """The first line of a kind: its file, its number there, from 1, its beginning, and what stands in its `error`."""

    file: str
    line: int
    text: str
    message: str


@dataclass(frozen=True)
class SlowSplit:
    """A split that took long: its file, its number there, from 0, its lines, and how long."""

    file: str
    split: int
    lines: int
    seconds: float


@dataclass(frozen=True)
class Report:
    """The sum over all pieces of a job.

    Attributes:
        output: the output path.
        files: inputs, those among them that have no output.
        lines: lines of all outputs, error lines among them.
        errors: error lines by reason.
        bytes: bytes of all outputs.
        task_seconds: time that tasks spent, summed.
        seconds: time from the start of the job to its last output.
        notes: what the user should know of the request and of the lines.
        version: of this form.
        job: ARN of the job.
        solution_version: ARN of the solution version.
        recipe: its name.
        release: of this package.
        model: the SHA-256 that pins the model.
        view: the same of the dataset group's data, where a filter or exploration reads them.
        kernels: what searched for the best items on the executors.
        answered: lines with an answer.
        remarks: answered lines by what is to know of them.
        first: for each reason and remark the first line.
        near_misses: by unknown id the known one that it may mean, some of them.
        empty_values: lines without any item by their `filterValues`, the most frequent ones.
        short_values: the same of lines with fewer items than asked for.
        splits: parts that the inputs were cut into.
        retried: of those, how many were tried more than once.
        slow_splits: those that took longest.
        start_seconds: of `seconds`, the time before the first line could be answered.
        lines_per_second: of the lines that this driver wrote, without the start.
        timeline: lines a second, in equal parts of the time between the start of the first split and the end of the last one.
        timeline_seconds: that time.
        scores: lists by the score of their first item: half a decade each, from below 10 ** -6.5 to 1; zeros without scores.
        popularity: lists by the popularity of their first item: tenths of the items, the most popular ones first.
        error_files: inputs with error lines, and how many; the thousand with the most.
        error_outputs: the outputs of these, as they were written.
        repeated: of the lines, those whose answers another job has given.
        unanswered: how many inputs have no output; what their tasks answered counts nowhere but in times.
        failed_files: their names, the first thousand, without those whose name is not UTF-8.
        failure: the job's `failureReason`, if it failed.
        storage_retries: requests to the storage that were made again, as it failed for a while.
        coverage: share of the items that the lists have.
        filter_share: share of the items that the filter left a line, on average; `None` without a filter.
        themes: of a job with themes, each with its items by descending relevance; the first thousand.
        request: what CreateBatchInferenceJob was asked.
        filter: the expression of the filter that it names.
    """

    output: str
    files: int
    lines: int
    errors: dict[str, int]
    bytes: int
    task_seconds: float
    seconds: float
    notes: list[str]
    version: int
    job: str
    solution_version: str
    recipe: str
    release: str
    model: str
    view: str | None
    kernels: list[str]
    answered: int
    remarks: dict[str, int]
    first: dict[str, FirstLine]
    near_misses: dict[str, str]
    empty_values: dict[str, int]
    splits: int
    retried: int
    slow_splits: list[SlowSplit]
    start_seconds: float
    lines_per_second: float
    short_values: dict[str, int] = field(default_factory=dict)
    timeline: list[float] = field(default_factory=list)
    timeline_seconds: float = 0.0
    scores: list[int] = field(default_factory=list)
    popularity: list[int] = field(default_factory=list)
    error_files: dict[str, int] = field(default_factory=dict)
    error_outputs: dict[str, Object] = field(default_factory=dict)
    repeated: int = 0
    unanswered: int = 0
    failed_files: list[str] = field(default_factory=list)
    failure: str | None = None
    storage_retries: int = 0
    coverage: float = 0.0
    filter_share: float | None = None
    themes: list[ThemedList] = field(default_factory=list)
    request: dict[str, Any] = field(default_factory=dict)
    filter: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def __str__(self) -> str:
        read = f"{counted(self.lines, 'line')} of {counted(self.files - self.unanswered, 'file')}"
        start = f" after {self.start_seconds:.1f} s of start" if self.start_seconds >= _SEEN else ""
        lines = [
            f"{read} answered in {self.seconds:.1f} s ({counted(round(self.lines_per_second), 'line')}/s{start})",
            *([f"  CREATE FAILED: {self.failure}"] if self.failure is not None else []),
            *([f"  {counted(self.unanswered, 'file')} without an output"] if self.unanswered else []),
            *([f"  {counted(self.repeated, 'line')} with the answer of before"] if self.repeated else []),
            *(f"  {counted(count, 'error line')}: {kind}{self._first(kind)}" for kind, count in self.errors.items()),
            *(
                f"  {counted(count, 'line')}: {_TOLD[Remark(kind)]}{self._first(kind)}"
                for kind, count in self.remarks.items()
            ),
            *(f"  theme: {each}" for each in self.themes[:_THEMES]),
            *([f"  and {len(self.themes) - _THEMES} more themes"] if len(self.themes) > _THEMES else []),
            *(
                [f"  {counted(self.storage_retries, 'request')} to the storage made again"]
                if self.storage_retries
                else []
            ),
            *(f"  note: {note}" for note in self.notes),
            f"output: {self.output}",
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return fragment(report_body(self))

    def _first(self, kind: str) -> str:
        first = self.first[kind]
        text = printable(first.text[:_CUT])
        text += "..." if len(first.text) > _CUT else ""
        return f" (first: {first.file}, line {first.line}: {text})"


@dataclass(frozen=True)
class Timing:
    """How long a run took, in seconds: in all, before the first line, and lines an earlier driver had answered."""

    seconds: float
    start: float
    before: int


def report_of(plan: Plan, names: Sequence[str], refused: Sequence[str], ledger: Ledger, timing: Timing) -> Report:
    """Add up the pieces of the inputs that have their outputs.

    Args:
        plan: of the run.
        names: of the inputs.
        refused: of those that were not even read; empty for one that is not UTF-8.
        ledger: of the run; of an input that failed some pieces are missing.
        timing: of the run.
    """
    every = [ledger.pieces[key] for key in sorted(ledger.pieces)]
    broken = {split.file for split in ledger.missing()}
    ordered = [piece for piece in every if piece.file not in broken]
    total, first = _added(names, ordered)
    near = _near(ordered)
    timeline, span = _timeline(every)
    job = plan.job
    return Report(
        output=job.output_path,
        files=len(names) + len(refused),
        lines=total.lines,
        errors=_counts(total.errors),
        bytes=sum(piece.bytes for piece in ordered),
        task_seconds=round(sum(piece.seconds for piece in every), 3),
        seconds=round(timing.seconds, 3),
        notes=[*job.notes, *_notes(names, every, total, near)],
        version=VERSION,
        job=str(job.arn),
        solution_version=job.request["solutionVersionArn"],
        recipe=job.recipe,
        release=plan.release,
        model=job.model.sha256,
        view=job.view.sha256 if job.view else None,
        kernels=sorted({piece.kernel for piece in ordered if piece.kernel}),
        answered=total.lines - total.error_lines,
        repeated=total.repeated,
        remarks=_counts(total.remarks),
        first=first,
        near_misses=near,
        empty_values=total.values,
        short_values=total.short_values,
        request=dict(job.request),
        filter=job.filter,
        splits=len(ledger.splits),
        retried=len(ledger.retried),
        storage_retries=ledger.storage_retries,
        coverage=round(total.coverage, 4),
        filter_share=_share(total) if job.filter is not None else None,
        slow_splits=_slow(names, every),
        start_seconds=round(timing.start, 3),
        timeline=timeline,
        timeline_seconds=round(span, 3),
        scores=total.scores,
        popularity=total.popularity,
        error_files=_error_files(names, ordered),
        unanswered=len(broken) + len(refused),
        failed_files=[*(names[each] for each in sorted(broken)), *filter(None, refused)][:MAX_NAMED],
        themes=list(islice((each for piece in ordered for each in piece.themes), MAX_NAMED)),
        lines_per_second=_rate(every, timing),
    )


def _added(names: Sequence[str], pieces: Iterable[Piece]) -> tuple[Outcomes, dict[str, FirstLine]]:
    """The sum, and the first line of each kind."""
    total, first = Outcomes(), dict[str, FirstLine]()
    read: dict[int, int] = defaultdict(int)
    for piece in pieces:
        for kind, found in [*piece.outcomes.errors.items(), *piece.outcomes.remarks.items()]:
            if kind not in first:
                line = found.first.line + read[piece.file]
                first[kind] = FirstLine(names[piece.file], line, found.first.text, found.first.message)
        read[piece.file] += piece.outcomes.read
        total.add(piece.outcomes)
    return total, first


def _rate(pieces: Iterable[Piece], timing: Timing) -> float:
    working = timing.seconds - timing.start
    lines = sum(each.outcomes.lines for each in pieces) - timing.before
    return round(lines / working, 1) if working > 0 else 0.0


def _share(total: Outcomes) -> float:
    return round(total.kept / max(1, total.answered - total.error_lines), 4)


def _error_files(names: Sequence[str], pieces: Iterable[Piece]) -> dict[str, int]:
    errors = Counter[int]()
    for piece in pieces:
        errors[piece.file] += piece.outcomes.error_lines
    return {names[file]: count for file, count in errors.most_common(MAX_NAMED) if count}


def _counts(found: Mapping[str, Any]) -> dict[str, int]:
    """The most frequent kind first."""
    return dict(sorted(((kind, each.lines) for kind, each in found.items()), key=lambda pair: -pair[1]))


def _near(pieces: Iterable[Piece]) -> dict[str, str]:
    near: dict[str, str] = {}
    for piece in pieces:
        near |= piece.near_misses
        if len(near) >= _NEAR_MISSES:
            break
    return dict(list(near.items())[:_NEAR_MISSES])


def _timeline(pieces: Sequence[Piece]) -> tuple[list[float], float]:
    """Lines a second in `_PARTS` equal parts of a time, and that time; the lines of a piece count evenly over its own time."""
    timed = [(piece.ended - piece.seconds, piece.ended, piece.outcomes.lines) for piece in pieces if piece.ended]
    start, end = min((each[0] for each in timed), default=0.0), max((each[1] for each in timed), default=0.0)
    if end <= start:
        return [], 0.0
    part, lines = (end - start) / _PARTS, [0.0] * _PARTS
    for begun, ended, count in timed:
        first, last = (min(_PARTS - 1, int((each - start) / part)) for each in (begun, ended))
        for number in range(first, last + 1):
            overlap = min(ended, start + (number + 1) * part) - max(begun, start + number * part)
            lines[number] += count * overlap / (ended - begun) if ended > begun else count
    return [round(each / part, 1) for each in lines], end - start


def _slow(names: Sequence[str], pieces: Iterable[Piece]) -> list[SlowSplit]:
    slowest = sorted(pieces, key=lambda piece: -piece.seconds)[:_SLOWEST]
    return [
        SlowSplit(names[each.file], int(each.key.partition("/")[2]), each.outcomes.lines, round(each.seconds, 3))
        for each in slowest
    ]


def _notes(names: Sequence[str], pieces: Sequence[Piece], total: Outcomes, near: Mapping[str, str]) -> Iterator[str]:
    unknown = total.remarks.get(Remark.UNKNOWN_USER) or total.remarks.get(Remark.UNKNOWN_ITEM)
    kind = "user" if Remark.UNKNOWN_USER in total.remarks else "item"
    good = total.answered - total.error_lines
    if unknown and (near or 2 * unknown.lines >= good):
        known = [f"such as '{name}', where it knows '{other}'" for name, other in list(near.items())[:1]]
        example = ", ".join(known) or f"such as '{total.unknown_ids[0]}'"
        yield (
            f"{unknown.lines:,} of {counted(good, 'line')} name{'s' if good == 1 else ''} {'an' if kind == 'item' else 'a'} {kind} that the solution version "
            f"does not know ({example}) and got the popular items."
        )
    if odd := {value: lines for value, lines in total.values.items() if "'" in value or "|" in value}:
        yield (
            f"{counted(sum(odd.values()), 'line')} got no item by filterValues with single quotes or |, such as {printable(next(iter(odd)))}: "
            'a text stands in double quotes, several are separated by commas, such as "\\"drama\\",\\"comedy\\"".'
        )
    forms = defaultdict[str, list[str]](list)
    for file, form in _no_json_lines(pieces):
        forms[form].append(names[file])
    for form, files in forms.items():
        which = f"{files[0]} is" if len(files) == 1 else f"Each of {len(files):,} files, such as {files[0]}, is"
        yield f"{which} {remedy(form)}."


def _no_json_lines(pieces: Iterable[Piece]) -> Iterator[tuple[int, str]]:
    """The files that look like another form, and at least half of whose lines are error lines."""
    forms: dict[int, str] = {}
    excess: dict[int, int] = defaultdict(int)
    for piece in pieces:
        if piece.form is not None:
            forms[piece.file] = piece.form
        excess[piece.file] += 2 * piece.outcomes.error_lines - piece.outcomes.lines
    yield from ((file, form) for file, form in forms.items() if excess[file] >= 0)
